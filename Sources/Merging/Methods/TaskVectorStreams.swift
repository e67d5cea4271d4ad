import Kernels

/// The task vectors θ_i − θ₀ of a chunk, read block by block into the same memory; the base is read once for all experts.
struct TaskVectorStreams<Scalar: ElementwiseScalar>: NumberStreams {
    let chunk: MergeChunk
    private let values: UnsafeMutablePointer<Scalar>
    private let base: UnsafeMutablePointer<Scalar>
    /// Streams that show the same expert.
    private let streamsPerExpert: Int
    private var baseRange = 0..<0
    private var valueRange = 0..<0
    private var expert = -1

    /// Calls `body` with the task vectors of a chunk.
    static func with<R>(
        _ chunk: MergeChunk, streamsPerExpert: Int = 1, _ body: (inout TaskVectorStreams) throws -> R
    ) rethrows -> R {
        try withUnsafeTemporaryAllocation(of: Scalar.self, capacity: 2 * mergeBlockCapacity) { memory in
            var streams = TaskVectorStreams(
                chunk: chunk, values: memory.baseAddress!, base: memory.baseAddress! + mergeBlockCapacity,
                streamsPerExpert: streamsPerExpert)
            return try body(&streams)
        }
    }

    private init(
        chunk: MergeChunk, values: UnsafeMutablePointer<Scalar>, base: UnsafeMutablePointer<Scalar>,
        streamsPerExpert: Int
    ) {
        self.chunk = chunk
        self.values = values
        self.base = base
        self.streamsPerExpert = streamsPerExpert
    }

    @inline(__always)
    mutating func read(_ stream: Int, from offset: Int, count: Int) -> UnsafePointer<Scalar> {
        let range = offset..<offset + count
        let wanted = stream / streamsPerExpert
        if wanted == expert, range == valueRange { return UnsafePointer(values) }
        let block = MergeBlock(chunk: chunk, offset: offset, count: count, result: values, scratch: base)
        if range != baseRange {
            block.readBase(into: base)
            baseRange = range
        }
        block.readTaskVector(wanted, base: base, into: values)
        (expert, valueRange) = (wanted, range)
        return UnsafePointer(values)
    }
}
