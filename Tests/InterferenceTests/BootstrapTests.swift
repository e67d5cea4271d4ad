import Glibc
import Interference
import Kernels
import Testing

@Suite struct BootstrapTests {
    /// 400 inputs of which 300 are hits: the mean is 0.75, its standard error sqrt(0.75 * 0.25 / 400) = 0.02165, and the normal interval
    /// 0.75 ± 1.96 * 0.02165 = 0.7076 ... 0.7924.
    @Test func isTheNormalIntervalOfManyInputs() throws {
        let values = (0..<400).map { $0 % 4 == 0 ? 0.0 : 1.0 }
        let interval = try #require(Bootstrap(resampleCount: 4000).interval(of: [values], .shares, isMean: true))
        #expect(abs(interval.lowerBound - 0.7076) < 0.005)
        #expect(abs(interval.upperBound - 0.7924) < 0.005)
    }

    /// Two tasks of the same kind: the mean over both has 1 / sqrt(2) of the width of one, and the sum twice the width of the mean.
    @Test func combinesTasks() throws {
        let values = (0..<400).map { $0 % 2 == 0 ? 0.0 : 1.0 }
        let bootstrap = Bootstrap(resampleCount: 4000)
        func width(_ tasks: [[Double]], isMean: Bool) throws -> Double {
            let interval = try #require(bootstrap.interval(of: tasks, .shares, isMean: isMean))
            return interval.upperBound - interval.lowerBound
        }
        let one = try width([values], isMean: true)
        #expect(abs(try width([values, values], isMean: true) / one - 0.7071) < 0.04)
        #expect(abs(try width([values, values], isMean: false) / one - 1.4142) < 0.08)
    }

    @Test func isTheSameAgainAndExactWithoutSpread() throws {
        let values = (0..<50).map { Double($0 % 7) }
        #expect(
            Bootstrap().interval(of: [values], .shares, isMean: true)
                == Bootstrap().interval(of: [values], .shares, isMean: true))
        #expect(Bootstrap().interval(of: [[0.5, 0.5, 0.5, 0.5]], .shares, isMean: true) == 0.5...0.5)
        #expect(Bootstrap().interval(of: [[0.5, .nan]], .shares, isMean: true) == nil)
        #expect(Bootstrap().interval(of: [[]], .shares, isMean: true) == nil)
    }

    /// Of `count` log-normal values with a mean of exp(σ² / 2), or of hits with a mean of `mean`: 1000 samples, of whose intervals 95 in 100
    /// should hold the mean. The standard error of such a share is 0.7 points; NumPy, with other random numbers, finds 93.6 to 94.1 for σ = 1.
    @Test(
        arguments: [
            (spread: 1.0, count: 200, expected: 0.92...0.97), (1, 300, 0.92...0.97), (1, 600, 0.92...0.97),
            // What is rare is not in every sample: less than promised, as the documentation says.
            (1.5, 200, 0.90...0.97),
        ]) func coversTheMeanOfSkewedValues(spread: Double, count: Int, expected: ClosedRange<Double>) throws
    {
        let share = try coverage(.distances, count: count, mean: exp(spread * spread / 2)) { generator, counter in
            exp(spread * generator.normalPair(counter).0)
        }
        #expect(expected.contains(share), "\(share)")
    }

    @Test(arguments: [0.7, 0.9, 0.95]) func coversShares(mean: Double) throws {
        let share = try coverage(.shares, count: 300, mean: mean) { generator, counter in
            generator.uniform(counter) < mean ? 1 : 0
        }
        #expect((0.93...0.97).contains(share), "\(share)")
    }

    private func coverage(
        _ kind: Bootstrap.Values, count: Int, mean: Double, value: (CounterGenerator, UInt64) -> Double
    ) throws -> Double {
        let trials = 1000
        let hits = try (0..<trials).count { trial in
            let generator = CounterGenerator(seed: 11, stream: UInt64(trial))
            let sample = (0..<count).map { value(generator, UInt64($0)) }
            return try #require(Bootstrap(seed: UInt64(trial)).interval(of: [sample], kind, isMean: true)).contains(
                mean)
        }
        return Double(hits) / Double(trials)
    }

    /// Two inputs, of which half of all resamples hold one twice and have no spread: the interval is that of the resampled means.
    @Test func hasEndsForFewInputs() throws {
        #expect(Bootstrap().interval(of: [[0, 1]], .distances, isMean: true) == 0...1)
        // One input says nothing of others.
        #expect(Bootstrap().interval(of: [[0.25]], .distances, isMean: true) == nil)
        #expect(Bootstrap().interval(of: [[0.25, 0.5], [0.25]], .distances, isMean: false) == nil)
    }

    /// A resample that lacks the few large values has a millionth of the spread; in units of that, all others lie far away.
    @Test(arguments: [(250, 5), (200, 3), (100, 1), (3, 1)]) func staysNearFiguresThatHangOnAFewInputs(
        count: Int, large: Int
    ) throws {
        let values = (0..<count).map { $0 < large ? 2.5 : 1e-4 * Double(1 + $0 % 7) }
        let mean = values.reduce(0, +) / Double(count)
        let interval = try #require(Bootstrap().interval(of: [values], .distances, isMean: true))
        #expect(interval.contains(mean) && interval.lowerBound >= 0 && interval.upperBound < 5 * mean, "\(interval)")
    }
}
