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
        var (low, high) = (Double.infinity, -Double.infinity)
        forEachBlock(of: bytes, dtype) { block in
            for value in block where value.isFinite {
                low = min(low, value)
                high = max(high, value)
            }
        }
        guard low <= high else { return nil }
        if low == high { (low, high) = (low - 0.5, high + 0.5) }
        let (first, last) = (low, high)
        // Halved, so that the width of a range from -1e308 to 1e308 is finite.
        let halfWidth = last / 2 - first / 2
        func edge(_ bin: Int) -> Double { first + Double(bin) / Double(binCount) * halfWidth * 2 }
        let edges = (0...binCount).map { bin in bin == binCount ? last : bin == 0 ? first : edge(bin) }
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
        self.edges = edges
        self.counts = counts
    }
}
