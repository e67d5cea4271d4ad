/// Which pairs of pieces become one, and in what order.
struct MergeTable: Sendable {
    /// Left and right piece of each slot; all ones where there is none.
    private var pairs: [UInt64]
    private var ranks: [UInt32]
    private var mask: Int
    /// The piece that each merge makes.
    private(set) var results: [Int32] = []

    private static let vacant = UInt64.max

    /// Begins without merges.
    ///
    /// - Parameter count: how many will be added.
    init(count: Int) {
        var size = 16
        while size < count * 2 { size *= 2 }
        pairs = [UInt64](repeating: Self.vacant, count: size)
        ranks = [UInt32](repeating: 0, count: size)
        mask = size - 1
        results.reserveCapacity(count)
    }

    /// Adds the next merge; of a pair that is named twice the later one counts.
    mutating func append(_ left: Int32, _ right: Int32, makes result: Int32) {
        let pair = Self.pair(left, right)
        var slot = Self.hash(pair) & mask
        while pairs[slot] != Self.vacant, pairs[slot] != pair { slot = (slot + 1) & mask }
        pairs[slot] = pair
        ranks[slot] = UInt32(results.count)
        results.append(result)
    }

    /// When a pair is merged; nil when it never is.
    @inline(__always) func rank(_ left: Int32, _ right: Int32) -> UInt32? {
        let pair = Self.pair(left, right)
        var slot = Self.hash(pair) & mask
        while pairs[slot] != pair {
            if pairs[slot] == Self.vacant { return nil }
            slot = (slot + 1) & mask
        }
        return ranks[slot]
    }

    @inline(__always) private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    @inline(__always) private static func hash(_ pair: UInt64) -> Int {
        let product = (pair ^ pair >> 29) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: product >> 32 & 0x7FFF_FFFF)
    }
}
