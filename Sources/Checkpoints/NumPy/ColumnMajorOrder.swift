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

    /// Copies a run of row-major elements out of column-major data.
    ///
    /// - Precondition: `source` holds the whole array, `target` the run.
    func gather(_ run: Range<Int>, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
        forEachBox(of: run, dims) { box in
            box.copy(
                from: source + box.far * width, box.farStrides, to: target + box.near * width, box.nearStrides,
                width: width)
        }
    }

    /// Copies a run of column-major elements to their places in row-major data.
    ///
    /// - Precondition: `source` holds the run, `target` the whole array.
    func scatter(_ run: Range<Int>, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
        forEachBox(of: run, dims.reversed()) { box in
            box.copy(
                from: source + box.near * width, box.nearStrides, to: target + box.far * width, box.farStrides,
                width: width)
        }
    }

    /// Cuts a run of elements into boxes, each a rectangle of the array.
    ///
    /// - Parameter dims: slowest first on the side where the run is dense; on the other side the first is the fastest.
    private func forEachBox(of run: Range<Int>, _ dims: [Int], _ body: (Box) -> Void) {
        // Sizes were checked against the data, so no product can overflow.
        var strides = [1]
        for dim in dims.dropLast() { strides.append(strides[strides.count - 1] * dim) }
        func split(_ run: Range<Int>, axis: Int, near: Int, far: Int) {
            guard !run.isEmpty else { return }
            let inner = dims[(axis + 1)...].reduce(1, *)
            func box(_ indices: Range<Int>, near: Int) {
                guard !indices.isEmpty else { return }
                body(
                    Box(
                        dims: [indices.count] + dims[(axis + 1)...], farStrides: Array(strides[axis...]), near: near,
                        far: far + indices.lowerBound * strides[axis]))
            }
            if axis == dims.count - 1 { return box(run, near: near) }
            // The indices from the first to the last that the run has all of.
            let (first, end) = ((run.lowerBound + inner - 1) / inner, run.upperBound / inner)
            func part(_ index: Int, _ range: Range<Int>) {
                let start = index * inner
                split(
                    range.lowerBound - start..<range.upperBound - start, axis: axis + 1,
                    near: near + range.lowerBound - run.lowerBound, far: far + index * strides[axis])
            }
            // All of the run may lie inside one index.
            guard first <= end else { return part(end, run) }
            part(first - 1, run.lowerBound..<first * inner)
            box(first..<end, near: near + first * inner - run.lowerBound)
            part(end, end * inner..<run.upperBound)
        }
        split(run, axis: 0, near: 0, far: 0)
    }
}

/// Elements that form a box in both orders: dense in row-major order of `dims` on the near side.
private struct Box {
    let dims: [Int]
    let farStrides: [Int]
    /// Where the first element stands on either side.
    let near, far: Int

    var nearStrides: [Int] {
        var strides = [1]
        for dim in dims.dropFirst().reversed() { strides.append(strides[strides.count - 1] * dim) }
        return strides.reversed()
    }

    func copy(
        from source: UnsafeRawPointer, _ sourceStrides: [Int], to target: UnsafeMutableRawPointer,
        _ targetStrides: [Int], width: Int
    ) {
        switch width {
        case 1: copy(from: source, sourceStrides, to: target, targetStrides, as: UInt8.self)
        case 2: copy(from: source, sourceStrides, to: target, targetStrides, as: UInt16.self)
        case 4: copy(from: source, sourceStrides, to: target, targetStrides, as: UInt32.self)
        case 8: copy(from: source, sourceStrides, to: target, targetStrides, as: UInt64.self)
        default: copy(from: source, sourceStrides, to: target, targetStrides, as: SIMD2<UInt64>.self)
        }
    }

    /// The first dimension is the fastest on one side and the last on the other: every plane of the two is copied in tiles.
    private func copy<T: BitwiseCopyable>(
        from source: UnsafeRawPointer, _ sourceStrides: [Int], to target: UnsafeMutableRawPointer,
        _ targetStrides: [Int], as type: T.Type
    ) {
        let last = dims.count - 1
        let plane = Plane(
            rows: last == 0 ? 1 : dims[0], columns: dims[last], sourceStrides: (sourceStrides[0], sourceStrides[last]),
            targetStrides: (targetStrides[0], targetStrides[last]))
        var middle = [Int](repeating: 0, count: dims.count)
        while true {
            var sourceStart = 0
            var targetStart = 0
            for axis in 1..<max(last, 1) {
                sourceStart += middle[axis] * sourceStrides[axis]
                targetStart += middle[axis] * targetStrides[axis]
            }
            let width = MemoryLayout<T>.size
            plane.copy(from: source + sourceStart * width, to: target + targetStart * width, as: type)
            // Counts the middle dimensions up, the last of them fastest.
            var axis = last - 1
            while axis >= 1 {
                middle[axis] += 1
                if middle[axis] < dims[axis] { break }
                middle[axis] = 0
                axis -= 1
            }
            if axis < 1 { return }
        }
    }
}

/// Two dimensions of a box, strides in elements.
private struct Plane {
    let rows, columns: Int
    let sourceStrides, targetStrides: (row: Int, column: Int)

    func copy<T: BitwiseCopyable>(from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, as type: T.Type) {
        // Safety: the caller's strides and counts stay inside two buffers that hold the box; loads need no alignment.
        let width = MemoryLayout<T>.size
        let tile = max(8, 64 / width)
        let (sourceRow, sourceColumn) = (sourceStrides.row &* width, sourceStrides.column &* width)
        let (targetRow, targetColumn) = (targetStrides.row &* width, targetStrides.column &* width)
        for firstRow in stride(from: 0, to: rows, by: tile) {
            let rowEnd = min(firstRow + tile, rows)
            for firstColumn in stride(from: 0, to: columns, by: tile) {
                let columnEnd = min(firstColumn + tile, columns)
                for row in firstRow..<rowEnd {
                    let from = source + row &* sourceRow
                    let to = target + row &* targetRow
                    for column in firstColumn..<columnEnd {
                        let value = (from + column &* sourceColumn).loadUnaligned(as: T.self)
                        (to + column &* targetColumn).storeBytes(of: value, as: T.self)
                    }
                }
            }
        }
    }
}
