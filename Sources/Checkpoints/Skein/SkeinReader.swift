import Synchronization
import SystemPackage
import TensorCore

/// Reads a .skein file; see `SkeinSeal` for the layout.
///
/// Chunks are read by position, checked before anything decodes them, and decoded by themselves: a tensor or a range of rows
/// touches nothing else of the file. Tensors that are stored as they are get mapped. A file that was written against a base
/// opens without it; tensors that need it look for it when they are first read.
public final class SkeinReader: CheckpointReader {
    public let warnings: [Warning]
    let file: SkeinFile
    let index: SkeinIndex
    let options: ReadOptions
    let decoders: LendingPool<SkeinChunkDecoder>
    private let map: MappedFile
    let windows = SkeinWindows()
    /// What is known of the contiguous tensors.
    let contiguousChecks: [Int: ContiguousCheck]
    /// The base, or why there is none.
    private let openBase = Mutex<Result<SkeinBase, any Error>?>(nil)
    /// All chunks with their padding.
    private let chunks: Range<Int>
    /// Where the bytes of each tensor lie.
    private let parts: [SkeinPart]

    /// Opens a file and checks its seals and its index; chunks are not touched.
    ///
    /// - Throws: `FormatError` with the first rule that is broken, `zip_bomb` when the file claims more data than
    ///   `options.expansionAllowance` lets it; `IOError` when the file cannot be read.
    public init(opening path: FilePath, options: ReadOptions = ReadOptions()) throws {
        // First, so that the index is of the file whose changes are noticed.
        map = try MappedFile(path)
        file = try SkeinFile(path)
        let frame = try SkeinFrame(
            file, salvaging: options.salvaging, expansionAllowance: options.expansionAllowance)
        index = frame.index
        chunks = frame.extent.chunks
        warnings =
            options.notes + frame.damage.map(\.warning) + frame.index.expansionWarnings
        self.options = options
        let tensors = index.tensors
        let largest = tensors.map { $0.isContiguous ? 0 : min($0.chunkByteCount, $0.descriptor.byteCount) }.max() ?? 0
        decoders = LendingPool { try SkeinChunkDecoder(rawByteCount: largest) }
        contiguousChecks = Dictionary(
            uniqueKeysWithValues: tensors.indices.lazy.filter { tensors[$0].isContiguous }.map {
                ($0, ContiguousCheck())
            })
        let all = index.parts
        descriptors = all.map(\.descriptor)
        parts = all.map(\.part)
    }

    public let descriptors: [TensorDescriptor]
    public var format: FormatID { .skein }
    public var path: FilePath { file.path }
    public var files: [FilePath] { [path] }
    public var metadata: Metadata { index.metadata }

    /// The identity of the checkpoint, by which it is recognised as a base.
    ///
    /// - Throws: what `contentHash(of:)` throws.
    public var identity: ContentHash {
        get throws { .identity(of: try descriptors.indices.map { (descriptors[$0], try contentHash(of: $0)) }) }
    }

    /// The hash of a tensor's bytes as the file states it; `verify(deep:)` compares. Of one that shares chunks it is worked out.
    ///
    /// - Throws: what `bytes(of:)` throws when it reads a tensor that shares chunks.
    public func contentHash(of index: Int) throws -> ContentHash {
        let entry = entry(of: index)
        guard entry.members != nil else { return entry.contentHash }
        return try bytes(of: index).withUnsafeBytes { ContentHash(ofTensor: $0) }
    }

    /// The file name of the base that the file was written against.
    public var baseFileName: String? { index.base?.fileName }

    /// The identity of the base that the file was written against.
    public var baseIdentity: ContentHash? { index.base?.identity }

    /// Whether a tensor can only be read beside the base.
    public func needsBase(_ index: Int) -> Bool { entry(of: index).needsBase }

    /// The entry of the index that holds a tensor.
    func entry(of index: Int) -> SkeinTensor { self.index.tensors[parts[index].entry] }

    /// Opens the base if some tensor needs it.
    ///
    /// - Throws: `FormatError` `missing_base`, or what is wrong with the base; `IOError` when the base that the options name
    ///   cannot be opened.
    public func requireBase() throws {
        if index.tensors.contains(where: \.needsBase) { _ = try base() }
    }

    public func isMapped(_ index: Int) -> Bool { entry(of: index).isContiguous }
    public func canReadRanges(of index: Int) -> Bool { true }

    public func location(of index: Int) -> StoredLocation {
        StoredLocation(file: path, range: storedRange(of: parts[index].entry, in: parts[index].range))
    }

    /// Where the chunks lie that hold a range of an entry of the index.
    func storedRange(of entry: Int, in range: Range<Int>) -> Range<Int> {
        let tensor = index.tensors[entry]
        let places = index.chunks[tensor.chunks(in: range).shifted(by: tensor.chunks.lowerBound)]
        guard let first = places.first, let last = places.last else { return chunks.lowerBound..<chunks.lowerBound }
        return first.offset..<last.storedRange.upperBound
    }

    /// The bytes of a tensor, decoded on `options.threads` threads unless they can be mapped.
    ///
    /// - Throws: as `CheckpointReader.bytes(of:)`; `missing_base` and `wrong_base` where a base is needed.
    public func bytes(of index: Int) throws -> TensorBytes {
        let part = parts[index]
        if isMapped(index) { return TensorBytes(mapped: map, range: try contiguousRange(of: part.entry)) }
        if let limit = options.memoryByteCount { try requireMemory(limit, for: part.range.count, toDecode: index) }
        return try bytes(of: part.entry, in: part.range)
    }

    /// Some rows of a tensor, a row being what the first dimension counts; only the chunks that hold them are decoded.
    ///
    /// - Throws: `FormatError` `bad_shape` when the tensor has no such rows, or rows that are no whole bytes; what
    ///   `bytes(of:)` throws.
    public func bytes(of index: Int, rows: Range<Int>) throws -> TensorBytes {
        let descriptor = descriptors[index]
        guard let rowCount = descriptor.shape.dims.first, rows.lowerBound >= 0, rows.upperBound <= rowCount,
            rowCount == 0 || descriptor.byteCount % rowCount == 0
        else {
            throw FormatError(
                .badShape,
                "tensor \"\(descriptor.name)\" of shape \(descriptor.shape) has no rows \(rows.lowerBound) to "
                    + "\(rows.upperBound)", file: path, tensor: descriptor.name)
        }
        let width = rowCount == 0 ? 0 : descriptor.byteCount / rowCount
        let part = parts[index]
        return try bytes(
            of: part.entry, in: (rows.lowerBound * width..<rows.upperBound * width).shifted(by: part.range.lowerBound))
    }

    private func bytes(of entry: Int, in range: Range<Int>) throws -> TensorBytes {
        let tensor = index.tensors[entry]
        try checkPresence(of: range, in: entry)
        let buffer = try AlignedBuffer(byteCount: range.count, isZeroed: false)
        if tensor.isContiguous {
            try readContiguous(range, of: entry, into: buffer.mutableBytes)
        } else {
            let chunks = tensor.chunks(in: range)
            try parallel(count: chunks.count, threads: options.threads) { [self] number in
                let part = tensor.range(ofChunk: chunks.lowerBound + number).clamped(to: range)
                try decode(
                    part, of: entry, chunk: chunks.lowerBound + number,
                    into: UnsafeMutableRawBufferPointer(
                        rebasing: buffer.mutableBytes[
                            part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound]))
            }
        }
        return TensorBytes(decoded: buffer)
    }

    /// Reads a range of a tensor on the calling thread.
    ///
    /// - Throws: as `bytes(of:)`.
    public func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        let entry = parts[index].entry
        let tensor = self.index.tensors[entry]
        if tensor.isContiguous { return try readContiguous(range, of: entry, into: target) }
        let range = range.shifted(by: parts[index].range.lowerBound)
        for chunk in tensor.chunks(in: range) {
            let part = tensor.range(ofChunk: chunk).clamped(to: range)
            try decode(
                part, of: entry, chunk: chunk,
                into: UnsafeMutableRawBufferPointer(
                    rebasing: target[part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound]))
        }
    }

    /// Refuses a range before anything is allocated for it when the file was cut off before its end.
    private func checkPresence(of range: Range<Int>, in number: Int) throws(FormatError) {
        let tensor = index.tensors[number]
        guard !range.isEmpty else { return }
        let chunk = (range.upperBound - 1) / tensor.chunkByteCount
        guard index.chunks[tensor.chunks.lowerBound + chunk].storedRange.upperBound <= file.byteCount else {
            throw damage(
                .badChecksum, "the file ends before it, at byte \(file.byteCount)", tensor: number, chunk: chunk)
        }
    }

    /// The base, opened when it is first needed; a base that cannot be opened is not tried again.
    func base() throws -> SkeinBase {
        try openBase.withLock { base in
            let opened = base ?? Result { try SkeinBase(try openBaseStore(), threads: options.threads) }
            base = opened
            return try opened.get()
        }
    }

    private func openBaseStore() throws -> TensorStore {
        if let path = options.base(recordedAs: index.base?.fileName, beside: path) {
            return try TensorStore(opening: path, options: options.withoutBase)
        }
        guard let reference = index.base else {
            throw FormatError(.badChunk, "a chunk of \(path.string) needs a base but none is recorded", file: path)
        }
        let sibling = path.removingLastComponent().appending(FilePath.Component(reference.fileName) ?? "base")
        do {
            // A file of the same name in another folder was the base; it is not this file.
            if isSameFile(sibling, path) {
                throw IOError(kind: .notFound, message: "the base is not beside the file", file: sibling.string)
            }
            return try TensorStore(opening: sibling, options: options.withoutBase)
        } catch let error as IOError where error.kind != .memory {
            let free = descriptors.indices.count { !needsBase($0) }
            let reason = error.kind == .notFound ? "is not beside it" : "cannot be opened: \(error.message)"
            throw FormatError(
                .missingBase,
                "\(path.string) is stored as the difference to \"\(reference.fileName.escapingControlCharacters)\" with "
                    + "the identity \(reference.identity), which \(reason)", file: path,
                hint: "name the base with --base; \(free) of \(descriptors.count) tensors can be read without it")
        }
    }
}
