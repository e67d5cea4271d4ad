import Checkpoints
import Kernels
import TensorCore

/// How tensors that must be decoded are read within the memory: so many at once, each in windows of a size.
struct ReadingPlan {
    let threads: Int
    let windows: BufferPool

    /// Statistics read a tensor several times: most fit into this, and are then decoded once.
    private static let largestWindow = 128 << 20

    init(of indices: [Int], _ reader: any CheckpointReader, in session: Session) {
        let decoding = indices.map(reader.decodingByteCount).max() ?? 0
        let inRanges = indices.filter { !reader.isMapped($0) && reader.canReadRanges(of: $0) }
        let together = inRanges.map(reader.decodedTogetherByteCount).max() ?? 0
        // What statistics take at a time, at most.
        let least = max(together, inRanges.map { min(reader.descriptors[$0].byteCount, 8 << 20) }.max() ?? 0)
        threads = session.context.workers(each: decoding + least)
        let largest = inRanges.map { reader.descriptors[$0].byteCount }.max() ?? 0
        let room = session.memoryByteCount / threads - decoding
        windows = BufferPool(byteCount: max(least, min(room, largest, Self.largestWindow)))
    }
}

extension TensorWindow {
    /// The digest of a whole tensor.
    func digest(byteCount: Int) throws -> TensorDigest {
        let accumulator = TensorDigest.Accumulator()
        for start in stride(from: 0, to: byteCount, by: 1 << 20) {
            try withBytes(start..<min(start + 1 << 20, byteCount), accumulator.update)
        }
        return accumulator.finish()
    }
}
