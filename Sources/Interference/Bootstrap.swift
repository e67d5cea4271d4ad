import Kernels

/// Intervals for figures that are means over the inputs of tasks: inputs are drawn again, with replacement and within their task, and the
/// figure is taken each time.
///
/// Two models that were measured on the same inputs are compared input by input, which takes out what the inputs have in common.
///
/// - Source: Efron, Tibshirani 1993, "An Introduction to the Bootstrap", percentile intervals.
public struct Bootstrap: Sendable {
    public var resampleCount: Int
    public var seed: UInt64

    /// Our choice: with a thousand the ends of a 95 % interval vary by a few hundredths of its width.
    public init(resampleCount: Int = 1000, seed: UInt64 = 0) {
        self.resampleCount = resampleCount
        self.seed = seed
    }

    /// The interval that holds 95 % of the resampled figures.
    ///
    /// - Parameters:
    ///   - tasks: for every task the values of its inputs, at least one each.
    ///   - isMean: whether the figure is the mean over the tasks; otherwise it is their sum.
    /// - Returns: lower and upper end; nil when a value is not finite.
    public func interval(of tasks: [[Double]], isMean: Bool) -> ClosedRange<Double>? {
        guard !tasks.isEmpty, tasks.allSatisfy({ !$0.isEmpty && $0.allSatisfy(\.isFinite) }) else { return nil }
        var figures = [Double](repeating: 0, count: resampleCount)
        for (place, values) in tasks.enumerated() {
            let generator = CounterGenerator(seed: seed, stream: UInt64(place))
            let share = 1 / Double(values.count) / (isMean ? Double(tasks.count) : 1)
            // Two draws of each random number: the high half of 32 bits times the count (bias below count / 2^32).
            let (count, pairCount) = (UInt64(values.count), UInt64(values.count / 2))
            values.withUnsafeBufferPointer { values in
                var counter: UInt64 = 0
                for resample in figures.indices {
                    var sum = 0.0
                    for _ in 0..<pairCount {
                        let bits = generator.bits(counter)
                        sum += values[Int(((bits & 0xFFFF_FFFF) &* count) >> 32)]
                        sum += values[Int(((bits >> 32) &* count) >> 32)]
                        counter &+= 1
                    }
                    if count % 2 == 1 {
                        sum += values[generator.below(values.count, counter)]
                        counter &+= 1
                    }
                    figures[resample] += sum * share
                }
            }
        }
        figures.sort()
        let tail = Int((0.025 * Double(resampleCount)).rounded())
        return figures[tail]...figures[resampleCount - 1 - tail]
    }
}
