/// Finds the k-th largest magnitude among any number of values without holding them, by counting in two passes.
///
/// A magnitude is the bit pattern of an F32 without its sign, 31 bits that order as the numbers do. The first pass counts
/// the upper 16 bits of every value, the second the lower 15 of those that share the upper bits of the k-th largest.
/// Counts add up in any order, so the values may come in pieces from several threads.
///
/// - Cost: O(n) per pass; 512 KiB while a pass is under way.
public struct MagnitudeSelection: Sendable {
    /// Counters that a pass needs.
    public static let binCount = 1 << 16
    /// What a selection holds during a pass.
    public static let byteCount = binCount * MemoryLayout<UInt64>.stride

    /// Which of the magnitudes is looked for; 1 is the largest.
    public let rank: Int
    /// Made when the first values come, so that a selection that waits takes no room.
    private var counts: [UInt64] = []
    private var upper: UInt32?
    /// Values whose upper bits are larger than those of the k-th largest.
    private var largerCount = 0
    private var found: Found?

    /// The k-th largest magnitude.
    public struct Found: Sendable, Hashable {
        /// The magnitude as `magnitudeKey`.
        public let key: UInt32
        /// How many values are larger.
        public let largerCount: Int
        /// How many values have this very magnitude, the k-th one included.
        public let equalCount: Int

        public var magnitude: Float { Float(bitPattern: key) }
    }

    /// Looks for the magnitude of a rank.
    ///
    /// - Precondition: `rank` is at least 1; by the end of a pass it may not exceed the number of values.
    public init(rank: Int) {
        precondition(rank >= 1)
        self.rank = rank
    }

    /// The answer, after both passes.
    public var result: Found? { found }

    /// Adds a pass's counts of some of the values.
    public mutating func absorb(_ partial: UnsafePointer<UInt32>) {
        makeRoom()
        counts.withUnsafeMutableBufferPointer { counts in
            for bin in 0..<Self.binCount { counts[bin] &+= UInt64(partial[bin]) }
        }
    }

    /// Adds a pass's counts of some of the values, when they may exceed 32 bits.
    public mutating func absorb(_ partial: [UInt64]) {
        makeRoom()
        for bin in 0..<Self.binCount { counts[bin] &+= partial[bin] }
    }

    private mutating func makeRoom() {
        if counts.isEmpty { counts = [UInt64](repeating: 0, count: Self.binCount) }
    }

    /// Ends a pass, the first or the second.
    public mutating func finishPass() {
        makeRoom()
        var larger = largerCount
        var bin = Self.binCount - 1
        while bin > 0, larger + Int(counts[bin]) < rank {
            larger += Int(counts[bin])
            bin -= 1
        }
        if let upper {
            found = Found(key: upper << 15 | UInt32(bin), largerCount: larger, equalCount: Int(counts[bin]))
        } else {
            upper = UInt32(bin)
            largerCount = larger
        }
        counts = []
    }

    /// What counts values for the pass that is under way; small enough to hand to every thread.
    public var counter: Counter { Counter(upper: upper) }

    /// Counts values for one pass.
    public struct Counter: Sendable {
        @usableFromInline let upper: UInt32?

        init(upper: UInt32?) { self.upper = upper }

        /// Counts values into the bins of a pass.
        ///
        /// - Parameter partial: `binCount` counters; fewer than 2^32 values may go into one set.
        @inlinable
        public func count<T: ElementwiseScalar>(
            _ values: UnsafePointer<T>, count: Int, into partial: UnsafeMutablePointer<UInt32>
        ) {
            if let upper {
                countLower(values, upper: upper, count: count, into: partial)
            } else {
                for i in 0..<count { partial[Int(values[i].magnitudeKey >> 15)] &+= 1 }
            }
        }

        /// Marks the few values that count in a loop that vectorises, then visits the marks.
        @inlinable
        func countLower<T: ElementwiseScalar>(
            _ values: UnsafePointer<T>, upper: UInt32, count: Int, into partial: UnsafeMutablePointer<UInt32>
        ) {
            withUnsafeTemporaryAllocation(byteCount: 512, alignment: 8) { memory in
                let marks = memory.baseAddress!.assumingMemoryBound(to: UInt8.self)
                var start = 0
                while start < count {
                    let length = min(512, count &- start)
                    for i in 0..<length {
                        // Only 0 - 1 reaches the top bit.
                        let other = (values[start &+ i].magnitudeKey >> 15) ^ upper
                        marks[i] = UInt8(truncatingIfNeeded: (other &- 1) >> 31)
                    }
                    forEachMark(memory.baseAddress!, count: length) { place in
                        partial[Int(values[start &+ place].magnitudeKey & 0x7FFF)] &+= 1
                    }
                    start &+= length
                }
            }
        }
    }
}
