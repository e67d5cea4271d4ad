import Interference
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
}
