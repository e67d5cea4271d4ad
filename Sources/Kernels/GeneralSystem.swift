/// Solves `M A = B` for a square matrix, in F64.
///
/// - Parameters:
///   - sides: `B` `[count, order]`, becomes `M`.
///   - matrix: `A` `[order, order]`, lost.
/// - Throws: `DecompositionError` `notFinite`, and `notConverged` when `A` is singular.
/// - Source: LAPACK `dgesv`, an LU decomposition with pivots.
public func solve(_ sides: Matrix<Double>, over matrix: Matrix<Double>) throws(DecompositionError) {
    precondition(matrix.rows == matrix.columns && sides.columns == matrix.rows, "the shapes do not fit")
    guard matrix.count > 0, sides.count > 0 else { return }
    guard countNonFinite(matrix.pointer, count: matrix.count) == (0, 0),
        countNonFinite(sides.pointer, count: sides.count) == (0, 0)
    else { throw .notFinite }
    try LAPACK.solveGeneral(matrix.pointer, sides.pointer, order: matrix.rows, count: sides.rows)
}
