import TensorCore

/// The thin singular value decomposition `A = U diag(S) Vᵀ` of a matrix.
///
/// - Shapes: `u` `[rows, rank]`, `singularValues` `[rank]` in descending order, `vt` `[rank, columns]`, all row-major, with
///   rank = min(rows, columns).
public struct SingularValueDecomposition<Scalar: DecomposableScalar>: Sendable {
    public let u: Matrix<Scalar>
    public let singularValues: [Scalar]
    public let vt: Matrix<Scalar>

    public var rank: Int { singularValues.count }

    /// Decomposes a matrix, whose memory is used as workspace and lost.
    ///
    /// - Parameter rows: how many rows of the matrix count; nil for all.
    /// - Throws: `DecompositionError`, `IOError` when there is no memory.
    /// - Source: LAPACK `sgesdd` and `dgesdd`, divide and conquer; the same algorithm as NumPy and PyTorch use.
    public init(destroying a: Matrix<Scalar>, rows: Int? = nil) throws {
        let rows = rows ?? a.rows
        precondition(rows <= a.rows, "the matrix has fewer rows")
        let rank = min(rows, a.columns)
        u = try Matrix(rows: rows, columns: rank)
        vt = try Matrix(rows: rank, columns: a.columns)
        singularValues = try LAPACK.decompose(a.pointer, u: u, vt: vt)
    }

    /// The bytes that `init` needs beside the matrix itself: both factors and LAPACK's workspace.
    ///
    /// - Throws: `DecompositionError` `tooLarge`.
    public static func workingByteCount(rows: Int, columns: Int) throws(DecompositionError) -> Int {
        let rank = min(rows, columns)
        let work = try LAPACK.decompositionWorkCount(rows: rows, columns: columns, in: Scalar.self)
        return MemoryLayout<Scalar>.stride * (rank * (rows + columns + 1) + work) + 32 * rank
    }
}

extension SingularValueDecomposition<Float> {
    /// How many singular values are above rounding noise: larger than max(rows, columns) · 2⁻²³ · the largest. That is the rule of
    /// NumPy's and MATLAB's `matrix_rank`, with F32's epsilon.
    ///
    /// Singular vectors beyond are arbitrary.
    public var numericalRank: Int {
        let threshold = Float(max(u.rows, vt.columns)) * Float.ulpOfOne * (singularValues.first ?? 0)
        return singularValues.count { $0 > threshold }
    }
}

/// The polar factor `U Vᵀ` of a matrix: of all matrices with orthonormal rows or columns the nearest one.
///
/// Directions below the numerical rank are left out, because their vectors are arbitrary.
///
/// - Parameters:
///   - a: overwritten with the factor.
///   - rows: how many rows of the matrix count; nil for all.
/// - Returns: the numerical rank.
/// - Throws: as `SingularValueDecomposition.init`.
@discardableResult
public func replaceByPolarFactor(_ a: Matrix<Float>, rows: Int? = nil) throws -> Int {
    let factors = try SingularValueDecomposition(destroying: a, rows: rows)
    let rank = factors.numericalRank
    multiplyScaled(factors.u, weights: nil, factors.vt, inner: rank, into: a)
    return rank
}

/// `result = left diag(weights) right`; nil weighs everything 1.
///
/// - Shapes: `left` `[rows, ≥ inner]`, of which the first `inner` columns count and are overwritten with their weighted form,
///   `right` `[≥ inner, columns]`, `result` `[≥ rows, columns]`.
public func multiplyScaled(
    _ left: Matrix<Float>, weights: [Float]?, _ right: Matrix<Float>, inner: Int, into result: Matrix<Float>
) {
    precondition(inner <= min(left.columns, right.rows) && (weights?.count ?? inner) >= inner)
    precondition(result.rows >= left.rows && result.columns == right.columns)
    guard inner > 0, result.count > 0 else {
        result.values.update(repeating: 0)
        return
    }
    if let weights {
        for row in 0..<left.rows {
            let values = left.row(row)
            for k in 0..<inner { values[k] *= weights[k] }
        }
    }
    multiply(
        left.rows, right.columns, inner, left.view, right.view, into: result.pointer, stride: result.columns)
}
