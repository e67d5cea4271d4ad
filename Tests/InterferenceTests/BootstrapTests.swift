import Interference
import Testing

@Suite struct BootstrapTests {
    /// 400 inputs of which 300 are hits: the mean is 0.75, its standard error sqrt(0.75 * 0.25 / 400) = 0.02165, and the normal interval
    /// 0.75 ± 1.96 * 0.02165 = 0.7076 ... 0.7924.
    @Test func isTheNormalIntervalOfManyInputs() throws {
        let values = (0..<400).map { $0 % 4 == 0 ? 0.0 : 1.0 }
        let interval = try #require(Bootstrap(resampleCount: 4000).interval(of: [values], isMean: true))
        #expect(abs(interval.lowerBound - 0.7076) < 0.005)
        #expect(abs(interval.upperBound - 0.7924) < 0.005)
    }

    /// Two tasks of the same kind: the mean over both has 1 / sqrt(2) of the width of one, and the sum twice the width of the mean.
    @Test func combinesTasks() throws {
        let values = (0..<400).map { $0 % 2 == 0 ? 0.0 : 1.0 }
        let bootstrap = Bootstrap(resampleCount: 4000)
        func width(_ tasks: [[Double]], isMean: Bool) throws -> Double {
            let interval = try #require(bootstrap.interval(of: tasks, isMean: isMean))
            return interval.upperBound - interval.lowerBound
        }
        let one = try width([values], isMean: true)
        #expect(abs(try width([values, values], isMean: true) / one - 0.7071) < 0.04)
        #expect(abs(try width([values, values], isMean: false) / one - 1.4142) < 0.08)
    }

    @Test func isTheSameAgainAndExactWithoutSpread() throws {
        let values = (0..<50).map { Double($0 % 7) }
        #expect(Bootstrap().interval(of: [values], isMean: true) == Bootstrap().interval(of: [values], isMean: true))
        #expect(Bootstrap().interval(of: [[0.5, 0.5, 0.5, 0.5]], isMean: true) == 0.5...0.5)
        #expect(Bootstrap().interval(of: [[0.5, .nan]], isMean: true) == nil)
        #expect(Bootstrap().interval(of: [[]], isMean: true) == nil)
    }
}
