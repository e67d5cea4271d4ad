import Kernels

/// Draws which entries of a row stay, with a probability that rises with an entry's rank by magnitude.
///
///     p(r) = density − ε + 2 ε r / (n − 1)       r from 0, the smallest; 1/2 for the ratio in a row of one entry
///
/// Sorting every row would take most of a merge. Instead entries are put into bins of equal width, which know the first and
/// the last rank in them, and so the least and the largest p. A random number mostly lies on one side of both; only where it
/// falls in between the entry's own rank is counted. Rows whose entries crowd in few bins are sorted.
struct RankedRow: ~Copyable {
    private let length: Int
    private let binCount: Int
    /// By rank, where p lies among random numbers of 53 bits.
    private let limits: [UInt64]
    private var keys: [UInt32]
    private var numbers: [UInt64]
    private var bins: [UInt16]
    private var counts: [UInt32]
    /// For each bin the limits of its first and of its last rank.
    private var edges: [(least: UInt64, largest: UInt64)]
    private var order: RankingOrder?

    /// Entries with which a bin may share its place on average before sorting is the faster way; measured.
    private static let crowd = 64

    init(length: Int, density: Double, epsilon: Double) {
        self.length = length
        limits = (0..<length).map { rank in
            let place = length > 1 ? Double(rank) / Double(length - 1) : 0.5
            return CounterGenerator.limit(of: density - epsilon + 2 * epsilon * place)
        }
        binCount = Self.binCount(length: length)
        keys = Array(repeating: 0, count: length)
        numbers = Array(repeating: 0, count: length)
        bins = Array(repeating: 0, count: length)
        counts = Array(repeating: 0, count: binCount)
        edges = Array(repeating: (0, 0), count: binCount)
    }

    private static func binCount(length: Int) -> Int {
        var count = 16
        while count < length / 4, count < 1 << 14 { count *= 2 }
        return count
    }

    static func byteCount(length: Int) -> Int {
        22 * length + 20 * binCount(length: length) + RankingOrder.byteCount(capacity: length)
    }

    /// Sets the bits of the entries that stay.
    ///
    /// - Parameters:
    ///   - values: the row, an entry at every `stride`-th place.
    ///   - index: the flat index of the first entry, which random numbers depend on; from `origin` on it is that of its bit.
    mutating func draw<T: ElementwiseScalar>(
        _ values: UnsafePointer<T>, stride: Int, index: Int, _ generator: CounterGenerator,
        into bits: UnsafeMutablePointer<UInt8>, origin: Int
    ) {
        var top: UInt32 = 0
        keys.withUnsafeMutableBufferPointer { keys in
            for place in 0..<keys.count {
                let key = values[place &* stride].magnitudeKey
                keys[place] = key
                top = max(top, key)
            }
        }
        numbers.withUnsafeMutableBufferPointer {
            generator.numbers(from: UInt64(index), step: UInt64(stride), count: length, into: $0.baseAddress!)
        }
        var row = BitRow(bits, first: index - origin, stride: stride)
        if fillBins(top: top) {
            drawByBin(into: &row)
        } else {
            drawByOrder(into: &row)
        }
        row.flush()
    }

    /// Puts the entries into bins by their keys.
    ///
    /// - Returns: false when that does not tell them apart.
    private mutating func fillBins(top: UInt32) -> Bool {
        let scale = Float(binCount - 1) / Float(bitPattern: top)
        guard top < 0x7F80_0000, scale.isFinite else { return false }
        keys.withUnsafeBufferPointer { keys in
            bins.withUnsafeMutableBufferPointer { bins in
                for place in 0..<keys.count {
                    // Adding 2^23 leaves the number, rounded to a whole one, in the low bits.
                    let bin = (Float(bitPattern: keys[place]) * scale + 0x1p23).bitPattern
                    bins[place] = UInt16(truncatingIfNeeded: bin)
                }
            }
        }
        counts.withUnsafeMutableBufferPointer { counts in
            counts.update(repeating: 0)
            for bin in bins { counts[Int(bin)] &+= 1 }
        }
        guard counts.reduce(0, { $0 + Int($1) * Int($1) }) <= Self.crowd * length else { return false }
        var rank = 0
        for bin in 0..<binCount {
            let first = rank
            rank += Int(counts[bin])
            edges[bin] = (limits[min(first, length - 1)], limits[max(rank - 1, 0)])
        }
        return true
    }

    private func drawByBin(into row: inout BitRow) {
        edges.withUnsafeBufferPointer { edges in
            bins.withUnsafeBufferPointer { bins in
                for place in 0..<bins.count {
                    let number = numbers[place]
                    let edge = edges[Int(bins[place])]
                    // Both as bits, since either alone is a branch that nobody can predict.
                    let isBelow = CounterGenerator.isBelow(number, edge.least)
                    if isBelow == CounterGenerator.isBelow(number, edge.largest) {
                        row.append(isBelow)
                    } else {
                        row.append(CounterGenerator.isBelow(number, limits[rank(of: place)]))
                    }
                }
            }
        }
    }

    /// How many entries are smaller, or equal and earlier.
    private func rank(of place: Int) -> Int {
        keys.withUnsafeBufferPointer { keys in
            let key = keys[place]
            var rank: UInt32 = 0
            // The sign of a difference of keys tells which is the larger one.
            for other in 0..<place { rank &+= ~(key &- keys[other]) >> 31 }
            for other in place + 1..<keys.count { rank &+= (keys[other] &- key) >> 31 }
            return Int(rank)
        }
    }

    private mutating func drawByOrder(into row: inout BitRow) {
        if order == nil { order = RankingOrder(capacity: length) }
        order?.sort(keys)
        // From here on the keys are ranks.
        for rank in 0..<length { keys[order?[rank] ?? 0] = UInt32(truncatingIfNeeded: rank) }
        for place in 0..<length { row.append(CounterGenerator.isBelow(numbers[place], limits[Int(keys[place])])) }
    }
}

/// Bits at every `stride`-th place, gathered so that a byte is touched once.
private struct BitRow {
    // Safety: the caller's bytes reach to the last place that is appended.
    private let bits: UnsafeMutablePointer<UInt8>
    private var place: Int
    private let stride: Int
    private var byte: UInt8 = 0

    init(_ bits: UnsafeMutablePointer<UInt8>, first: Int, stride: Int) {
        self.bits = bits
        place = first
        self.stride = stride
    }

    @inline(__always)
    mutating func append(_ bit: UInt32) {
        byte |= UInt8(truncatingIfNeeded: bit) &<< UInt8(truncatingIfNeeded: place)
        let next = place &+ stride
        if next >> 3 != place >> 3 { flush() }
        place = next
    }

    /// Writes what is gathered.
    mutating func flush() {
        if byte != 0 { bits[place >> 3] |= byte }
        byte = 0
    }
}

/// The places of numbers in ascending order of their keys; equal keys keep their order.
struct RankingOrder: ~Copyable {
    /// Key above place.
    private var items: [UInt64]
    private var spare: [UInt64]
    /// Where the items with each value of each digit begin.
    private var starts = [Int](repeating: 0, count: digitCount * digitValues)

    private static let digitBits = 11
    private static let digitValues = 1 << digitBits
    private static let digitCount = 3

    /// The memory that ranking a row takes.
    ///
    /// - Parameter capacity: of `sort`.
    static func byteCount(capacity: Int) -> Int { 16 * capacity + 8 * digitCount * digitValues }

    init(capacity: Int) {
        items = Array(repeating: 0, count: capacity)
        spare = items
    }

    subscript(rank: Int) -> Int { Int(items[rank] & 0xFFFF_FFFF) }

    /// Sorts by radix, three digits of 11 bits.
    ///
    /// - Precondition: there are as many keys as the capacity, and fewer than 2^32.
    mutating func sort(_ keys: [UInt32]) {
        for place in 0..<keys.count { items[place] = UInt64(keys[place]) << 32 | UInt64(place) }
        guard keys.count > 256 else {
            items.sort()
            return
        }
        for place in starts.indices { starts[place] = 0 }
        for key in keys {
            for digit in 0..<Self.digitCount { starts[Self.slot(UInt64(key), digit)] += 1 }
        }
        for digit in 0..<Self.digitCount {
            // A digit that all keys share changes nothing.
            if starts[Self.slot(items[0] >> 32, digit)] == keys.count { continue }
            var sum = 0
            for slot in digit * Self.digitValues..<(digit + 1) * Self.digitValues {
                (starts[slot], sum) = (sum, sum + starts[slot])
            }
            for item in items {
                let slot = Self.slot(item >> 32, digit)
                spare[starts[slot]] = item
                starts[slot] += 1
            }
            swap(&items, &spare)
        }
    }

    @inline(__always)
    private static func slot(_ key: UInt64, _ digit: Int) -> Int {
        digit &* digitValues &+ Int(key >> UInt64(digit &* digitBits)) & (digitValues &- 1)
    }
}
