/// Adds `Σ x xᵀ` over rows in F32 to the upper half of a matrix in F64; the team shares the work.
///
/// Rows are added up a panel at a time and in their order, so that the sum does not depend on the number of threads.
///
/// - Shapes: `rows` `[count, n]`, `sum` `[n, n]`, `panel` `[p, n]`, which is used up.
package func addMoments(
    of rows: UnsafePointer<Float>, count: Int, to sum: Matrix<Double>, panel: Matrix<Double>
) {
    let n = sum.rows
    precondition(sum.columns == n && panel.columns == n && panel.rows > 0, "matrices of other shapes")
    let (target, values) = (sum.pointer, panel.pointer)
    for start in stride(from: 0, to: count, by: panel.rows) {
        let height = min(panel.rows, count - start)
        let source = rows + start * n
        share(rows: height * n, grain: momentGrain * n) { range in
            for i in range { values[i] = Double(source[i]) }
        }
        share(rows: n, grain: momentGrain) { range in
            let first = range.lowerBound
            multiply(
                range.count, n - first, height, .transposed(values + first, stride: n),
                .rows(values + first, stride: n),
                into: target + first * (n + 1), stride: n, accumulate: true)
        }
    }
}

/// Copies the upper half of a square matrix to the lower one.
package func mirrorUpperHalf(of matrix: Matrix<Double>) {
    let (n, values) = (matrix.rows, matrix.pointer)
    for row in 1..<max(1, n) {
        for column in 0..<row { values[row * n + column] = values[column * n + row] }
    }
}

/// The rows of a matrix, and of a panel, that a thread takes at a time.
private let momentGrain = 128
