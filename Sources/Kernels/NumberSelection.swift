import CKernels

/// Finds the numbers at given places of any number of F32 values in ascending order without holding them, by counting in two passes.
///
/// Numbers have patterns of 32 bits that order as they do, a NaN beyond the infinity of its sign. The first pass counts their upper 16
/// bits, the second the lower 16 of those that share the upper ones with a number looked for. Counts add up in any order, so the values
/// may come in pieces from several threads. For magnitudes alone see `MagnitudeSelection`.
///
/// - Cost: O(n) per pass; 512 KiB for each place while a pass is under way.
public struct NumberSelection: Sendable {
    /// The places, 0 for the smallest.
    public let places: [Int]
    /// What is counted in the pass that is under way.
    public private(set) var counter = Counter(uppers: [])
    /// Of each place, once the first pass is over, its place among numbers with the same upper bits.
    private var rests: [Int] = []
    private var counts: [UInt64] = []
    /// The number at each place, after both passes.
    public private(set) var values: [Float] = []

    private static let binCount = 1 << 16

    /// Looks for the numbers at some places.
    ///
    /// - Precondition: by the end of a pass no place may reach the number of values.
    public init(places: [Int]) { self.places = places }

    /// What a selection of some places holds during a pass.
    public static func byteCount(placeCount: Int) -> Int { placeCount * binCount * MemoryLayout<UInt64>.stride }

    /// The counters of a thread for a pass, at most.
    public static func counterCount(placeCount: Int) -> Int { placeCount * binCount }

    /// Counts values for one pass; small enough to hand to every thread.
    public struct Counter: Sendable {
        /// The upper bits of the number at each place; empty in the first pass.
        fileprivate let uppers: [UInt32]

        /// The counters of the pass, zero before the first values.
        public var count: Int { max(1, uppers.count) * binCount }

        /// Counts values; fewer than 2^32 may go into one set of counters.
        public func count(_ values: UnsafePointer<Float>, count: Int, into partial: UnsafeMutablePointer<UInt32>) {
            if uppers.isEmpty {
                untangle_count_upper(values, count, partial)
            } else {
                untangle_count_lower(values, count, uppers, uppers.count, partial)
            }
        }
    }

    /// Adds a pass's counts of some of the values.
    public mutating func absorb(_ partial: UnsafePointer<UInt32>) {
        if counts.isEmpty { counts = Array(repeating: 0, count: counter.count) }
        for bin in counts.indices { counts[bin] &+= UInt64(partial[bin]) }
    }

    /// Ends a pass, the first or the second.
    public mutating func finishPass() {
        /// The bin in which the number of a place lies, and its place there.
        func bin(of place: Int, in bins: ArraySlice<UInt64>) -> (bin: Int, place: Int) {
            var (bin, place) = (bins.startIndex, place)
            while place >= Int(bins[bin]) {
                place -= Int(bins[bin])
                bin += 1
            }
            return (bin - bins.startIndex, place)
        }
        if counter.uppers.isEmpty {
            let found = places.map { bin(of: $0, in: counts[...]) }
            counter = Counter(uppers: found.map { UInt32($0.bin) })
            rests = found.map(\.place)
        } else {
            values = rests.indices.map { index in
                let start = index * Self.binCount
                let lower = bin(of: rests[index], in: counts[start..<start + Self.binCount]).bin
                return Self.number(counter.uppers[index] << 16 | UInt32(lower))
            }
        }
        counts = []
    }

    private static func number(_ key: UInt32) -> Float {
        Float(bitPattern: key >> 31 == 1 ? key & 0x7FFF_FFFF : ~key)
    }
}
