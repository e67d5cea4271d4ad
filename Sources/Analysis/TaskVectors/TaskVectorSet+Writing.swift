import Checkpoints
import Kernels
import TensorCore

extension TaskVectorSet {
    /// What a checkpoint of a task vector declares: the tensors that have one, in F32.
    ///
    /// - Throws: `DescriptorError` when a tensor is too large as F32.
    public func outputs() throws -> [TensorDescriptor] {
        try tensors.map { try TensorDescriptor(name: $0.name, dtype: .f32, shape: $0.shape) }
    }

    /// Writes the task vector of an expert, θ_i − θ₀, in F32.
    ///
    /// - Parameters:
    ///   - expert: its place among the experts.
    ///   - writer: made for `outputs()`; the caller finishes it.
    ///   - progress: told, from any thread, of bytes that were written.
    /// - Throws: what the readers and the writer throw.
    public func write(
        expert: Int, into writer: any CheckpointWriter, budget: ComputeBudget = ComputeBudget(),
        progress: @Sendable (_ byteCount: Int) -> Void = { _ in }
    ) throws {
        let single = TaskVectorSet(tensors: tensors, names: [names[expert]], base: base, experts: [experts[expert]])
        _ = try single.mapChunks(threads: budget.threads) { tensor, range in
            try tensor.forEachBlock(of: 0, range) { start, count, values in
                try writer.write(
                    UnsafeRawBufferPointer(start: values, count: 4 * count), tensor: tensor.tensor, at: 4 * start)
            }
            progress(4 * range.count)
        }
    }
}
