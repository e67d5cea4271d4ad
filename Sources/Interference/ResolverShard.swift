import Kernels
import Networks
import TensorCore

/// One part of every batch with its own activations and gradient.
///
/// Safety: one worker at a time runs a shard; the others read its gradient and loss after all have finished.
final class ResolverShard: @unchecked Sendable {
    /// Over all pieces of the last batch, but for what is frozen: what is added up there is of no meaning.
    let gradient: FloatBuffer
    /// Of the last batch, summed over its inputs.
    private(set) var terms = LossTerms()
    private let workspace: any NetworkWorkspace
    private let trained: [Range<Int>]
    private let logits, logitGradient, featureGradient, inverseNorms: FloatBuffer

    /// Takes memory for the activations of a piece.
    ///
    /// - Parameter trained: the stretches of the parameters whose gradient is wanted.
    /// - Throws: `NetworkError` and `IOError` when it is short.
    init(_ network: any Network, bank: HeadBank, trained: [Range<Int>], pieceSize: Int, tokenCount: Int) throws {
        self.trained = trained
        workspace = try network.workspace(capacity: pieceSize, tokenCount: tokenCount, purpose: .training)
        gradient = try FloatBuffer(count: network.parameterCount)
        logits = try FloatBuffer(count: pieceSize * bank.classCount)
        logitGradient = try FloatBuffer(count: pieceSize * bank.classCount)
        featureGradient = try FloatBuffer(count: pieceSize * bank.width)
        inverseNorms = try FloatBuffer(count: pieceSize)
    }

    /// Computes this shard's share of the loss, and of the gradient where that is asked for.
    ///
    /// - Parameters:
    ///   - rows: the inputs of the whole batch; `slots` their rows in the teachers' logits.
    ///   - pieces: the positions of this shard in the batch, as many at a time as there is room for.
    func run(
        _ parameters: UnsafePointer<Float>, objective: TeacherObjective, _ inputs: InputSet,
        rows: UnsafeBufferPointer<Int>, slots: UnsafePointer<Int>, pieces: [Range<Int>], needsGradient: Bool
    ) {
        terms = LossTerms()
        if needsGradient {
            for range in trained {
                share(rows: range.count, grain: 1 << 20) {
                    (gradient.pointer + range.lowerBound + $0.lowerBound).update(repeating: 0, count: $0.count)
                }
            }
        }
        for piece in pieces {
            let B = piece.count
            let features = workspace.forward(parameters, inputs, rows: UnsafeBufferPointer(rebasing: rows[piece]))
            objective.bank.forward(logits.pointer, inverseNorms: inverseNorms.pointer, features: features, B: B)
            terms += objective.evaluate(
                student: logits.pointer, gradient: logitGradient.pointer, slots: slots + piece.lowerBound, B: B,
                batchSize: rows.count)
            guard needsGradient else { continue }
            objective.bank.backward(
                dFeatures: featureGradient.pointer, dLogits: logitGradient.pointer, logits: logits.pointer,
                features: features, inverseNorms: inverseNorms.pointer, B: B)
            workspace.backward(parameters, dFeatures: featureGradient.pointer, grads: gradient.pointer)
        }
    }
}
