/// The interval that holds, with 95 % confidence, the share of hits among all inputs of a kind, when a share was seen among some of
/// them.
///
///     (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n),  z = 1.96
///
/// It lies between 0 and 1, also where every input is a hit or none.
///
/// - Parameters:
///   - share: of hits, between 0 and 1.
///   - count: how many inputs were drawn.
/// - Returns: nil when the share is not finite or nothing was drawn.
/// - Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
public func wilsonInterval(of share: Double, count: Int) -> ClosedRange<Double>? {
    guard share.isFinite, count > 0 else { return nil }
    let (z, n) = (normalQuantile, Double(count))
    let scale = 1 / (1 + z * z / n)
    let middle = scale * (share + z * z / (2 * n))
    let half = scale * z * max(0, share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
    // The share itself is inside; at 0 and 1 rounding may say otherwise.
    return min(share, max(0, middle - half))...max(share, min(1, middle + half))
}

/// The interval that holds, with 95 % confidence, the mean over tasks of their shares of hits, when a share was seen among some inputs of each.
///
/// It has all means θ that a test of them would not reject, as Wilson's has all shares, also where every input is a hit or none:
///
///     (p̄ − θ)² ≤ z² V(θ),  V(θ) = Σ_i θ_i (1 − θ_i) / n_i / T²
///
/// In the test the shares of the T tasks go down together, θ_i = p_i θ / p̄, and up together, 1 − θ_i = (1 − p_i) (1 − θ) / (1 − p̄). Of one
/// task that is Wilson's interval.
///
/// Intervals of resampled means are too short near 0 and 1, where most samples have the same few misses or none.
///
/// - Parameter shares: of hits, between 0 and 1, and how many inputs were drawn, for each task.
/// - Returns: nil when a share is not finite, nothing was drawn for a task, or there is no task.
public func wilsonInterval(ofMean shares: [(share: Double, count: Int)]) -> ClosedRange<Double>? {
    guard !shares.isEmpty, shares.allSatisfy({ $0.share.isFinite && $0.count > 0 }) else { return nil }
    if shares.count == 1 { return wilsonInterval(of: shares[0].share, count: shares[0].count) }
    let mean = shares.reduce(0) { $0 + $1.share } / Double(shares.count)
    let misses = shares.map { (share: 1 - $0.share, count: $0.count) }
    return min(mean, lowerEnd(shares, mean: mean))...max(mean, 1 - lowerEnd(misses, mean: 1 - mean))
}

/// The lower θ at which (p̄ − θ)² = z² (A θ − B θ²), with A = Σ p_i / p̄ / n_i / T² and B = Σ (p_i / p̄)² / n_i / T².
private func lowerEnd(_ shares: [(share: Double, count: Int)], mean: Double) -> Double {
    guard mean > 0 else { return 0 }
    var (A, B) = (0.0, 0.0)
    for (share, count) in shares {
        let weight = 1 / (Double(count) * Double(shares.count * shares.count))
        A += share / mean * weight
        B += share / mean * (share / mean) * weight
    }
    let square = normalQuantile * normalQuantile
    let (half, scale) = (mean + square * A / 2, 1 + square * B)
    return max(0, (half - max(0, half * half - scale * mean * mean).squareRoot()) / scale)
}

/// 95 in 100 normal deviates are no larger.
private let normalQuantile = 1.959963984540054
