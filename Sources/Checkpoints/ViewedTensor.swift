import SystemPackage
import TensorCore

/// One tensor of a view: where it is stored, and what it is shown as.
struct ViewedTensor: Sendable {
    let reader: any CheckpointReader
    /// The place in that reader.
    let place: Int
    let descriptor: TensorDescriptor
    private let form: Form

    /// What becomes of the stored bytes.
    private enum Form {
        case stored
        /// Blocks are decoded to F32.
        case decoded(BlockType)
        /// Rows come in another order.
        case ordered(RotaryOrder, rowByteCount: Int)
        /// Changes of adapters are added.
        case folded(FoldedWeight)
        /// Codes, which lie at the place, are numbers by scales. `before` is the type that the weight had before.
        case quantized(QuantizedWeight, before: DType)
    }

    /// Names a tensor.
    init(_ reader: any CheckpointReader, _ place: Int, named name: TensorName) {
        self.reader = reader
        self.place = place
        descriptor = reader.descriptors[place].renamed(name)
        form = .stored
    }

    /// Shows a tensor as numbers.
    ///
    /// - Throws: `FormatError` `overflow` for a tensor that is too large as F32.
    init(decoding reader: any CheckpointReader, _ place: Int) throws(FormatError) {
        let stored = reader.descriptors[place]
        self.reader = reader
        self.place = place
        guard case .blocks(let type) = stored.layout else {
            descriptor = stored
            form = .stored
            return
        }
        do { descriptor = try TensorDescriptor(name: stored.name, dtype: stored.dtype, shape: stored.shape) } catch {
            throw FormatError(
                .overflow, "tensor \"\(stored.name)\" of shape \(stored.shape) is too large as F32",
                file: reader.path, tensor: stored.name)
        }
        form = .decoded(type)
    }

    /// Names a tensor and orders its rows.
    ///
    /// - Throws: `FormatError` `bad_shape` when the heads do not fill the rows.
    init(
        _ reader: any CheckpointReader, _ place: Int, named name: TensorName, order: RotaryOrder
    ) throws(FormatError) {
        let stored = reader.descriptors[place]
        let rowCount = stored.shape.dims.first ?? 1
        guard order.fits(rowCount: rowCount), stored.shape.rank > 1 || stored.layout.isPlain else {
            throw FormatError(
                .badShape,
                "tensor \"\(stored.name)\" of shape \(stored.shape) does not hold \(order.headCount) heads of whole pairs",
                file: reader.path, tensor: stored.name)
        }
        self.reader = reader
        self.place = place
        descriptor = stored.renamed(name)
        form = .ordered(order, rowByteCount: rowCount == 0 ? 0 : stored.byteCount / rowCount)
    }

    /// Shows what a weight becomes by adapters.
    ///
    /// - Parameter weight: made of the same tensor.
    init(_ reader: any CheckpointReader, _ place: Int, folded weight: FoldedWeight) {
        self.reader = reader
        self.place = place
        descriptor = weight.descriptor
        form = .folded(weight)
    }

    /// Shows the weight that codes and other parts stand for.
    ///
    /// - Parameters:
    ///   - descriptor: what it is shown as, in F32.
    ///   - before: the type that it had before it was quantised.
    init(
        _ weight: QuantizedWeight, of reader: any CheckpointReader, as descriptor: TensorDescriptor, before: DType
    ) {
        self.reader = reader
        place = weight.codes.place
        self.descriptor = descriptor
        form = .quantized(weight, before: before)
    }

    /// Whether the tensor is put together of codes and scales.
    var isQuantized: Bool {
        if case .quantized = form { true } else { (reader as? CheckpointView)?.isQuantized(place) ?? false }
    }

    /// The type in which a result in the tensor's place is best stored.
    var restingType: DType {
        switch form {
        case .quantized(_, let before): before
        case .stored, .ordered, .folded: reader.restingType(of: place)
        case .decoded: descriptor.dtype
        }
    }

    var isMapped: Bool { if case .stored = form { reader.isMapped(place) } else { false } }

    var canReadRanges: Bool {
        // Rows are found wherever they lie only if that costs nothing.
        switch form {
        case .ordered: reader.isMapped(place)
        case .quantized(let weight, _): weight.canReadRanges(reader)
        case .stored, .decoded, .folded: reader.canReadRanges(of: place)
        }
    }

    var canReadAnywhere: Bool {
        switch form {
        case .stored: reader.canReadAnywhere(in: place)
        case .decoded, .ordered, .quantized: reader.isMapped(place)
        // Factors are prepared for every piece.
        case .folded: false
        }
    }

    var decodedTogetherByteCount: Int {
        switch form {
        case .stored: reader.decodedTogetherByteCount(of: place)
        // What the source decodes together may be smaller or larger than a block.
        case .decoded(let type):
            canReadRanges ? type.elementCount * MemoryLayout<Float>.size : descriptor.byteCount
        case .ordered(_, let rowByteCount): canReadRanges ? rowByteCount : descriptor.byteCount
        case .folded(let weight): weight.decodedTogetherByteCount
        case .quantized(let weight, _): weight.decodedTogetherByteCount(reader)
        }
    }

    func bytes() throws -> TensorBytes {
        if case .stored = form { return try reader.bytes(of: place) }
        let buffer = try AlignedBuffer(byteCount: descriptor.byteCount, isZeroed: false)
        try read(0..<buffer.byteCount, into: buffer.mutableBytes)
        return TensorBytes(decoded: buffer)
    }

    func read(_ range: Range<Int>, into target: UnsafeMutableRawBufferPointer) throws {
        switch form {
        case .stored: try reader.read(range, of: place, into: target)
        case .decoded(let type): try decode(range, of: type, into: target)
        case .ordered(let order, let rowByteCount):
            try reader.bytes(of: place).withUnsafeBytes {
                order.copy(range, ofRows: $0, rowByteCount: rowByteCount, into: target)
            }
        case .folded(let weight): try weight.read(range, into: target)
        case .quantized(let weight, _): try weight.read(range, from: reader, into: target)
        }
    }

    // MARK: - Blocks

    private func decode(
        _ range: Range<Int>, of type: BlockType, into target: UnsafeMutableRawBufferPointer
    ) throws {
        guard type.isDecodable else {
            throw FormatError(
                .unsupportedDtype, "tensor \"\(descriptor.name)\" is stored as \(type.rawValue), which is not decoded",
                file: reader.path, tensor: descriptor.name)
        }
        let run = BlockRun(of: range, type)
        try reader.withStoredBytes(run.stored, of: place) { stored in
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
