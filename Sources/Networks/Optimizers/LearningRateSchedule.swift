import Glibc

/// How the learning rate falls over a run, after it has risen.
public enum LearningRateSchedule: String, Sendable, CaseIterable {
    case constant
    /// Half a cosine from the full rate towards zero.
    case cosine
    /// A straight line from the full rate towards zero.
    case linear

    /// The rate of a step as a multiple of the full one.
    ///
    /// - Parameters:
    ///   - step: from 0 to `steps - 1`.
    ///   - warmup: the first steps, over which the rate rises in a straight line: the first has the share 1 / `warmup` of it, the last all. The
    ///     schedule takes the steps after them.
    public func factor(step: Int, of steps: Int, warmup: Int = 0) -> Double {
        guard step >= warmup else { return Double(step + 1) / Double(warmup) }
        let progress = Double(step - warmup) / Double(max(steps - warmup, 1))
        switch self {
        case .constant: return 1
        case .cosine: return 0.5 * (1 + cos(Double.pi * progress))
        case .linear: return 1 - progress
        }
    }
}
