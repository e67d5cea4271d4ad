/// Elements that form a box in an array whose elements lie in one order on the near side and in another on the far side: dense in
/// row-major order of `dims` on the near one. A box is copied in tiles, so that both sides use whole cache lines.
struct StridedBox {
    let dims: [Int]
    let farStrides: [Int]
    /// Where the first element stands on either side.
    let near, far: Int

    /// Cuts a run of elements into boxes, each a rectangle of the array.
    ///
    /// - Parameters:
    ///   - dims: slowest first on the side where the run is dense, the near one; at least one.
    ///   - strides: of the same dimensions on the far side, in elements.
    static func forEach(of run: Range<Int>, _ dims: [Int], strides: [Int], _ body: (StridedBox) -> Void) {
        func split(_ run: Range<Int>, axis: Int, near: Int, far: Int) {
            guard !run.isEmpty else { return }
            let inner = dims[(axis + 1)...].reduce(1, *)
            func box(_ indices: Range<Int>, near: Int) {
                guard !indices.isEmpty else { return }
                body(
                    StridedBox(
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

    /// Every plane of the last dimension, the fastest on the near side, and of the one that is the fastest of the others on the far
    /// side is copied in tiles.
    private func copy<T: BitwiseCopyable>(
        from source: UnsafeRawPointer, _ sourceStrides: [Int], to target: UnsafeMutableRawPointer,
        _ targetStrides: [Int], as type: T.Type
    ) {
        let last = dims.count - 1
        let rows = (0..<last).min { farStrides[$0] < farStrides[$1] }
        let plane = Plane(
            rows: rows.map { dims[$0] } ?? 1, columns: dims[last],
            sourceStrides: (rows.map { sourceStrides[$0] } ?? 0, sourceStrides[last]),
            targetStrides: (rows.map { targetStrides[$0] } ?? 0, targetStrides[last]))
        let others = (0..<last).filter { $0 != rows }
        var place = [Int](repeating: 0, count: dims.count)
        while true {
            var sourceStart = 0
            var targetStart = 0
            for axis in others {
                sourceStart += place[axis] * sourceStrides[axis]
                targetStart += place[axis] * targetStrides[axis]
            }
            let width = MemoryLayout<T>.size
            plane.copy(from: source + sourceStart * width, to: target + targetStart * width, as: type)
            // Counts the other dimensions up, the last of them fastest.
            let next = others.last { axis in
                place[axis] += 1
                if place[axis] < dims[axis] { return true }
                place[axis] = 0
                return false
            }
            if next == nil { return }
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
        if sourceStrides.column == 1, targetStrides.column == 1 {
            for row in 0..<rows {
                (target + row &* targetRow).copyMemory(from: source + row &* sourceRow, byteCount: columns &* width)
            }
            return
        }
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
