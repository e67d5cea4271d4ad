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
        self.init(byteCount: bytes.count, dtype, binCount: binCount) { range, body in
            body(UnsafeRawBufferPointer(rebasing: bytes[range]))
        }
    }

    /// Counts over a tensor that need not be in memory as a whole, reading it twice and in order.
    ///
    /// - Parameter read: calls its second argument with a range of the tensor's bytes.
    /// - Returns: nil as the other initialiser.
    /// - Throws: what `read` throws.
    public init?(
        byteCount: Int, _ dtype: DType, binCount: Int = 30,
        read: (Range<Int>, (UnsafeRawBufferPointer) -> Void) throws -> Void
    ) rethrows {
        guard hasRealElements(dtype) else { return nil }
        let chunks = chunkRanges(of: 0..<byteCount, by: (1 << 20) * dtype.bitWidth / 8)
        var (low, high) = (Double.infinity, -Double.infinity)
        for chunk in chunks {
            try read(chunk) { bytes in
                forEachBlock(of: bytes, dtype) { block in
                    for value in block where value.isFinite {
                        low = min(low, value)
                        high = max(high, value)
                    }
                }
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
        func count(_ value: Double) {
            let place = (value / 2 - first / 2) / halfWidth * Double(binCount)
            var bin = place.isFinite ? max(0, min(binCount - 1, Int(place))) : 0
            // Rounding may put a value that lies at a border on its wrong side.
            if value < edges[bin] { bin = max(0, bin - 1) }
            if bin + 1 < binCount, value >= edges[bin + 1] { bin += 1 }
            counts[bin] += 1
        }
        for chunk in chunks {
            try read(chunk) { bytes in
                forEachBlock(of: bytes, dtype) { block in
                    for value in block where value.isFinite { count(value) }
                }
            }
        }
        self.edges = edges
        self.counts = counts
    }
}
