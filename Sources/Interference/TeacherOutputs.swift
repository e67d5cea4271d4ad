import Kernels
import Networks
import TensorCore

/// The logits that students are held to, over the auxiliary inputs that a run uses.
///
/// Teachers never change: those of the base under all heads are computed once for all experts, and those of an expert
/// under its own head once for all its steps.
struct TeacherOutputs: Sendable {
    /// The inputs that some step uses, ascending.
    let rows: [Int]
    /// The place of each input in `rows`; -1 for an input that no step uses.
    let slots: [Int]
    /// The base under every head, `[rows, K]`.
    let base: FloatBuffer
    /// The images computed at once: as many as a shard of the student takes, so that products of the same size give the
    /// same bits and a student that equals its teacher is at distance 0.
    private let chunkSize: Int

    init(
        _ network: any Network, base parameters: FloatBuffer, bank: HeadBank, auxiliary: InputSet,
        batches: AuxiliaryBatches, steps: Int, chunkSize: Int, budget: ComputeBudget
    ) throws {
        var isUsed = [Bool](repeating: false, count: auxiliary.count)
        let (needed, overflow) = steps.multipliedReportingOverflow(by: batches.batchSize)
        if overflow || needed >= auxiliary.count {
            // A pass over all inputs, in whatever order.
            for row in isUsed.indices { isUsed[row] = true }
        } else {
            var batches = batches
            for step in 0..<steps {
                for row in batches.rows(step: step) { isUsed[row] = true }
            }
        }
        let used = isUsed.indices.filter { isUsed[$0] }
        var slots = [Int](repeating: -1, count: auxiliary.count)
        for (slot, row) in used.enumerated() { slots[row] = slot }
        self.slots = slots
        rows = used
        self.chunkSize = chunkSize
        base = try Self.logits(network, parameters, bank, auxiliary, used, chunkSize, budget)
    }

    /// The outputs of an expert under one head, `[rows, classes]`.
    func outputs(
        of expert: FloatBuffer, under head: ClassificationHead, _ network: any Network, auxiliary: InputSet,
        budget: ComputeBudget
    ) throws -> FloatBuffer {
        try Self.logits(network, expert, HeadBank([head]), auxiliary, rows, chunkSize, budget)
    }

    private static func logits(
        _ network: any Network, _ parameters: FloatBuffer, _ bank: HeadBank, _ inputs: InputSet, _ rows: [Int],
        _ chunkSize: Int, _ budget: ComputeBudget
    ) throws -> FloatBuffer {
        let features = try network.features(
            parameters: parameters, inputs: inputs, rows: rows, chunkSize: chunkSize, budget: budget)
        let logits = bank.logits(features: features)
        let buffer = try FloatBuffer(count: logits.count)
        _ = buffer.values.update(from: logits)
        return buffer
    }
}
