public import TensorCore

/// The loss of one step, before the update of that step.
public struct ResolverStep: Sendable, Hashable {
    /// From 0.
    public let step: Int
    /// `preservation + alpha * interference`.
    public let loss: Double
    /// The distance from the expert under its own head; of a merged model, the sum of those from all experts.
    public let preservation: Double
    /// The mean distance from the base under the other heads; 0 where there is none.
    public let interference: Double

    package init(step: Int, loss: Double, preservation: Double, interference: Double) {
        self.step = step
        self.loss = loss
        self.preservation = preservation
        self.interference = interference
    }
}

/// A model after training: an expert after Resolving Interference, or a merged model after distilling.
public struct TrainedStudent: Sendable {
    /// The parameter vector.
    public let parameters: FloatBuffer
    /// Every step that was taken.
    public let trace: [ResolverStep]
    /// The losses on held-out inputs; empty without early stopping.
    public let heldOut: [HeldOutLoss]
    /// The steps after which the parameters are those given here: with early stopping where the loss on held-out inputs was lowest.
    public let keptStep: Int
    /// The full rate, that of the options or the one that was chosen for this model.
    public let learningRate: Double
    /// Whether the progress callback asked to stop before the last step.
    public let isCancelled: Bool
}

extension TrainedStudent {
    /// What should be known of a rate that was chosen by the distance from the base and is 0.
    ///
    /// - Parameter name: what the model is called.
    package func idleness(of name: String) -> Warning? {
        guard learningRate == 0 else { return nil }
        return Warning(
            InterferenceWarning.zeroRate,
            "\(name) is the base as far as it is trained, so that the learning rate `auto` is 0 and nothing was trained; give a rate"
        )
    }
}
