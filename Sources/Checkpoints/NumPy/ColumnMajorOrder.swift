/// The order in which a column-major array has its elements, against row-major order.
///
/// Element `(i0, i1, ...)` stands at `i0 + i1 * d0 + i2 * d0 * d1 + ...` of column-major data. A run of elements that follow each
/// other on one side is taken apart into boxes, each of which is copied in tiles, so that both sides use whole cache lines.
struct ColumnMajorOrder {
    /// Slowest first in row-major order; without those of one element, which do not matter.
    private let dims: [Int]
    private let width: Int

    /// Takes the shape of a column-major array.
    ///
    /// - Parameter width: bytes of an element: 1, 2, 4, 8 or 16.
    /// - Returns: nil when both orders are the same.
    init?(dims: [Int], width: Int) {
        self.dims = dims.filter { $0 != 1 }
        self.width = width
        if self.dims.count < 2 { return nil }
    }

    /// Copies a run of column-major elements to their places in row-major data.
    ///
    /// - Precondition: `source` holds the run, `target` the whole array.
    func scatter(_ run: Range<Int>, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
        StridedBox.forEach(of: run, dims.reversed(), strides: Self.strides(dims.reversed())) { box in
            box.copy(
                from: source + box.near * width, box.nearStrides, to: target + box.far * width, box.farStrides,
                width: width)
        }
    }

    /// The other side's strides of dimensions that are given slowest first: the first is the fastest there.
    ///
    /// - Precondition: the sizes were checked against the data, so that no product overflows.
    static func strides(_ dims: [Int]) -> [Int] {
        var strides = [1]
        for dim in dims.dropLast() { strides.append(strides[strides.count - 1] * dim) }
        return strides
    }
}
