import Synchronization
public import SystemPackage
public import TensorCore

/// Reads a .npz file: a zip archive of .npy members, each a tensor named as its member without one `.npy`.
///
/// Stored members in little-endian row-major order are used where they are mapped; deflated, big-endian and column-major
/// ones are decoded into memory. The checksum of a member is compared before its bytes are first handed out.
public final class NpzReader: CheckpointReader {
    public let descriptors: [TensorDescriptor]
    public let warnings: [String]
    private let file: MappedFile
    private let members: [Member]
    /// The stored members whose checksum was right.
    private let verified = Mutex<Set<Int>>([])

    private struct Member {
        let entry: ZipEntry
        let header: NpyHeader
        let name: TensorName
    }

    /// Opens a file and checks its directory and the header of every array; of deflated members no more than the header
    /// is unpacked.
    ///
    /// - Throws: `FormatError` with the offset of the first rule that is broken, `IOError` when the file cannot be read.
    public init(opening path: FilePath, options: ReadOptions) throws {
        file = try MappedFile(path)
        let directory = try CentralDirectory(of: file.bytes, path: path)
        var members: [Member] = []
        var descriptors: [TensorDescriptor] = []
        var warnings: [String] = []
        var names: Set<TensorName> = []
        for entry in directory.entries {
            let name = Self.tensorName(of: entry)
            guard names.insert(name).inserted else {
                throw FormatError(
                    .duplicateMember, "two members of the archive are named \"\(name)\"", file: path, tensor: name,
                    byteOffset: entry.localHeaderOffset)
            }
            let source = Self.source(of: entry, name, path)
            let header = try Self.readHeader(of: entry, in: file, source: source, options: options)
            descriptors.append(
                try header.descriptor(
                    named: name, total: entry.byteCount, isCompressed: entry.method == .deflated, source: source))
            members.append(Member(entry: entry, header: header, name: name))
            warnings += [header.warning(about: name), Self.expansionWarning(about: entry)].compactMap { $0 }
        }
        self.members = members
        self.descriptors = descriptors
        self.warnings = warnings
    }

    public var format: FormatID { .npz }
    public var path: FilePath { file.path }
    public var files: [FilePath] { [path] }
    /// Empty: the format has none.
    public var metadata: Metadata { Metadata() }

    public func isMapped(_ index: Int) -> Bool {
        members[index].entry.method == .stored && members[index].header.isNative
    }

    /// The data of a stored member, or the whole of a deflated one.
    public func location(of index: Int) -> StoredLocation {
        let member = members[index]
        return StoredLocation(
            file: path, range: member.entry.method == .stored ? dataRange(of: member) : member.entry.data)
    }

    public func bytes(of index: Int) throws -> TensorBytes {
        let member = members[index]
        switch member.entry.method {
        case .stored:
            if !verified.withLock({ $0.contains(index) }) {
                try checkStored(member)
                verified.withLock { _ = $0.insert(index) }
            }
            let data = dataRange(of: member)
            if member.header.isNative { return TensorBytes(mapped: file, range: data) }
            return TensorBytes(decoded: try member.header.decode(UnsafeRawBufferPointer(rebasing: file.bytes[data])))
        case .deflated:
            let unpacked = try AlignedBuffer(byteCount: descriptors[index].byteCount)
            try unpack(member, into: unpacked.mutableBytes)
            return TensorBytes(decoded: try member.header.decode(unpacked: unpacked))
        }
    }

    /// Sums every member, large stored ones in pieces, so that one of them keeps all threads busy.
    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        let pieces = members.indices.flatMap { number in
            members[number].entry.pieces.map { (member: number, range: $0) }
        }
        let sums = Mutex([UInt32](repeating: 0, count: pieces.count))
        let faults = Mutex([FormatError?](repeating: nil, count: members.count))
        try concurrently(count: pieces.count, threads: threads) { [self] number in
            let (place, range) = pieces[number]
            switch members[place].entry.method {
            case .stored:
                let sum = CRC32.of(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
                sums.withLock { $0[number] = sum }
            case .deflated:
                do { try unpack(members[place], into: nil) } catch let error as FormatError {
                    faults.withLock { $0[place] = error }
                }
            }
            progress(range.count)
        }
        var result = Verification()
        var sumOfMember = [UInt32](repeating: 0, count: members.count)
        for (piece, sum) in zip(pieces, sums.withLock { $0 }) {
            sumOfMember[piece.member] = CRC32.combine(sumOfMember[piece.member], sum, count: piece.range.count)
        }
        for (number, member) in members.enumerated() {
            var fault = faults.withLock { $0[number] }
            if member.entry.method == .stored {
                do throws(FormatError) { try check(sumOfMember[number], of: member) } catch { fault = error }
            }
            if let fault {
                result.damage.append(
                    Damage(
                        tensor: member.name, file: path, offset: member.entry.data.lowerBound,
                        byteCount: member.entry.data.count, reason: fault.message))
            }
            result.checkedByteCount += member.entry.data.count
        }
        return result
    }

    private func dataRange(of member: Member) -> Range<Int> {
        member.entry.data.lowerBound + member.header.byteCount..<member.entry.data.upperBound
    }
}

extension ZipEntry {
    /// The ranges of the file that are summed one by one: a deflated member can only be unpacked from its start.
    fileprivate var pieces: [Range<Int>] {
        guard method == .stored else { return [data] }
        let starts = stride(from: data.lowerBound, to: data.upperBound, by: 8 << 20)
        return starts.map { $0..<min(data.upperBound - $0, 8 << 20) + $0 }
    }
}

// MARK: - Headers

extension NpzReader {
    /// The member name without one `.npy`, as NumPy shortens it.
    private static func tensorName(of entry: ZipEntry) -> TensorName {
        let name = entry.name.utf8
        let suffix = ".npy".utf8
        // By bytes: some characters join with a full stop behind them into one.
        return TensorName(
            name.suffix(suffix.count).elementsEqual(suffix)
                ? String(decoding: name.dropLast(suffix.count), as: UTF8.self) : entry.name)
    }

    private static func source(of entry: ZipEntry, _ name: TensorName, _ path: FilePath) -> NpySource {
        NpySource(file: path, tensor: name, position: entry.method == .stored ? entry.data.lowerBound : nil)
    }

    private static func readHeader(
        of entry: ZipEntry, in file: MappedFile, source: NpySource, options: ReadOptions
    ) throws -> NpyHeader {
        switch entry.method {
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

    /// A line about a member that unpacks to far more than it takes: zeros do so honestly, attacks too.
    private static func expansionWarning(about entry: ZipEntry) -> String? {
        guard entry.byteCount > 1 << 20, entry.byteCount / 1000 > entry.data.count else { return nil }
        return
            "member \(entry.label) unpacks \(entry.data.count) bytes to \(entry.byteCount), over a thousand times as many"
    }
}

// MARK: - Data

extension NpzReader {
    private func checkStored(_ member: Member) throws(FormatError) {
        try check(CRC32.of(UnsafeRawBufferPointer(rebasing: file.bytes[member.entry.data])), of: member)
    }

    /// Inflates a member and checks its size and sum; its data goes to `target`, unless that is nil.
    private func unpack(_ member: Member, into target: UnsafeMutableRawBufferPointer?) throws {
        let stream = try EntryInflate(member.entry, in: file)
        var sum = CRC32()
        var position = 0
        while let block = try stream.next() {
            sum.update(block)
            // The stream never yields more than the member's size, which is that of header and data.
            let skipped = min(max(member.header.byteCount - position, 0), block.count)
            if let target, skipped < block.count {
                let place = position + skipped - member.header.byteCount
                UnsafeMutableRawBufferPointer(rebasing: target[place...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: block[skipped...]))
            }
            position += block.count
        }
        try check(sum.value, of: member)
    }

    private func check(_ sum: UInt32, of member: Member) throws(FormatError) {
        guard sum != member.entry.crc32 else { return }
        func hex(_ value: UInt32) -> String {
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }
        throw FormatError(
            .badCRC,
            "tensor \"\(member.name)\" is damaged: its bytes have the CRC-32 \(hex(sum)) and the archive says "
                + hex(member.entry.crc32), file: path, tensor: member.name, byteOffset: member.entry.data.lowerBound,
            hint: "fetch the file again")
    }
}
