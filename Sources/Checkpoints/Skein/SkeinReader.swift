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
    /// What is known of the contiguous tensors.
    let contiguousChecks: [Int: ContiguousCheck]
    /// The base, or why there is none.
    private let openBase = Mutex<Result<SkeinBase, any Error>?>(nil)
    private let range: Range<Int>

    /// Opens a file and checks its seals and its index; chunks are not touched.
    ///
    /// - Throws: `FormatError` with the first rule that is broken, `zip_bomb` when the file claims more data than
    ///   `options.expansionAllowance` lets it; `IOError` when the file cannot be read.
    public init(opening path: FilePath, options: ReadOptions = ReadOptions()) throws {
        file = try SkeinFile(path)
        let frame = try SkeinFrame(
            file, salvaging: options.salvaging, expansionAllowance: options.expansionAllowance)
        index = frame.index
        range = frame.extent.chunks
        warnings =
            options.notes + frame.damage.map(\.warning) + frame.index.expansionWarnings
        self.options = options
        map = try MappedFile(path)
        let tensors = index.tensors
        let largest = tensors.map { $0.isContiguous ? 0 : min($0.chunkByteCount, $0.descriptor.byteCount) }.max() ?? 0
        decoders = LendingPool { try SkeinChunkDecoder(rawByteCount: largest) }
        contiguousChecks = Dictionary(
            uniqueKeysWithValues: tensors.indices.lazy.filter { tensors[$0].isContiguous }.map {
                ($0, ContiguousCheck())
            })
        descriptors = tensors.map(\.descriptor)
    }

    public let descriptors: [TensorDescriptor]
    public var format: FormatID { .skein }
    public var path: FilePath { file.path }
    public var files: [FilePath] { [path] }
    public var metadata: Metadata { index.metadata }

    /// The identity of the checkpoint, by which it is recognised as a base.
    public var identity: ContentHash { index.identity }

    /// The hash of a tensor's bytes as the file states it; `verify(deep:)` compares.
    public func contentHash(of index: Int) -> ContentHash { self.index.tensors[index].contentHash }

    /// The file name of the base that the file was written against.
    public var baseFileName: String? { index.base?.fileName }

    /// The identity of the base that the file was written against.
    public var baseIdentity: ContentHash? { index.base?.identity }

    /// Whether a tensor can only be read beside the base.
    public func needsBase(_ index: Int) -> Bool { self.index.tensors[index].needsBase }

    /// Opens the base if some tensor needs it.
    ///
    /// - Throws: `FormatError` `missing_base`, or what is wrong with the base; `IOError` when the base that the options name
    ///   cannot be opened.
    public func requireBase() throws {
        if index.tensors.contains(where: \.needsBase) { _ = try base() }
    }

    public func isMapped(_ index: Int) -> Bool { self.index.tensors[index].isContiguous }
    public func canReadRanges(of index: Int) -> Bool { true }

    public func location(of index: Int) -> StoredLocation {
        let places = self.index.chunks[self.index.tensors[index].chunks]
        guard let first = places.first, let last = places.last else {
            return StoredLocation(file: path, range: range.lowerBound..<range.lowerBound)
        }
        return StoredLocation(file: path, range: first.offset..<last.storedRange.upperBound)
    }

    /// The bytes of a tensor, decoded on `options.threads` threads unless they can be mapped.
    ///
    /// - Throws: as `CheckpointReader.bytes(of:)`; `missing_base` and `wrong_base` where a base is needed.
    public func bytes(of index: Int) throws -> TensorBytes {
        let tensor = self.index.tensors[index]
        if tensor.isContiguous { return TensorBytes(mapped: map, range: try contiguousRange(of: index)) }
        if let limit = options.memoryByteCount {
            try requireMemory(limit, for: tensor.descriptor.byteCount, toDecode: index)
        }
        return try bytes(of: index, in: 0..<tensor.descriptor.byteCount)
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
        return try bytes(of: index, in: rows.lowerBound * width..<rows.upperBound * width)
    }

    private func bytes(of index: Int, in range: Range<Int>) throws -> TensorBytes {
        let tensor = self.index.tensors[index]
        try checkPresence(of: range, in: index)
        let buffer = try AlignedBuffer(byteCount: range.count, isZeroed: false)
        if tensor.isContiguous {
            try read(range, of: index, into: buffer.mutableBytes)
        } else if !range.isEmpty {
            let first = range.lowerBound / tensor.chunkByteCount
            let last = (range.upperBound - 1) / tensor.chunkByteCount
            try parallel(count: last - first + 1, threads: options.threads) { [self] number in
                let part = tensor.range(ofChunk: first + number).clamped(to: range)
                try decode(
                    part, of: index, chunk: first + number,
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
        let tensor = self.index.tensors[index]
        if tensor.isContiguous { return try readContiguous(range, of: index, into: target) }
        var position = range.lowerBound
        while position < range.upperBound {
            let chunk = position / tensor.chunkByteCount
            let part = tensor.range(ofChunk: chunk).clamped(to: range)
            try decode(
                part, of: index, chunk: chunk,
                into: UnsafeMutableRawBufferPointer(
                    rebasing: target[part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound]))
            position = part.upperBound
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
            let free = index.tensors.count { !$0.needsBase }
            let reason = error.kind == .notFound ? "is not beside it" : "cannot be opened: \(error.message)"
            throw FormatError(
                .missingBase,
                "\(path.string) is stored as the difference to \"\(reference.fileName.escapingControlCharacters)\" with "
                    + "the identity \(reference.identity), which \(reason)", file: path,
                hint: "name the base with --base; \(free) of \(index.tensors.count) tensors can be read without it")
        }
    }
}
