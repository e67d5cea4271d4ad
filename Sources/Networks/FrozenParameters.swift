/// The stretches of a parameter vector that training leaves as they are.
public struct FrozenParameters: Sendable, Hashable {
    /// Ascending, not empty, and with trained parameters between them.
    public let ranges: [Range<Int>]

    /// Joins stretches, which may be in any order and overlap.
    public init(_ ranges: [Range<Int>] = []) {
        var joined: [Range<Int>] = []
        for range in ranges.filter({ !$0.isEmpty }).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            guard let last = joined.last, range.lowerBound <= last.upperBound else {
                joined.append(range)
                continue
            }
            joined[joined.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
        }
        self.ranges = joined
    }

    /// The stretches between those that are frozen, ascending.
    ///
    /// - Parameter count: the length of the vector.
    public func trained(of count: Int) -> [Range<Int>] {
        let ends = [0] + ranges.map(\.upperBound)
        let starts = ranges.map(\.lowerBound) + [count]
        return zip(ends, starts).filter { $0 < $1 }.map { $0..<$1 }
    }

    /// Whether a whole stretch is frozen.
    public func contains(_ range: Range<Int>) -> Bool {
        ranges.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }
    }
}
