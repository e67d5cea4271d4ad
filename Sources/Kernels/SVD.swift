import COpenBLAS
import TensorCore

/// Why a matrix has no decomposition here.
public enum DecompositionError: Error, Hashable {
    /// A dimension or the workspace exceeds LAPACK's 32-bit integers.
    case tooLarge
    /// The matrix holds NaN or infinity, on which LAPACK does not return.
    case notFinite
    /// LAPACK's iteration did not converge; the number is its `info`.
    case notConverged(Int)
}

/// The thin singular value decomposition `A = U diag(S) Vᵀ` of a matrix in F32.
///
/// - Shapes: `u` `[rows, rank]`, `singularValues` `[rank]` in descending order, `vt` `[rank, columns]`, all row-major, with
///   rank = min(rows, columns).
public struct SingularValueDecomposition: Sendable {
    public let rows: Int
    public let columns: Int
    public let u: FloatBuffer
    public let singularValues: [Float]
    public let vt: FloatBuffer

    public var rank: Int { singularValues.count }

    /// How many singular values are above rounding noise: larger than max(rows, columns) · 2⁻²³ · the largest.
    ///
    /// Singular vectors beyond are arbitrary.
    public var numericalRank: Int {
        let threshold = numericalRankThreshold(singularValues, rows: rows, columns: columns)
        return singularValues.count { $0 > threshold }
    }

    /// Decomposes a row-major matrix, whose memory is used as workspace and lost.
    ///
    /// - Throws: `DecompositionError`, `IOError` when there is no memory.
    /// - Source: LAPACK `sgesdd`, divide and conquer; the same algorithm as NumPy and PyTorch use.
    public init(destroying a: FloatBuffer, rows: Int, columns: Int) throws {
        precondition(a.count >= rows * columns, "the buffer is smaller than the matrix")
        self.rows = rows
        self.columns = columns
        let rank = min(rows, columns)
        u = try FloatBuffer(count: rows * rank)
        vt = try FloatBuffer(count: rank * columns)
        singularValues = try decompose(a, rows: rows, columns: columns, u: u, vt: vt)
    }

    /// The bytes that `init` needs beside the matrix itself: both factors and LAPACK's workspace.
    ///
    /// - Throws: `DecompositionError` `tooLarge`.
    public static func workingByteCount(rows: Int, columns: Int) throws(DecompositionError) -> Int {
        let rank = min(rows, columns)
        let work = try workspace(rows: rows, columns: columns, vectors: true)
        return 4 * (rank * (rows + columns + 9) + work)
    }
}

/// The singular values of a row-major matrix in descending order; its memory is used as workspace and lost.
///
/// - Throws: as `SingularValueDecomposition.init`.
public func singularValues(destroying a: FloatBuffer, rows: Int, columns: Int) throws -> [Float] {
    precondition(a.count >= rows * columns, "the buffer is smaller than the matrix")
    return try decompose(a, rows: rows, columns: columns, u: nil, vt: nil)
}

/// The polar factor `U Vᵀ` of a matrix: of all matrices with orthonormal rows or columns the nearest one.
///
/// Directions below the numerical rank are left out, because their vectors are arbitrary.
///
/// - Parameter a: `[rows, columns]`, row-major; overwritten with the factor.
/// - Returns: the numerical rank.
/// - Throws: as `SingularValueDecomposition.init`.
@discardableResult
public func replaceByPolarFactor(_ a: FloatBuffer, rows: Int, columns: Int) throws -> Int {
    let factors = try SingularValueDecomposition(destroying: a, rows: rows, columns: columns)
    let rank = factors.numericalRank
    try recompose(factors, rank: rank, weights: nil, into: a)
    return rank
}

/// `result = U[:, ..<rank] diag(weights) Vᵀ[..<rank, :]`; nil weighs every direction 1.
///
/// - Parameter result: `[rows, columns]`, row-major.
/// - Throws: `DecompositionError` `tooLarge`.
public func recompose(
    _ factors: SingularValueDecomposition, rank: Int, weights: [Float]?, into result: FloatBuffer
) throws {
    try multiplyScaled(
        factors.u, leftStride: factors.rank, weights: weights, right: factors.vt, rows: factors.rows, inner: rank,
        columns: factors.columns, into: result)
}

/// `result = left diag(weights) right`, row-major.
///
/// - Shapes: `left` `[rows, leftStride]` of which the first `inner` columns count and are overwritten with their weighted
///   form, `right` `[inner, columns]`, `result` `[rows, columns]`.
/// - Throws: `DecompositionError` `tooLarge`.
public func multiplyScaled(
    _ left: FloatBuffer, leftStride: Int, weights: [Float]?, right: FloatBuffer, rows: Int, inner: Int, columns: Int,
    into result: FloatBuffer
) throws(DecompositionError) {
    precondition(left.count >= rows * leftStride && inner <= leftStride && right.count >= inner * columns)
    precondition(result.count >= rows * columns && (weights?.count ?? inner) >= inner)
    guard inner > 0, rows > 0, columns > 0 else {
        result.values.update(repeating: 0)
        return
    }
    if let weights {
        let values = left.pointer
        for row in 0..<rows {
            for k in 0..<inner { values[row * leftStride + k] *= weights[k] }
        }
    }
    guard max(rows, columns, leftStride) <= largestMatrixDimension else { throw .tooLarge }
    multiply(
        rows, columns, inner, .rows(left.pointer, stride: leftStride), .rows(right.pointer, stride: columns),
        into: result.pointer, stride: columns)
}

/// Below this a singular value is rounding noise: the rule of NumPy's and MATLAB's `matrix_rank`, with F32's epsilon.
func numericalRankThreshold(_ singularValues: [Float], rows: Int, columns: Int) -> Float {
    Float(max(rows, columns)) * Float.ulpOfOne * (singularValues.first ?? 0)
}

/// Runs `sgesdd`; without `u` and `vt`, for the values alone.
///
/// LAPACK sees a row-major matrix as its transpose `Aᵀ = V S Uᵀ`, so the dimensions change places, and what it stores
/// column-major as left and right vectors are, read row-major, `Vᵀ` and `U`.
private func decompose(
    _ a: FloatBuffer, rows: Int, columns: Int, u: FloatBuffer?, vt: FloatBuffer?
) throws -> [Float] {
    let rank = min(rows, columns)
    guard rank > 0 else { return [] }
    guard countNonFinite(a.pointer, count: rows * columns) == (0, 0) else { throw DecompositionError.notFinite }
    let vectors = u != nil
    let work = try FloatBuffer(count: try workspace(rows: rows, columns: columns, vectors: vectors))
    guard var m = Int32(exactly: columns), var n = Int32(exactly: rows), var k = Int32(exactly: rank),
        var workCount = Int32(exactly: work.count)
    else { throw DecompositionError.tooLarge }
    var job = CChar(vectors ? 0x53 : 0x4E)  // "S" or "N"
    var values = [Float](repeating: 0, count: rank)
    var integers = [Int32](repeating: 0, count: 8 * rank)
    var info: Int32 = 0
    var leading = m
    sgesdd_(
        &job, &m, &n, a.pointer, &leading, &values, vt?.pointer, &m, u?.pointer, &k, work.pointer, &workCount,
        &integers, &info, 1)
    guard info == 0 else { throw DecompositionError.notConverged(Int(info)) }
    return values
}

/// The numbers of F32 workspace that LAPACK asks for.
private func workspace(rows: Int, columns: Int, vectors: Bool) throws(DecompositionError) -> Int {
    guard rows > 0, columns > 0 else { return 0 }
    guard var m = Int32(exactly: columns), var n = Int32(exactly: rows) else { throw .tooLarge }
    var k = min(m, n)
    var job = CChar(vectors ? 0x53 : 0x4E)
    var leading = m
    var answer: Float = 0
    var query: Int32 = -1
    var integer: Int32 = 0
    var info: Int32 = 0
    sgesdd_(&job, &m, &n, nil, &leading, nil, nil, &m, nil, &k, &answer, &query, &integer, &info, 1)
    // LAPACK returns the number as F32, rounded down for large ones.
    let count = Double(answer) * (1 + Double(Float.ulpOfOne))
    guard info == 0, count < Double(Int32.max) else { throw .tooLarge }
    return Int(count.rounded(.up))
}
