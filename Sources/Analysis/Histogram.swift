import Checkpoints
import TensorCore

/// How the finite elements of a tensor are spread over bins of equal width.
public struct Histogram: Sendable, Hashable {
    /// The borders of the bins, one more than there are bins; a bin holds its lower border, the last one both.
    public let edges: [Double]
    public let counts: [Int]

    /// Counts over the range of the finite elements, as `numpy.histogram` does; a tensor of one value gets a range of width 1 around
    /// it.
    ///
    /// - Returns: nil for complex and packed types, and when there is no finite element.
    public init?(_ bytes: UnsafeRawBufferPointer, _ dtype: DType, binCount: Int = 30) {
        guard hasRealElements(dtype) else { return nil }
        self.init([Extremes(bytes, dtype)], binCount: binCount) { [Self.count(bytes, dtype, between: $0)] }
    }

    /// Counts over a tensor that need not be in memory as a whole, reading it twice.
    ///
    /// - Parameter sweep: over the tensor alone.
    /// - Returns: nil as the other initialiser.
    /// - Throws: what the sweep throws.
    package init?(of sweep: TensorSweep, _ dtype: DType, threads: Int, binCount: Int = 30) throws {
        guard hasRealElements(dtype) else { return nil }
        let extremes = try sweep.map(threads: threads) { Extremes($0.parts[0], dtype) }[0]
        try self.init(extremes, binCount: binCount) { edges in
            try sweep.map(threads: threads) { Self.count($0.parts[0], dtype, between: edges) }[0]
        }
    }

    /// Makes bins between the extremes of all chunks, and adds up what `count` finds in each.
    private init?(_ extremes: [Extremes], binCount: Int, count: (_ edges: [Double]) throws -> [[Int]]) rethrows {
        var first = extremes.map(\.low).min() ?? .infinity
        var last = extremes.map(\.high).max() ?? -.infinity
        guard first <= last else { return nil }
        if first == last { (first, last) = (first - 0.5, last + 0.5) }
        let (low, high) = (first, last)
        let halfWidth = Self.halfWidth(low, high)
        func edge(_ bin: Int) -> Double { low + Double(bin) / Double(binCount) * halfWidth * 2 }
        let edges = (0...binCount).map { bin in bin == binCount ? high : bin == 0 ? low : edge(bin) }
        self.edges = edges
        counts = try count(edges).reduce(into: [Int](repeating: 0, count: binCount)) { sums, counts in
            for bin in sums.indices { sums[bin] += counts[bin] }
        }
    }

    /// Halved, so that the width of a range from -1e308 to 1e308 is finite.
    private static func halfWidth(_ first: Double, _ last: Double) -> Double { last / 2 - first / 2 }

    /// How many elements of a chunk each bin holds.
    private static func count(_ bytes: UnsafeRawBufferPointer, _ dtype: DType, between edges: [Double]) -> [Int] {
        let (first, binCount) = (edges[0], edges.count - 1)
        let halfWidth = halfWidth(first, edges[binCount])
        var counts = [Int](repeating: 0, count: binCount)
        forEachBlock(of: bytes, dtype) { block in
            for value in block where value.isFinite {
                let place = (value / 2 - first / 2) / halfWidth * Double(binCount)
                var bin = place.isFinite ? max(0, min(binCount - 1, Int(place))) : 0
                // Rounding may put a value that lies at a border on its wrong side.
                if value < edges[bin] { bin = max(0, bin - 1) }
                if bin + 1 < binCount, value >= edges[bin + 1] { bin += 1 }
                counts[bin] += 1
            }
        }
        return counts
    }
}

/// The smallest and the largest finite element of a chunk.
private struct Extremes: Sendable {
    var low = Double.infinity
    var high = -Double.infinity

    init(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) {
        forEachBlock(of: bytes, dtype) { block in
            for value in block where value.isFinite {
                low = min(low, value)
                high = max(high, value)
            }
        }
    }
}
