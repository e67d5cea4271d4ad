import Synchronization
public import SystemPackage
public import TensorCore

/// Reads a PyTorch checkpoint: what `torch.save` writes, as a zip archive or as the older stream of pickles.
///
/// The pickle is carried out on data alone: no class is looked up, no function is called, and a file that names any other than
/// those which rebuild tensors is refused. The numbers of contiguous tensors are used where they are mapped; those of other views
/// are gathered, in ranges where that is enough.
public final class TorchReader: CheckpointReader {
    public let descriptors: [TensorDescriptor]
    public let warnings: [Warning]
    public let unreadable: [UnreadableMember]
    /// The tensors that are views of the same numbers; each of them is among the descriptors all the same.
    public let sharedTensors: [SharedTensors]
    let file: MappedFile
    let views: [TorchView]
    /// All members of an archive that has checksums; none in a legacy file.
    let members: [ZipEntry]
    /// The tensors that were wanted and are not whole, and bytes behind an archive; without `salvaging` the first is an error.
    let damage: [Damage]
    private let memoryByteCount: Int?
    /// The records whose checksum was right.
    private let verified = Mutex<Set<TorchStorage.Key>>([])

    /// Beyond the allowance, how many times the size of the file its tensors may have together.
    static let maximumExpansion = 64

    /// Opens a file and checks its pickle and every tensor that it describes; numbers are not touched.
    ///
    /// - Throws: `FormatError` with the first rule that is broken by the file, or by a tensor that the options select;
    ///   `IOError` when the file cannot be read.
    public init(opening path: FilePath, options: ReadOptions = ReadOptions()) throws {
        let file = try MappedFile(path)
        let contents = try TorchFile(file, options: options)
        let state = try withExtendedLifetime(contents.pickleOwner) { () throws(FormatError) in
            try StateDict(contents, root: options.root)
        }
        try Self.checkStorages(of: state, in: contents)
        var views: [TorchView] = []
        var damage = contents.damage
        var unreadable: [UnreadableMember] = []
        for (name, content) in state.tensors {
            do throws(FormatError) {
                switch content {
                case .tensor(let tensor): views.append(try TorchView(tensor, named: name, of: contents))
                case .unsupported(let kind, let position):
                    throw FormatError(
                        .unsupportedObject,
                        "tensor \"\(name)\" is a \(kind) tensor, and only tensors of plain numbers are read",
                        file: path, tensor: name, byteOffset: contents.source.start.map { $0 + position },
                        hint: "leave it out with --exclude, or save it as a plain tensor: dequantize(), to_dense()")
                }
            } catch {
                if options.selection.contains(name) {
                    guard options.salvaging, error.category == .truncated || error.category == .badStorage else {
                        throw error
                    }
                    damage.append(
                        Damage(
                            tensor: name, file: path, offset: Int(error.byteOffset ?? 0), byteCount: 0,
                            reason: error.message))
                }
                unreadable.append(UnreadableMember(name: name, error: error))
            }
        }
        try Self.checkSize(of: views, file: file, allowance: options.expansionAllowance)
        self.file = file
        self.views = views
        members = contents.members
        self.damage = damage
        self.unreadable = unreadable
        memoryByteCount = options.memoryByteCount
        descriptors = views.map(\.descriptor)
        sharedTensors = SharedTensors.groups(among: views)
        warnings =
            options.notes + contents.warnings
            + [Self.warning(about: state), state.partsWarning, SharedTensors.warning(about: sharedTensors)]
            .compactMap { $0 }
    }

    /// A key must stand for one record of one type.
    private static func checkStorages(of state: StateDict, in file: TorchFile) throws(FormatError) {
        var known: [TorchStorage.Key: TorchStorage] = [:]
        for case (let name, .tensor(let tensor)) in state.tensors {
            let storage = tensor.storage
            guard let first = known[storage.key] else {
                known[storage.key] = storage
                continue
            }
            guard first.dtype == storage.dtype, first.count == storage.count, first.isQuantised == storage.isQuantised
            else {
                throw FormatError(
                    .badStorage,
                    "tensor \"\(name)\" is a view of storage \(storage.key), which another tensor has "
                        + "with another type or size", file: file.source.file, tensor: name,
                    byteOffset: file.source.start.map { $0 + storage.byteOffset })
            }
        }
    }

    /// Views can repeat numbers at no cost to the file: all tensors together may not take far more than it does.
    private static func checkSize(of views: [TorchView], file: MappedFile, allowance: Int) throws(FormatError) {
        let (expanded, overflow) = file.byteCount.multipliedReportingOverflow(by: maximumExpansion)
        var left = overflow ? Int.max : max(expanded, allowance)
        for view in views {
            left -= view.descriptor.byteCount
            guard left >= 0 else {
                throw FormatError(
                    .limitExceeded,
                    "the tensors take far more than the \(file.byteCount) bytes of the file, as views that repeat numbers: "
                        + "\"\(view.descriptor.name)\" alone takes \(view.descriptor.byteCount)", file: file.path,
                    tensor: view.descriptor.name, hint: "leave it out with --exclude")
            }
        }
    }

    /// What is passed over, in one line.
    private static func warning(about state: StateDict) -> Warning? {
        guard state.leafCount > 0 else { return nil }
        let list = state.leaves.map { "\"\($0.name)\" (\($0.kind))" }.joined(separator: ", ")
        let rest = state.leafCount > state.leaves.count ? ", and \(state.leafCount - state.leaves.count) more" : ""
        let count =
            state.leafCount == 1
            ? "1 value of the file is no tensor and is" : "\(state.leafCount) values of the file are no tensors and are"
        return Warning(FormatWarning.passedOver, "\(count) passed over: \(list)\(rest)")
    }

    public var format: FormatID { .torch }
    public var path: FilePath { file.path }
    public var files: [FilePath] { [path] }
    /// Empty: what a file holds besides tensors is no list of texts.
    public var metadata: Metadata { Metadata() }

    public func isMapped(_ index: Int) -> Bool { views[index].isMapped }
    public func canReadRanges(of index: Int) -> Bool { views[index].record.isStored }

    public func decodedTogetherByteCount(of index: Int) -> Int {
        canReadRanges(of: index) ? 0 : decodingByteCount(of: views[index])
    }

    /// The elements of a stored record from the first to the last of the tensor, or the whole of a deflated one.
    public func location(of index: Int) -> StoredLocation {
        StoredLocation(file: path, range: views[index].location)
    }

    public func bytes(of index: Int) throws -> TensorBytes {
        let view = views[index]
        if let memoryByteCount, !isMapped(index) {
            try requireMemory(memoryByteCount, for: decodingByteCount(of: view), toDecode: index)
        }
        if isMapped(index) {
            try checkStored(view)
            return TensorBytes(mapped: file, range: view.location)
        }
        let buffer = try AlignedBuffer(byteCount: view.descriptor.byteCount)
        try read(0..<view.descriptor.byteCount, of: index, into: buffer.mutableBytes)
        return TensorBytes(decoded: buffer)
    }

    public func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        let view = views[index]
        if view.record.isStored {
            try checkStored(view)
            view.elements.read(range, of: UnsafeRawBufferPointer(rebasing: file.bytes[view.location]), into: target)
        } else if let entry = view.record.entry {
            guard entry.method != nil else { throw entry.unsupportedMethod(named: view.descriptor.name, in: file) }
            let record = try entry.inflated(named: view.descriptor.name, in: file)
            withExtendedLifetime(record) {
                view.elements.read(range, of: UnsafeRawBufferPointer(rebasing: record.bytes[view.range]), into: target)
            }
        }
    }

    /// What reading a tensor takes besides mapped memory: itself, and the record that must be unpacked for it.
    private func decodingByteCount(of view: TorchView) -> Int {
        // Both sizes were compared with the file.
        view.descriptor.byteCount + (view.record.isStored ? 0 : view.record.byteCount)
    }

    /// Compares the checksum of a record before it is first used.
    private func checkStored(_ view: TorchView) throws {
        guard !members.isEmpty, let entry = view.record.entry, !verified.withLock({ $0.contains(view.key) }) else {
            return
        }
        try entry.checkContents(named: view.descriptor.name, in: file)
        verified.withLock { _ = $0.insert(view.key) }
    }
}
