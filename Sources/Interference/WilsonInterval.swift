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
    let (z, n) = (1.959963984540054, Double(count))
    let scale = 1 / (1 + z * z / n)
    let middle = scale * (share + z * z / (2 * n))
    let half = scale * z * max(0, share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
    // The share itself is inside; at 0 and 1 rounding may say otherwise.
    return min(share, max(0, middle - half))...max(share, min(1, middle + half))
}
