import Kernels

/// Intervals for figures that are means over the inputs of tasks: inputs are drawn again, with replacement and within their task, and the
/// figure is taken each time.
///
/// Two models that were measured on the same inputs are compared input by input, which takes out what the inputs have in common.
///
/// - Source: Efron, Tibshirani 1993, "An Introduction to the Bootstrap": percentile intervals and, for distances, bootstrap-t.
public struct Bootstrap: Sendable {
    public var resampleCount: Int
    public var seed: UInt64

    /// What is measured of each input, and so which ends an interval has.
    public enum Values: Sendable {
        /// Differences of what is 0 or 1: the interval is that of the resampled figures. Near 0 and 1, that of shares themselves is too short.
        case shares
        /// Unbounded, most of them small and a few large. Samples without the rarest of these have both a small mean and a small spread, so
        /// the interval is that of the distance from the figure in units of the standard error, which every resample has of its own.
        /// Measured on log-normal values: with σ of 1 and 300 inputs, 95 % hold the true mean in 94 % of samples; with σ of 1.5 and 200
        /// inputs in 92 %, where percentiles do in 88 %.
        case distances
    }

    /// With fewer inputs of a task, percentiles are taken.
    private static let fewestToStudentize = 20

    /// Our choice: with a thousand the ends of a 95 % interval vary by a few hundredths of its width.
    public init(resampleCount: Int = 1000, seed: UInt64 = 0) {
        self.resampleCount = resampleCount
        self.seed = seed
    }

    /// The interval that holds the figure of all inputs there are, of which these are a sample, in 95 % of samples.
    ///
    /// - Parameters:
    ///   - tasks: for every task the values of its inputs.
    ///   - kind: what the values are.
    ///   - isMean: whether the figure is the mean over the tasks; otherwise it is their sum.
    /// - Returns: lower and upper end; nil when a value is not finite, or a task has one input, which says nothing of others.
    public func interval(of tasks: [[Double]], _ kind: Values, isMean: Bool) -> ClosedRange<Double>? {
        guard !tasks.isEmpty, tasks.allSatisfy({ $0.count > 1 && $0.allSatisfy(\.isFinite) }) else { return nil }
        let weight = isMean ? 1 / Double(tasks.count) : 1
        var (figure, squaredError) = (0.0, 0.0)
        var resamples = [Resample](repeating: Resample(), count: resampleCount)
        for (place, values) in tasks.enumerated() {
            let mean = values.reduce(0, +) / Double(values.count)
            let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
            figure += weight * mean
            squaredError += weight * weight * squares / Double(values.count * values.count)
            resample(values, mean: mean, weight: weight, stream: UInt64(place), into: &resamples)
        }
        let tail = Int((0.025 * Double(resampleCount)).rounded())
        func ends(_ values: [Double]) -> (low: Double, high: Double) {
            let sorted = values.sorted()
            return (sorted[tail], sorted[resampleCount - 1 - tail])
        }
        let percentiles = ends(resamples.map(\.figure))
        let fewest = tasks.map(\.count).min() ?? 0
        guard kind == .distances, squaredError > 0, fewest >= Self.fewestToStudentize,
            // A resample that lacks the few large values has next to no spread, and steps in units of it mean nothing.
            resamples.count(where: { $0.squaredError < 0.05 * squaredError }) <= resampleCount / 100
        else {
            return percentiles.low...percentiles.high
        }
        let steps = ends(
            resamples.map { $0.figure == figure ? 0 : ($0.figure - figure) / $0.squaredError.squareRoot() })
        // Of few inputs, a resample may hold a single value and have no spread to measure by.
        guard steps.low.isFinite, steps.high.isFinite else { return percentiles.low...percentiles.high }
        let error = squaredError.squareRoot()
        // What is never negative has no negative mean.
        let least = tasks.allSatisfy { $0.allSatisfy { $0 >= 0 } } ? 0 : -Double.infinity
        return max(least, figure - steps.high * error)...max(least, figure - steps.low * error)
    }

    /// The figure of one resample, and the square of its standard error.
    private struct Resample {
        var figure = 0.0
        var squaredError = 0.0
    }

    /// Draws a task's inputs again, for every resample.
    private func resample(
        _ values: [Double], mean: Double, weight: Double, stream: UInt64, into resamples: inout [Resample]
    ) {
        let generator = CounterGenerator(seed: seed, stream: stream)
        let N = Double(values.count)
        // Two draws of each random number: the high half of 32 bits times the count (bias below count / 2^32).
        let (count, pairCount) = (UInt64(values.count), UInt64(values.count / 2))
        values.withUnsafeBufferPointer { values in
            var counter: UInt64 = 0
            for place in resamples.indices {
                var (sum, squares) = (0.0, 0.0)
                func draw(_ index: Int) {
                    let value = values[index]
                    sum += value
                    squares += (value - mean) * (value - mean)
                }
                for _ in 0..<pairCount {
                    let bits = generator.bits(counter)
                    draw(Int(((bits & 0xFFFF_FFFF) &* count) >> 32))
                    draw(Int(((bits >> 32) &* count) >> 32))
                    counter &+= 1
                }
                if count % 2 == 1 {
                    draw(generator.below(values.count, counter))
                    counter &+= 1
                }
                let shift = sum / N - mean
                resamples[place].figure += weight * (sum / N)
                resamples[place].squaredError += weight * weight * max(0, squares / N - shift * shift) / N
            }
        }
    }
}
