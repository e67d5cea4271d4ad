import SystemPackage
import TensorCore

/// Some tensors of a checkpoint, perhaps under other names or several, as a checkpoint of its own. Nothing is copied; blocks can be
/// shown as the numbers that they decode to.
public struct CheckpointView: CheckpointReader {
    private let source: any CheckpointReader
    public let descriptors: [TensorDescriptor]
    /// For every tensor its place in the source.
    private let places: [Int]
    /// For every tensor that is decoded the kind of its blocks.
    private let blocks: [BlockType?]

    /// Shows tensors of a checkpoint.
    ///
    /// - Parameter tensors: the place of each in the source, and what it is called; a place may come several times.
    /// - Precondition: no name comes twice.
    public init(_ source: any CheckpointReader, showing tensors: [(place: Int, name: TensorName)]) {
        self.source = source
        places = tensors.map(\.place)
        descriptors = tensors.map { source.descriptors[$0.place].renamed($0.name) }
        blocks = tensors.map { _ in nil }
    }

    /// Shows a checkpoint whose tensors are all numbers: those that are stored in blocks as the F32 that these decode to.
    ///
    /// - Throws: `FormatError` `overflow` for a tensor that is too large as F32.
    public init(decoding source: any CheckpointReader) throws(FormatError) {
        self.source = source
        places = Array(source.descriptors.indices)
        blocks = source.descriptors.map { if case .blocks(let type) = $0.layout { type } else { nil } }
        var descriptors: [TensorDescriptor] = []
        for tensor in source.descriptors {
            guard !tensor.layout.isPlain else {
                descriptors.append(tensor)
                continue
            }
            do {
                descriptors.append(try TensorDescriptor(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape))
            } catch {
                throw FormatError(
                    .overflow, "tensor \"\(tensor.name)\" of shape \(tensor.shape) is too large as F32",
                    file: source.path, tensor: tensor.name)
            }
        }
        self.descriptors = descriptors
    }

    /// Shows a checkpoint without a tensor.
    public init(_ source: any CheckpointReader, without dropped: TensorName) {
        self.init(source, showing: Self.all(of: source).filter { $0.name != dropped })
    }

    /// Shows a checkpoint with a further name for one tensor.
    public init(_ source: any CheckpointReader, alias: TensorName, ofTensorAt place: Int) {
        self.init(source, showing: Self.all(of: source) + [(place, alias)])
    }

    private static func all(of source: any CheckpointReader) -> [(place: Int, name: TensorName)] {
        source.descriptors.enumerated().map { ($0.offset, $0.element.name) }
    }

    /// What the checkpoint calls a tensor, whatever it is shown as.
    public func storedName(of index: Int) -> TensorName {
        let place = places[index]
        return (source as? CheckpointView)?.storedName(of: place) ?? source.descriptors[place].name
    }

    public var format: FormatID { source.format }
    public var path: FilePath { source.path }
    public var files: [FilePath] { source.files }
    public var metadata: Metadata { source.metadata }
    public var warnings: [Warning] { source.warnings }
    public var unreadable: [UnreadableMember] { source.unreadable }

    /// The bytes of a tensor; those of blocks are decoded.
    ///
    /// - Throws: `FormatError` `unsupported_dtype` for blocks that are not decoded, and what the source throws.
    public func bytes(of index: Int) throws -> TensorBytes {
        guard blocks[index] != nil else { return try source.bytes(of: places[index]) }
        let buffer = try AlignedBuffer(byteCount: descriptors[index].byteCount, isZeroed: false)
        try read(0..<buffer.byteCount, of: index, into: buffer.mutableBytes)
        return TensorBytes(decoded: buffer)
    }

    public func isMapped(_ index: Int) -> Bool { blocks[index] == nil && source.isMapped(places[index]) }
    public func canReadRanges(of index: Int) -> Bool { source.canReadRanges(of: places[index]) }

    public func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        guard let type = blocks[index] else { return try source.read(range, of: places[index], into: target) }
        let tensor = descriptors[index]
        guard type.isDecodable else {
            throw FormatError(
                .unsupportedDtype, "tensor \"\(tensor.name)\" is stored as \(type.rawValue), which is not decoded",
                file: path, tensor: tensor.name)
        }
        let run = BlockRun(of: range, type)
        try source.withBytes(run.stored, of: places[index]) { stored in
            if run.isWhole, Int(bitPattern: target.baseAddress) % MemoryLayout<Float>.alignment == 0 {
                run.decode(stored, into: target)
            } else {
                let numbers = try AlignedBuffer(byteCount: run.decoded.count, isZeroed: false)
                run.decode(stored, into: numbers.mutableBytes)
                let start = range.lowerBound - run.decoded.lowerBound
                withExtendedLifetime(numbers) {
                    target.copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: numbers.bytes[start..<start + range.count]))
                }
            }
        }
    }

    public func location(of index: Int) -> StoredLocation { source.location(of: places[index]) }

    public func decodedTogetherByteCount(of index: Int) -> Int {
        guard let type = blocks[index] else { return source.decodedTogetherByteCount(of: places[index]) }
        return type.elementCount * MemoryLayout<Float>.size
    }

    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        try source.verify(deep: deep, threads: threads, progress: progress)
    }
}

/// The blocks that some decoded bytes of a tensor come from.
private struct BlockRun {
    private let type: BlockType
    /// The bytes of the blocks.
    let stored: Range<Int>
    /// The bytes that they decode to.
    let decoded: Range<Int>
    /// Whether these are the bytes that are wanted, and no others.
    let isWhole: Bool

    init(of range: Range<Int>, _ type: BlockType) {
        self.type = type
        let size = type.elementCount * MemoryLayout<Float>.size
        // In this order nothing overflows: the range lies in a tensor.
        let first = range.lowerBound / size
        let end = max(first, range.upperBound / size + (range.upperBound % size == 0 ? 0 : 1))
        stored = first * type.byteCount..<end * type.byteCount
        decoded = first * size..<end * size
        isWhole = decoded == range
    }

    /// Safety: `target` has the size of `decoded` and is aligned to its numbers.
    func decode(_ blocks: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) {
        guard let start = target.baseAddress else { return }
        type.dequantize(blocks, into: start.assumingMemoryBound(to: Float.self))
    }
}

extension CheckpointReader {
    /// Calls `body` with a range of a tensor's bytes, where they are mapped or read into memory.
    fileprivate func withBytes(
        _ range: Range<Int>, of index: Int, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        if isMapped(index) {
            return try bytes(of: index).withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        }
        let buffer = try AlignedBuffer(byteCount: range.count, isZeroed: false)
        try read(range, of: index, into: buffer.mutableBytes)
        try withExtendedLifetime(buffer) { try body(buffer.bytes) }
    }
}
