import Networks
import TensorCore

/// One part of every batch with its own activations and gradient.
///
/// Safety: one worker at a time runs a shard; the others read its gradient and loss after all have finished.
final class ResolverShard: @unchecked Sendable {
    let gradient: FloatBuffer
    private(set) var terms = LossTerms()
    private let workspace: TransformerWorkspace
    private let logits, logitGradient, featureGradient, inverseNorms: FloatBuffer

    init(_ transformer: VisionTransformer, bank: HeadBank, capacity: Int) throws {
        workspace = try TransformerWorkspace(transformer, capacity: capacity, purpose: .training)
        gradient = try FloatBuffer(count: transformer.parameterCount)
        logits = try FloatBuffer(count: capacity * bank.classCount)
        logitGradient = try FloatBuffer(count: capacity * bank.classCount)
        featureGradient = try FloatBuffer(count: capacity * bank.width)
        inverseNorms = try FloatBuffer(count: capacity)
    }

    /// Computes this shard's share of the loss and of the gradient.
    ///
    /// - Parameters:
    ///   - rows: the images of the whole batch; `slots` their rows in the teachers' logits.
    ///   - range: the positions of this shard in the batch.
    func run(
        _ parameters: UnsafePointer<Float>, objective: InterferenceObjective, images: UnsafePointer<Float>,
        rows: UnsafePointer<Int>, slots: UnsafePointer<Int>, range: Range<Int>, batchSize: Int
    ) {
        let B = range.count
        let features = workspace.forward(parameters, images: images, rows: rows + range.lowerBound, count: B)
        objective.bank.forward(logits.pointer, inverseNorms: inverseNorms.pointer, features: features, B: B)
        terms = objective.evaluate(
            student: logits.pointer, gradient: logitGradient.pointer, slots: slots + range.lowerBound, B: B,
            batchSize: batchSize)
        objective.bank.backward(
            dFeatures: featureGradient.pointer, dLogits: logitGradient.pointer, logits: logits.pointer,
            features: features, inverseNorms: inverseNorms.pointer, B: B)
        workspace.backward(
            parameters, dFeatures: featureGradient.pointer, grads: gradient.pointer, count: B)
    }
}
