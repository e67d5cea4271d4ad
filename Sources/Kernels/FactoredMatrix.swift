import TensorCore

/// A matrix of low rank as the product of two factors, `B A`.
///
/// - Shapes: `b` `[rows, rank]`, `a` `[rank, columns]`.
public struct FactoredMatrix: Sendable {
    public let b: Matrix<Double>
    public let a: Matrix<Double>

    public var rows: Int { b.rows }
    public var columns: Int { a.columns }
    public var rank: Int { a.rows }

    /// Takes the factors.
    ///
    /// - Precondition: `b` has as many columns as `a` has rows.
    public init(b: Matrix<Double>, a: Matrix<Double>) {
        precondition(b.columns == a.rows, "factors of different ranks")
        self.b = b
        self.a = a
    }

    /// The sum `Σ w_i B_i A_i`, exactly: factors side by side, those of A times their weight.
    ///
    /// - Precondition: there is a matrix, and all have the same sides.
    /// - Throws: `IOError` when there is no memory.
    public init(sumOf terms: [(matrix: FactoredMatrix, weight: Double)]) throws {
        let (rows, columns) = (terms[0].matrix.rows, terms[0].matrix.columns)
        let rank = terms.reduce(0) { $0 + $1.matrix.rank }
        b = try Matrix(rows: rows, columns: rank)
        a = try Matrix(rows: rank, columns: columns)
        var start = 0
        for (matrix, weight) in terms {
            precondition(matrix.rows == rows && matrix.columns == columns, "matrices of different sides")
            for row in 0..<rows {
                (b.row(row) + start).update(from: matrix.b.row(row), count: matrix.rank)
            }
            let target = a.row(start)
            for i in 0..<matrix.a.count { target[i] = weight * matrix.a.pointer[i] }
            start += matrix.rank
        }
    }

    /// The strongest triplets of a matrix, with `B = U √S` and `A = √S Vᵀ`.
    ///
    /// - Parameters:
    ///   - matrix: used as workspace and lost.
    ///   - rank: how many are kept at most; nil for all above rounding.
    ///   - epsilon: the rounding of the matrix's numbers; singular values up to max(rows, columns) times as much of the largest are none.
    /// - Throws: `DecompositionError`, `IOError` when there is no memory.
    public init(destroying matrix: Matrix<Double>, keeping rank: Int?, epsilon: Double) throws {
        let factors = try SingularValueDecomposition(destroying: matrix)
        let noise = Double(max(matrix.rows, matrix.columns)) * epsilon * (factors.singularValues.first ?? 0)
        let kept = min(factors.singularValues.count { $0 > noise }, rank ?? .max)
        b = try Matrix(rows: matrix.rows, columns: kept)
        a = try Matrix(rows: kept, columns: matrix.columns)
        for k in 0..<kept {
            let root = factors.singularValues[k].squareRoot()
            for row in 0..<b.rows { b.row(row)[k] = root * factors.u.row(row)[k] }
            for column in 0..<a.columns { a.row(k)[column] = root * factors.vt.row(k)[column] }
        }
    }

    /// The strongest triplets of a matrix of F32, with `B = U √S` and `A = √S Vᵀ`.
    ///
    /// - Parameter triplets: of the matrix.
    /// - Throws: `IOError` when there is no memory.
    public init(_ triplets: SingularTriplets) throws {
        let kept = triplets.ut.rows
        b = try Matrix(rows: triplets.ut.columns, columns: kept)
        a = try Matrix(rows: kept, columns: triplets.vt.columns)
        for k in 0..<kept {
            let root = triplets.singularValues[k].squareRoot()
            for row in 0..<b.rows { b.row(row)[k] = root * Double(triplets.ut.row(k)[row]) }
            for column in 0..<a.columns { a.row(k)[column] = root * Double(triplets.vt.row(k)[column]) }
        }
    }

    /// The matrix itself, times a factor.
    ///
    /// - Parameter result: `[rows, columns]`.
    public func product(scaledBy factor: Double = 1, into result: Matrix<Double>) {
        guard rank > 0 else {
            result.values.update(repeating: 0)
            return
        }
        multiply(rows, columns, rank, b.view, a.view, into: result.pointer, stride: columns, alpha: factor)
    }
}

/// Several matrices of low rank in orthonormal bases that hold all of them: `M_i = L K_i R` with small cores `K_i`.
///
/// What a function f that keeps to rotations of rows and columns makes of the matrices is `L f(K) R`.
///
/// - Shapes: `left` `[rows, p]` with orthonormal columns, `right` `[q, columns]` with orthonormal rows, cores `[p, q]`, where p and q are the
///   sum of the ranks, or the side of the matrices where that is less.
public struct CoreSpace: Sendable {
    private let left: Matrix<Double>
    private let right: Matrix<Double>
    public let cores: [Matrix<Double>]

    public var rows: Int { left.columns }
    public var columns: Int { right.rows }

    /// Finds the bases.
    ///
    /// - Parameter terms: of the same sides, at least one; cores are those of the matrices times their weights.
    /// - Throws: `DecompositionError`, `IOError` when there is no memory.
    public init(of terms: [(matrix: FactoredMatrix, weight: Double)]) throws {
        let all = try FactoredMatrix(sumOf: terms)
        // The columns of a singular value decomposition are orthonormal whatever the rank.
        left = try SingularValueDecomposition(destroying: all.b).u
        right = try SingularValueDecomposition(destroying: all.a).vt
        cores = try terms.map { [left, right] matrix, weight in
            let b = try Matrix<Double>(rows: left.columns, columns: matrix.rank)
            multiply(b.rows, b.columns, left.rows, left.transposed, matrix.b.view, into: b.pointer, stride: b.columns)
            let a = try Matrix<Double>(rows: matrix.rank, columns: right.rows)
            multiply(
                a.rows, a.columns, right.columns, matrix.a.view, right.transposed, into: a.pointer, stride: a.columns)
            let core = try Matrix<Double>(rows: left.columns, columns: right.rows)
            FactoredMatrix(b: b, a: a).product(scaledBy: weight, into: core)
            return core
        }
    }

    /// The bytes that a value takes, making it included.
    ///
    /// - Throws: `DecompositionError` `tooLarge`.
    public static func workingByteCount(
        rows: Int, columns: Int, rank: Int, count: Int
    ) throws(DecompositionError) -> Int {
        let (p, q) = (min(rows, rank), min(columns, rank))
        return try 8 * (2 * rank * (rows + columns) + count * (p * q + rank * (p + q)))
            + SingularValueDecomposition<Double>.workingByteCount(rows: rows, columns: rank)
            + SingularValueDecomposition<Double>.workingByteCount(rows: rank, columns: columns)
    }

    /// The matrix of a core in factors, the rank of which is that of the core.
    ///
    /// - Parameter core: in factors of `[rows, k]` and `[k, columns]` of this space.
    /// - Throws: `IOError` when there is no memory.
    public func matrix(of core: FactoredMatrix) throws -> FactoredMatrix {
        let b = try Matrix<Double>(rows: left.rows, columns: core.rank)
        let a = try Matrix<Double>(rows: core.rank, columns: right.columns)
        if core.rank > 0 {
            multiply(b.rows, b.columns, left.columns, left.view, core.b.view, into: b.pointer, stride: b.columns)
            multiply(a.rows, a.columns, right.rows, core.a.view, right.view, into: a.pointer, stride: a.columns)
        }
        return FactoredMatrix(b: b, a: a)
    }
}
