import SystemPackage
import TensorCore

/// The tensors of a checkpoint under other names, some with their rows in another order, and perhaps a few more.
struct ArrangedCheckpoint: CheckpointReader {
    struct Tensor: Sendable {
        let reader: any CheckpointReader
        /// The place in that reader.
        let index: Int
        let descriptor: TensorDescriptor
        let order: RotaryOrder?
        /// The size of what an order moves.
        let rowByteCount: Int

        /// Names a tensor, and orders its rows.
        ///
        /// - Throws: `FormatError` `bad_shape` when the heads do not fill the rows.
        init(
            _ reader: any CheckpointReader, _ index: Int, named name: TensorName, order: RotaryOrder? = nil
        ) throws(FormatError) {
            let stored = reader.descriptors[index]
            self.reader = reader
            self.index = index
            self.order = order
            descriptor = stored.renamed(name)
            let rowCount = stored.shape.dims.first ?? 1
            rowByteCount = rowCount == 0 ? 0 : stored.byteCount / rowCount
            if let order, !order.fits(rowCount: rowCount) || (stored.shape.rank < 2 && !stored.layout.isPlain) {
                throw FormatError(
                    .badShape,
                    "tensor \"\(stored.name)\" of shape \(stored.shape) does not hold \(order.headCount) heads of whole pairs",
                    file: reader.path, tensor: stored.name)
            }
        }
    }

    let base: any CheckpointReader
    let tensors: [Tensor]

    var format: FormatID { base.format }
    var path: FilePath { base.path }
    var files: [FilePath] { base.files }
    var descriptors: [TensorDescriptor] { tensors.map(\.descriptor) }
    var metadata: Metadata { base.metadata }
    var warnings: [Warning] { base.warnings }

    func isMapped(_ index: Int) -> Bool {
        tensors[index].order == nil && tensors[index].reader.isMapped(tensors[index].index)
    }

    func canReadRanges(of index: Int) -> Bool {
        let tensor = tensors[index]
        // Rows are found wherever they lie only if that costs nothing.
        return tensor.order == nil
            ? tensor.reader.canReadRanges(of: tensor.index) : tensor.reader.isMapped(tensor.index)
    }

    func decodedTogetherByteCount(of index: Int) -> Int {
        let tensor = tensors[index]
        if tensor.order == nil { return tensor.reader.decodedTogetherByteCount(of: tensor.index) }
        return canReadRanges(of: index) ? tensor.rowByteCount : tensor.descriptor.byteCount
    }

    func location(of index: Int) -> StoredLocation { tensors[index].reader.location(of: tensors[index].index) }

    func bytes(of index: Int) throws -> TensorBytes {
        let tensor = tensors[index]
        let stored = try tensor.reader.bytes(of: tensor.index)
        guard tensor.order != nil else { return stored }
        let buffer = try AlignedBuffer(byteCount: stored.count, isZeroed: false)
        stored.withUnsafeBytes { tensor.copy(0..<stored.count, of: $0, into: buffer.mutableBytes) }
        return TensorBytes(decoded: buffer)
    }

    func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        let tensor = tensors[index]
        guard tensor.order != nil else { return try tensor.reader.read(range, of: tensor.index, into: target) }
        try tensor.reader.bytes(of: tensor.index).withUnsafeBytes { tensor.copy(range, of: $0, into: target) }
    }

    func verify(deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void) throws -> Verification {
        try base.verify(deep: deep, threads: threads, progress: progress)
    }
}

extension ArrangedCheckpoint.Tensor {
    /// Copies a range of the ordered tensor.
    ///
    /// - Precondition: the tensor has an order, `stored` all its bytes, `target` the size of the range.
    fileprivate func copy(
        _ range: Range<Int>, of stored: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
    ) {
        guard let order, rowByteCount > 0 else { return }
        let rowCount = stored.count / rowByteCount
        var position = range.lowerBound
        while position < range.upperBound {
            let (row, offset) = position.quotientAndRemainder(dividingBy: rowByteCount)
            let count = min(rowByteCount - offset, range.upperBound - position)
            let start = order.source(of: row, rowCount: rowCount) * rowByteCount + offset
            UnsafeMutableRawBufferPointer(rebasing: target[(position - range.lowerBound)...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: stored[start..<start + count]))
            position += count
        }
    }
}
