import Synchronization
public import SystemPackage
public import TensorCore

/// Reads a .npz file: a zip archive of .npy members, each a tensor named as its member without one `.npy`.
///
/// Stored members in little-endian row-major order are used where they are mapped; deflated, big-endian and column-major
/// ones are decoded into memory, stored ones in ranges where that is enough. The checksum of a member is compared before its
/// bytes are first handed out.
///
/// Members that no tensor can hold (texts, objects, records, files that are no arrays) are passed over with a warning.
public final class NpzReader: CheckpointReader {
    public let descriptors: [TensorDescriptor]
    public let warnings: [Warning]
    public let unreadable: [UnreadableMember]
    let file: MappedFile
    let members: [Member]
    /// What is not among the tensors, in the order of the archive.
    let others: [ZipEntry]
    /// The tensors that were wanted and could not be opened; without `salvaging` the first of them is an error.
    let losses: [Damage]
    private let memoryByteCount: Int?
    /// The stored members whose checksum was right.
    private let verified = Mutex<Set<Int>>([])

    struct Member {
        let entry: ZipEntry
        let method: ZipMethod
        let header: NpyHeader
        let descriptor: TensorDescriptor

        var name: TensorName { descriptor.name }
        var data: Range<Int> { entry.data.lowerBound + header.byteCount..<entry.data.upperBound }
    }

    /// Opens a file and checks its directory and the header of every array; of deflated members no more than the header
    /// is unpacked.
    ///
    /// - Throws: `FormatError` with the offset of the first rule that is broken by the archive, or by a member that the options
    ///   select; what is wrong with the first member when none of them is a tensor. `IOError` when the file cannot be read.
    public init(opening path: FilePath, options: ReadOptions) throws {
        file = try MappedFile(path)
        let directory = try CentralDirectory(of: file.bytes, path: path, salvaging: options.salvaging)
        var members: [Member] = []
        var others: [ZipEntry] = []
        var losses = [directory.rest.map { [file] in Damage(behindArchive: $0, in: file) }].compactMap { $0 }
        var unreadable: [UnreadableMember] = []
        var warnings = options.notes
        var names: Set<TensorName> = []
        for entry in directory.entries {
            let name = Self.tensorName(of: entry)
            guard names.insert(name).inserted else {
                throw FormatError(
                    .duplicateMember, "two members of the archive are named \"\(name)\"", file: path, tensor: name,
                    byteOffset: entry.localHeaderOffset)
            }
            do {
                let member = try Member(entry, named: name, in: file, options)
                members.append(member)
                warnings += [member.header.warning(about: name), entry.expansionWarning].compactMap { $0 }
            } catch var error as FormatError {
                if options.selection.contains(name) {
                    do {
                        // Damage can make anything look like something else.
                        if error.isForeign { try entry.checkContents(named: name, in: file) }
                    } catch let damage as FormatError { error = damage }
                    if !error.isForeign {
                        guard options.salvaging else { throw error }
                        losses.append(Damage(error, of: entry, tensor: name, in: file))
                    }
                }
                if losses.last?.tensor != name { others.append(entry) }
                unreadable.append(UnreadableMember(name: name, error: error))
            }
        }
        if let first = unreadable.first, members.isEmpty {
            throw directory.entries.contains(where: \.isNamedAsArray)
                ? first.error : Self.noArrays(among: directory.entries, first.error.category, path)
        }
        if let wanted = options.selection.demanded(unreadable, beside: members.lazy.map(\.name)) { throw wanted.error }
        let foreign = unreadable.filter { $0.error.isForeign && !options.selection.excludes($0.name) }
        if !foreign.isEmpty { warnings.append(Self.warning(about: foreign)) }
        memoryByteCount = options.memoryByteCount
        self.members = members
        self.others = others
        self.losses = losses
        self.unreadable = unreadable
        self.warnings = warnings
        descriptors = members.map(\.descriptor)
    }

    public var format: FormatID { .npz }
    public var path: FilePath { file.path }
    public var files: [FilePath] { [path] }
    /// Empty: the format has none.
    public var metadata: Metadata { Metadata() }

    public func isMapped(_ index: Int) -> Bool { members[index].method == .stored && members[index].header.isNative }
    public func canReadRanges(of index: Int) -> Bool { members[index].method == .stored }

    public func decodedTogetherByteCount(of index: Int) -> Int {
        canReadRanges(of: index) ? 0 : descriptors[index].byteCount
    }

    /// The data of a stored member, or the whole of a deflated one.
    public func location(of index: Int) -> StoredLocation {
        let member = members[index]
        return StoredLocation(file: path, range: member.method == .stored ? member.data : member.entry.data)
    }

    public func bytes(of index: Int) throws -> TensorBytes {
        let member = members[index]
        if let memoryByteCount, !isMapped(index) {
            try requireMemory(memoryByteCount, for: member.descriptor.byteCount, toDecode: index)
        }
        switch member.method {
        case .stored:
            try checkStored(index)
            if member.header.isNative { return TensorBytes(mapped: file, range: member.data) }
            return TensorBytes(
                decoded: try member.header.decode(UnsafeRawBufferPointer(rebasing: file.bytes[member.data])))
        case .deflated:
            let buffer = try AlignedBuffer(byteCount: member.descriptor.byteCount)
            try unpack(member, into: buffer.mutableBytes)
            return TensorBytes(decoded: buffer)
        }
    }

    public func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        let member = members[index]
        switch member.method {
        case .stored:
            try checkStored(index)
            member.header.read(range, of: UnsafeRawBufferPointer(rebasing: file.bytes[member.data]), into: target)
        case .deflated:
            try bytes(of: index).withUnsafeBytes {
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range]))
            }
        }
    }

    /// Compares the checksum of a stored member before it is first used.
    private func checkStored(_ index: Int) throws {
        guard !verified.withLock({ $0.contains(index) }) else { return }
        try members[index].entry.checkContents(named: members[index].name, in: file)
        verified.withLock { _ = $0.insert(index) }
    }

    /// Inflates a member into row-major order and checks its size and sum.
    private func unpack(_ member: Member, into target: UnsafeMutableRawBufferPointer) throws {
        var assembly = NpyHeader.Assembly(member.header, into: target)
        var headerByteCount = member.header.byteCount
        try member.entry.inflate(named: member.name, in: file) { block in
            // The stream never yields more than the member's size, which is that of header and data.
            let skipped = min(headerByteCount, block.count)
            headerByteCount -= skipped
            assembly.append(UnsafeRawBufferPointer(rebasing: block[skipped...]))
        }
        assembly.finish()
    }
}

// MARK: - Headers

extension NpzReader {
    /// The member name without one `.npy`, as NumPy shortens it.
    private static func tensorName(of entry: ZipEntry) -> TensorName {
        // By bytes: some characters join with a full stop behind them into one.
        TensorName(
            entry.isNamedAsArray
                ? String(decoding: entry.name.utf8.dropLast(ZipEntry.arraySuffix.count), as: UTF8.self) : entry.name)
    }

    /// The error for an archive of other things.
    private static func noArrays(
        among entries: [ZipEntry], _ category: FormatCategory, _ path: FilePath
    ) -> FormatError {
        let shown = 3
        let list = entries.prefix(shown).map(\.label).joined(separator: ", ") + (entries.count > shown ? ", ..." : "")
        return FormatError(
            category,
            "the zip archive holds no array, but \(entries.count) other \(entries.count == 1 ? "file" : "files"): \(list)",
            file: path, byteOffset: 0, hint: "unpack it first, and name the checkpoint in it")
    }

    /// What is passed over, in one line.
    private static func warning(about members: [UnreadableMember]) -> Warning {
        let shown = 5
        let list = members.prefix(shown).map { "\"\($0.name)\" (\($0.error.foreignKind))" }.joined(separator: ", ")
        let rest = members.count > shown ? ", and \(members.count - shown) more" : ""
        return Warning(
            FormatWarning.passedOver,
            members.count == 1
                ? "1 member of the archive is no tensor and is passed over: \(list)"
                : "\(members.count) members of the archive are no tensors and are passed over: \(list)\(rest)")
    }
}

extension NpzReader.Member {
    /// Reads the header of a member and compares it with the member's size.
    fileprivate init(_ entry: ZipEntry, named name: TensorName, in file: MappedFile, _ options: ReadOptions) throws {
        guard let method = entry.method else { throw entry.unsupportedMethod(named: name, in: file) }
        let source = NpySource(
            file: file.path, tensor: name, position: method == .stored ? entry.data.lowerBound : nil)
        // Too short for a magic number, which another name than that of an array does not promise.
        guard entry.isNamedAsArray || entry.byteCount >= NpyHeader.magic.count else {
            throw source.error(.badMember, "is a file of \(entry.byteCount) bytes, and no array", isForeign: true)
        }
        let header = try Self.header(of: entry, method, in: file, source, options)
        let descriptor = try header.descriptor(
            named: name, total: entry.byteCount, isCompressed: method == .deflated, source: source)
        self.init(entry: entry, method: method, header: header, descriptor: descriptor)
    }

    private static func header(
        of entry: ZipEntry, _ method: ZipMethod, in file: MappedFile, _ source: NpySource, _ options: ReadOptions
    ) throws -> NpyHeader {
        switch method {
        case .stored:
            let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[entry.data])
            return try NpyHeader(bytes, source: source, options: options)
        case .deflated:
            var start: [UInt8] = []
            let stream = try EntryInflate(entry, in: file)
            while start.count < NpyHeader.byteCount(announcedBy: start), let block = try stream.next() {
                start.append(contentsOf: block.prefix(NpyHeader.maximumByteCount - start.count))
            }
            return try start.withUnsafeBytes { try NpyHeader($0, source: source, options: options) }
        }
    }
}

extension FormatError {
    /// What something is that is no tensor, in few words.
    fileprivate var foreignKind: String {
        switch category {
        case .objectDtype: "Python objects"
        case .structuredDtype: "records"
        case .badMagic, .badMember: "no array"
        case .badDescr: "no type of NumPy"
        default: "texts, dates or wide floats"
        }
    }
}
