import Networks
import TensorCore

/// One part of every batch with its own activations and gradient.
///
/// Safety: one worker at a time runs a shard; the others read its gradient and loss after all have finished.
final class ResolverShard: @unchecked Sendable {
    let gradient: FloatBuffer
    private(set) var terms = LossTerms()
    private let workspace: any NetworkWorkspace
    private let logits, logitGradient, featureGradient, inverseNorms: FloatBuffer

    init(_ network: any Network, _ inputs: InputSet, bank: HeadBank, capacity: Int) throws {
        workspace = try network.workspace(
            capacity: capacity, tokenCount: network.tokenCount(of: inputs), purpose: .training)
        gradient = try FloatBuffer(count: network.parameterCount)
        logits = try FloatBuffer(count: capacity * bank.classCount)
        logitGradient = try FloatBuffer(count: capacity * bank.classCount)
        featureGradient = try FloatBuffer(count: capacity * bank.width)
        inverseNorms = try FloatBuffer(count: capacity)
    }

    /// Computes this shard's share of the loss and of the gradient.
    ///
    /// - Parameters:
    ///   - rows: the inputs of the whole batch; `slots` their rows in the teachers' logits.
    ///   - range: the positions of this shard in the batch.
    func run(
        _ parameters: UnsafePointer<Float>, objective: InterferenceObjective, _ inputs: InputSet,
        rows: UnsafeBufferPointer<Int>, slots: UnsafePointer<Int>, range: Range<Int>, batchSize: Int
    ) {
        let B = range.count
        let features = workspace.forward(parameters, inputs, rows: UnsafeBufferPointer(rebasing: rows[range]))
        objective.bank.forward(logits.pointer, inverseNorms: inverseNorms.pointer, features: features, B: B)
        terms = objective.evaluate(
            student: logits.pointer, gradient: logitGradient.pointer, slots: slots + range.lowerBound, B: B,
            batchSize: batchSize)
        objective.bank.backward(
            dFeatures: featureGradient.pointer, dLogits: logitGradient.pointer, logits: logits.pointer,
            features: features, inverseNorms: inverseNorms.pointer, B: B)
        gradient.values.update(repeating: 0)
        workspace.backward(parameters, dFeatures: featureGradient.pointer, grads: gradient.pointer)
    }
}
