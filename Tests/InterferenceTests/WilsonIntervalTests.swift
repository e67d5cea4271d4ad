import Interference
import Kernels
import Testing

@Suite struct WilsonIntervalTests {
    /// 81 hits of 263 inputs and 15 of 148 are Newcombe's examples (1998, "Two-sided confidence intervals for the single
    /// proportion", table I, method 3), and so are 0 of 20 and 1 of 29.
    @Test(arguments: [
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718),
    ])
    func isThatOfTheLiterature(hits: Int, count: Int, low: Double, high: Double) throws {
        let interval = try #require(wilsonInterval(of: Double(hits) / Double(count), count: count))
        #expect(abs(interval.lowerBound - low) < 5e-5)
        #expect(abs(interval.upperBound - high) < 5e-5)
        // Hits and misses change places.
        let other = try #require(wilsonInterval(of: Double(count - hits) / Double(count), count: count))
        #expect(abs(other.lowerBound - (1 - high)) < 5e-5 && abs(other.upperBound - (1 - low)) < 5e-5)
    }

    @Test func holdsTheShareAndKnowsNothingOfNothing() {
        for count in 1...100 {
            for hits in 0...count {
                let share = Double(hits) / Double(count)
                #expect(wilsonInterval(of: share, count: count)?.contains(share) == true)
            }
        }
        #expect(wilsonInterval(of: .nan, count: 10) == nil)
        #expect(wilsonInterval(of: 0.5, count: 0) == nil)
    }

    /// Of tasks of one share and one count, all hits or none, it is Wilson's of all inputs together; of one task it is Wilson's.
    @Test func theMeanOfTasksIsThatOfTheirInputs() throws {
        for share in [0, 1, 0.5, 0.99] {
            let whole = try #require(wilsonInterval(of: share, count: 800))
            let mean = try #require(wilsonInterval(ofMean: Array(repeating: (share: share, count: 100), count: 8)))
            #expect(abs(whole.lowerBound - mean.lowerBound) < 1e-12 && abs(whole.upperBound - mean.upperBound) < 1e-12)
            #expect(wilsonInterval(ofMean: [(share, 30)]) == wilsonInterval(of: share, count: 30))
        }
        #expect(wilsonInterval(ofMean: []) == nil && wilsonInterval(ofMean: [(0.5, 3), (.nan, 3)]) == nil)
        #expect(wilsonInterval(ofMean: [(0.5, 3), (0.5, 0)]) == nil)
    }

    /// How many intervals of 1,000 samples of 250 inputs of each task hold the mean of the true shares: 95 in 100, to within what 1,000 tell
    /// and what so few misses can be.
    @Test(
        arguments: [
            [0.98, 0.98], [0.99, 0.99], Array(repeating: 0.98, count: 8), Array(repeating: 0.99, count: 8),
            [0.99, 0.7], [0.6, 0.75, 0.9, 0.95, 0.97, 0.98, 0.99, 1], [0.995],
        ]) func holdsTheMeanOfShares(shares: [Double]) throws
    {
        let count = 250
        let mean = shares.reduce(0, +) / Double(shares.count)
        let held = try (0..<1000).count { trial in
            let generator = CounterGenerator(seed: 5, stream: UInt64(trial))
            let seen = shares.enumerated().map { task, share in
                let hits = (0..<count).count { generator.uniform(UInt64(task * count + $0)) < share }
                return (share: Double(hits) / Double(count), count: count)
            }
            let interval = try #require(wilsonInterval(ofMean: seen))
            return interval.lowerBound <= mean + 1e-12 && mean - 1e-12 <= interval.upperBound
        }
        #expect((930...990).contains(held), "\(held)")
    }
}
