/// The eigenvalues and all eigenvectors of a symmetric matrix, in F64.
public struct SymmetricEigen: Sendable {
    /// In ascending order.
    public let values: [Double]
    /// The vector of each value, as rows: `A = Qᵀ diag(values) Q`, `[order, order]`.
    public let vectors: Matrix<Double>

    /// Decomposes a matrix of which the upper half is given; it is used as workspace and lost.
    ///
    /// - Parameter matrix: `[order, order]`.
    /// - Throws: `DecompositionError` `tooLarge`, `notFinite`, `notConverged`; `IOError` when there is no memory.
    /// - Source: LAPACK, the steps of `dsyevd`.
    public init(destroying matrix: Matrix<Double>) throws {
        let order = matrix.rows
        precondition(order == matrix.columns, "the matrix is not square")
        vectors = try Matrix(rows: order, columns: order)
        guard order > 0 else {
            values = []
            return
        }
        guard countNonFinite(matrix.pointer, count: order * order) == (0, 0) else {
            throw DecompositionError.notFinite
        }
        values = try LAPACK.eigen(
            destroying: matrix.pointer, order: order, space: try Matrix(rows: order, columns: order),
            work: try Matrix(rows: 1, columns: LAPACK.eigenWorkCount(order: order)), keeping: vectors)
    }

    /// The bytes that decomposing allocates, those of the result among them.
    ///
    /// - Throws: `DecompositionError` `tooLarge`.
    public static func workingByteCount(order: Int) throws(DecompositionError) -> Int {
        8 * (try LAPACK.eigenWorkCount(order: order) + 2 * order * order)
    }
}
