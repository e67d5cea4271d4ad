import Checkpoints
import Interference
import SystemPackage

/// A model that was trained: an expert after Resolving Interference, or a merged model after distilling.
public struct AdaptedExpert: Sendable {
    public let name: String
    /// Where it was written; nil when it is kept in memory.
    public let path: FilePath?
    public let store: TensorStore
    /// Nil when an earlier run had adapted it.
    public let training: Training?

    /// What the adaptation did.
    public struct Training: Sendable {
        public let trace: [ResolverStep]
        /// The full learning rate, given or chosen for this expert; nil for a closed form.
        public let learningRate: Double?
        /// The losses on held-out inputs; empty without early stopping.
        public let heldOut: [HeldOutLoss]
        /// The steps after which the expert was kept.
        public let keptStep: Int
        /// The step at which it went on after an interruption; nil when there was none.
        public let resumedAt: Int?
        public let duration: Duration
        /// The peak of memory that was foreseen, and the time; of a closed form no time is foreseen, nor where the base's outputs were kept.
        public let expectedByteCount: Int
        public let expectedDuration: Duration?

        init(
            _ student: TrainedStudent, resumedAt: Int?, duration: Duration, expectedByteCount: Int,
            expectedDuration: Duration?
        ) {
            trace = student.trace
            learningRate = student.learningRate
            heldOut = student.heldOut
            keptStep = student.keptStep
            self.resumedAt = resumedAt
            self.duration = duration
            self.expectedByteCount = expectedByteCount
            self.expectedDuration = expectedDuration
        }

        /// Of a closed form, which takes no step.
        init(duration: Duration, expectedByteCount: Int) {
            (trace, learningRate, heldOut, keptStep, resumedAt) = ([], nil, [], 0, nil)
            self.duration = duration
            self.expectedByteCount = expectedByteCount
            expectedDuration = nil
        }
    }
}
