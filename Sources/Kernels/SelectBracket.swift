/// Finds the k-th largest of many magnitudes in one pass, when a sample foretells about where it lies.
///
/// A pass counts what is certainly larger and what equals the likeliest magnitude, and lists the few others in between.
/// Weights of 16 bits leave differences of few distinct magnitudes, so that a large share may equal the one looked for.
/// Magnitudes are keys as `ElementwiseScalar.magnitudeKey` gives them, below 2^31.
public struct MagnitudeBracket: Sendable {
    /// What is counted, not listed.
    public let pivot: UInt32
    /// What is listed lies above `lower` and below `upper`. In wrapping arithmetic; 2^32 - 1 stands for -1.
    public let lower: UInt32
    public let upper: UInt32

    /// The bracket that lists everything but the largest NaN.
    public static let everything = MagnitudeBracket(pivot: 0x7FFF_FFFF, lower: .max, upper: 1 << 31)

    private init(pivot: UInt32, lower: UInt32, upper: UInt32) {
        self.pivot = pivot
        self.lower = lower
        self.upper = upper
    }

    /// The bracket of some keys, below 2^31 and at least one, whose lowest is the pivot.
    public init(keys: Range<UInt32>) {
        self.init(pivot: keys.lowerBound, lower: keys.lowerBound &- 1, upper: keys.upperBound)
    }

    /// The keys inside, the pivot included.
    public var keys: Range<UInt32> { lower &+ 1..<upper }

    /// A bracket of six standard deviations of a sample's rank to either side; wide, since neighbours in a tensor are
    /// alike and tell less than as many independent values.
    ///
    /// - Parameters:
    ///   - sample: some of the keys; at least one.
    ///   - rank: of the wanted key among all `count` keys; 1 is the largest.
    public init(sample: [UInt32], rank: Int, of count: Int) {
        let size = sample.count
        let share = Double(rank) / Double(count)
        let place = min(size, max(1, Int((share * Double(size)).rounded())))
        let margin = Self.margin(share: share, sampleCount: size)
        let pivot = sample.withUnsafeBufferPointer { largestKey($0, rank: place) }
        let above =
            place - margin < 1 ? 1 << 31 : sample.withUnsafeBufferPointer { largestKey($0, rank: place - margin) }
        let below: UInt32? =
            place + margin > size ? nil : sample.withUnsafeBufferPointer { largestKey($0, rank: place + margin) }
        self.pivot = pivot
        upper = max(above, pivot + 1)
        lower = below.flatMap { pivot == 0 ? nil : min($0, pivot - 1) } ?? .max
    }

    /// Ranks in the sample from the likeliest place to either end of the bracket.
    private static func margin(share: Double, sampleCount: Int) -> Int {
        Int(6 * (share * (1 - share) * Double(sampleCount)).squareRoot()) + 2
    }

    /// How many keys are about to be listed, when the sample does not mislead.
    public static func expectedListCount(sampleCount: Int, rank: Int, of count: Int) -> Int {
        let margin = margin(share: Double(rank) / Double(count), sampleCount: sampleCount)
        return Int(Double(count) * min(1, 2 * Double(margin) / Double(sampleCount)))
    }

    /// What a pass found among some of the keys.
    public struct Tally: Sendable {
        /// Keys from the bracket's upper end on.
        @usableFromInline var largerCount = 0
        @usableFromInline var pivotCount = 0
        /// Keys inside of the bracket other than the pivot, in order.
        @usableFromInline var listed: [UInt32] = []

        public init() {}

        public var listedCount: Int { listed.count }
    }

    /// Adds values to a tally.
    @inlinable
    public func tally<T: ElementwiseScalar>(_ values: UnsafePointer<T>, count: Int, into tally: inout Tally) {
        let capacity = 512
        withUnsafeTemporaryAllocation(byteCount: 5 * capacity, alignment: 8) { memory in
            let marks = memory.baseAddress!
            let keys = (marks + capacity).assumingMemoryBound(to: UInt32.self)
            var start = 0
            while start < count {
                let length = min(capacity, count &- start)
                let (larger, equal) = T.mark(
                    values + start, count: length, inside: self, marks.assumingMemoryBound(to: UInt8.self))
                tally.largerCount &+= larger
                tally.pivotCount &+= equal
                var listedCount = 0
                forEachMark(marks, count: length) { place in
                    keys[listedCount] = values[start &+ place].magnitudeKey
                    listedCount &+= 1
                }
                tally.listed.append(contentsOf: UnsafeBufferPointer(start: keys, count: listedCount))
                start &+= length
            }
        }
    }

    /// The k-th largest key of all that were tallied, or nil when it lies outside of the bracket.
    public static func resolve(_ tallies: [Tally], _ bracket: MagnitudeBracket, rank: Int)
        -> MagnitudeSelection.Found?
    {
        let outside = tallies.reduce(0) { $0 + $1.largerCount }
        let pivotCount = tallies.reduce(0) { $0 + $1.pivotCount }
        let listed = tallies.flatMap(\.listed)
        let abovePivot = listed.reduce(0) { $0 + ($1 > bracket.pivot ? 1 : 0) }
        guard rank > outside else { return nil }
        var place = rank - outside
        if place > abovePivot {
            if place <= abovePivot + pivotCount {
                return MagnitudeSelection.Found(
                    key: bracket.pivot, largerCount: outside + abovePivot, equalCount: pivotCount)
            }
            place -= pivotCount
        }
        guard place <= listed.count else { return nil }
        let key = listed.withUnsafeBufferPointer { largestKey($0, rank: place) }
        var (larger, equal) = (0, 0)
        for other in listed {
            larger += other > key ? 1 : 0
            equal += other == key ? 1 : 0
        }
        return MagnitudeSelection.Found(
            key: key, largerCount: outside + larger + (bracket.pivot > key ? pivotCount : 0), equalCount: equal)
    }

    /// How many of a tally's keys have the key, which lies inside of the bracket.
    public func count(of key: UInt32, in tally: Tally) -> Int {
        key == pivot ? tally.pivotCount : tally.listed.reduce(0) { $0 + ($1 == key ? 1 : 0) }
    }
}

/// Calls `body` with the places of the bytes that are 1; the others are 0.
///
/// Safety: `marks` is aligned to 8 bytes and has room for `count` bytes rounded up to a multiple of 8.
@inlinable @inline(__always)
func forEachMark(_ marks: UnsafeMutableRawPointer, count: Int, _ body: (Int) -> Void) {
    var end = count
    while end & 7 != 0 {
        marks.storeBytes(of: 0, toByteOffset: end, as: UInt8.self)
        end &+= 1
    }
    for word in 0..<end / 8 {
        var marked = marks.load(fromByteOffset: 8 &* word, as: UInt64.self)
        while marked != 0 {
            body(8 &* word &+ marked.trailingZeroBitCount / 8)
            marked &= marked &- 1
        }
    }
}

/// The `rank`-th largest of some keys, by their digits of ten or eleven bits.
///
/// - Cost: three readings.
func largestKey(_ keys: UnsafeBufferPointer<UInt32>, rank: Int) -> UInt32 {
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 2048) { counts in
        var prefix: UInt64 = 0
        var remaining = rank
        for shift in [20, 10, 0] as [UInt64] {
            let digitCount: UInt64 = shift == 20 ? 2048 : 1024
            let digitBits: UInt64 = shift == 20 ? 11 : 10
            counts.update(repeating: 0)
            for key in keys where UInt64(key) >> (shift + digitBits) == prefix {
                counts[Int(UInt64(key) >> shift & (digitCount - 1))] &+= 1
            }
            var digit = Int(digitCount) - 1
            while digit > 0, Int(counts[digit]) < remaining {
                remaining -= Int(counts[digit])
                digit -= 1
            }
            prefix = prefix << digitBits | UInt64(digit)
        }
        return UInt32(truncatingIfNeeded: prefix)
    }
}
