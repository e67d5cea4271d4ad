import TensorCore

/// Singular values and vectors of a matrix's shorter side, from the eigenvectors of its Gram matrix in F64.
///
/// Squares lose half of the digits, which F64 has to spare for a matrix of F32: singular values are good to 2⁻²⁶ of the
/// largest, and the numerical rank of F32 ends long before. On a matrix of 3072 x 768 it takes a third of `sgesdd`, on a
/// square one as long.
public struct GramSpectrum: Sendable {
    /// In descending order, `order` of them.
    public let singularValues: [Double]
    /// The vectors of the largest singular values, largest last, `[kept, order]`.
    let vectors: Matrix<Double>

    public var order: Int { singularValues.count }
    var kept: Int { vectors.rows }

    /// Memory for decompositions of one order or smaller, which is used again and again: fresh memory costs a tenth.
    struct Workspace {
        fileprivate let work: Matrix<Double>
        fileprivate let all: Matrix<Double>

        init(order: Int) throws {
            work = try Matrix(rows: 1, columns: LAPACK.eigenWorkCount(order: order))
            all = try Matrix(rows: order, columns: order)
        }
    }

    /// Decomposes a Gram matrix of which the upper half is given; it is used as workspace and lost.
    ///
    /// - Parameters:
    ///   - order: the size of the matrix, which lies at the start of `gram`.
    ///   - keeping: how many vectors are wanted, at most `order`.
    init(destroying gram: Matrix<Double>, order: Int, keeping: Int, in space: Workspace) throws {
        guard order > 0 else {
            singularValues = []
            vectors = gram
            return
        }
        vectors = try Matrix(rows: min(keeping, order), columns: order)
        singularValues = try LAPACK.eigen(
            destroying: gram.pointer, order: order, space: space.all, work: space.work, keeping: vectors
        ).reversed().map { max($0, 0).squareRoot() }
    }

    /// The bytes of a workspace.
    static func workspaceByteCount(order: Int) throws(DecompositionError) -> Int {
        8 * (try LAPACK.eigenWorkCount(order: order) + order * order)
    }

    /// How many singular values of a matrix of F32 are above its rounding noise; see
    /// `SingularValueDecomposition.numericalRank`.
    ///
    /// - Parameter longer: the matrix's longer side.
    func numericalRank(longer: Int) -> Int { rank(above: Double(longer) * Double(Float.ulpOfOne)) }

    /// How many singular values of a matrix of F64 are above the noise of its Gram matrix.
    ///
    /// A square matrix of random vectors often has a singular value near 10⁻⁴ of the largest, which the noise of F32 would
    /// hide.
    func numericalRankOfDouble(longer: Int) -> Int {
        rank(above: 4 * (Double(longer) * Double.ulpOfOne).squareRoot())
    }

    private func rank(above share: Double) -> Int {
        let threshold = share * (singularValues.first ?? 0)
        return singularValues.count { $0 > threshold }
    }

    /// `X^(-1/2)` of the Gram matrix `X`, `[order, order]`, on its `rank` largest directions; the vectors are lost.
    func inverseSquareRoot(rank: Int) throws -> Matrix<Double> {
        // Σ λ^(-1/2) q qᵀ = Qᵀ Q with rows λ^(-1/4) q.
        scaleVectors(rank: rank) { 1 / $0.squareRoot() }
        return try sumOfSquares(rank: rank)
    }

    /// `X^(1/2)` and `X^(-1/2)`, as `inverseSquareRoot` has it.
    func squareRoots(rank: Int) throws -> (root: Matrix<Double>, inverse: Matrix<Double>) {
        scaleVectors(rank: rank) { $0.squareRoot() }
        let root = try sumOfSquares(rank: rank)
        scaleVectors(rank: rank) { 1 / $0 }
        return (root, try sumOfSquares(rank: rank))
    }

    /// Multiplies each of the `rank` largest vectors by what becomes of its singular value.
    private func scaleVectors(rank: Int, by factor: (Double) -> Double) {
        for place in 0..<rank {
            let factor = factor(singularValues[place])
            let vector = vectors.row(kept - 1 - place)
            for i in 0..<order { vector[i] *= factor }
        }
    }

    /// The sum of the outer products of the `rank` largest vectors.
    private func sumOfSquares(rank: Int) throws -> Matrix<Double> {
        let result = try Matrix<Double>(rows: order, columns: order)
        guard rank > 0 else { return result }
        addGram(order, rank, vectors.row(kept - rank), stride: order, byRows: false, to: result.pointer)
        for row in 0..<order {
            for column in 0..<row { result.pointer[row * order + column] = result.pointer[column * order + row] }
        }
        return result
    }
}
