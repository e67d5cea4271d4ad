import Glibc

/// How the learning rate falls over a run.
public enum LearningRateSchedule: String, Sendable, CaseIterable {
    case constant
    /// Half a cosine from the full rate towards zero.
    case cosine
    /// A straight line from the full rate towards zero.
    case linear

    /// The rate of a step as a multiple of the full one.
    ///
    /// - Parameter step: from 0 to `steps - 1`.
    public func factor(step: Int, of steps: Int) -> Double {
        let progress = Double(step) / Double(max(steps, 1))
        switch self {
        case .constant: return 1
        case .cosine: return 0.5 * (1 + cos(Double.pi * progress))
        case .linear: return 1 - progress
        }
    }
}
