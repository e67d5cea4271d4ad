import COpenBLAS
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
    let vectors: DoubleMatrix

    public var order: Int { singularValues.count }
    var kept: Int { vectors.rows }

    /// Memory for decompositions of one order or smaller, which is used again and again: fresh memory costs a tenth.
    struct Workspace {
        fileprivate let work: DoubleMatrix
        fileprivate let all: DoubleMatrix

        init(order: Int) throws {
            work = try DoubleMatrix(rows: 1, columns: Int(try workCount(order)))
            all = try DoubleMatrix(rows: order, columns: order)
        }
    }

    /// Decomposes a Gram matrix of which the upper half is given; it is used as workspace and lost.
    ///
    /// - Parameters:
    ///   - order: the size of the matrix, which lies at the start of `gram`.
    ///   - keeping: how many vectors are wanted, at most `order`.
    /// - Source: LAPACK `dsytrd`, `dstedc`, `dormtr`, the steps of `dsyevd`; the last one for the kept vectors alone.
    init(destroying gram: DoubleMatrix, order count: Int, keeping: Int, in space: Workspace) throws {
        guard count > 0 else {
            singularValues = []
            vectors = gram
            return
        }
        var n = Int32(count)
        // Row-major, the upper half is LAPACK's lower one, and eigenvectors in columns are rows.
        var lower = CChar(0x4C)  // "L"
        var info: Int32 = 0
        var diagonal = [Double](repeating: 0, count: count)
        var off = [Double](repeating: 0, count: count)
        var tau = [Double](repeating: 0, count: count)
        var workCount = try Self.workCount(count)
        let (work, all) = (space.work, space.all)
        dsytrd_(&lower, &n, gram.pointer, &n, &diagonal, &off, &tau, work.pointer, &workCount, &info, 1)
        guard info == 0 else { throw DecompositionError.notConverged(Int(info)) }
        var integerCount = 3 + 5 * n
        var integers = [Int32](repeating: 0, count: Int(integerCount))
        var own = CChar(0x49)  // "I": of the tridiagonal matrix
        dstedc_(
            &own, &n, &diagonal, &off, all.pointer, &n, work.pointer, &workCount, &integers, &integerCount, &info, 1)
        guard info == 0 else { throw DecompositionError.notConverged(Int(info)) }
        let kept = min(keeping, count)
        vectors = try DoubleMatrix(rows: kept, columns: count)
        vectors.pointer.update(from: all.pointer + (count - kept) * count, count: kept * count)
        var side = lower
        var plain = CChar(0x4E)  // "N"
        var k = Int32(kept)
        if kept > 0 {
            dormtr_(
                &side, &lower, &plain, &n, &k, gram.pointer, &n, &tau, vectors.pointer, &n, work.pointer, &workCount,
                &info, 1, 1, 1)
        }
        singularValues = diagonal.reversed().map { max($0, 0).squareRoot() }
    }

    private static func workCount(_ n: Int) throws(DecompositionError) -> Int32 {
        // What dstedc wants; the others do with blocks of 64 columns.
        let (square, overflow) = n.multipliedReportingOverflow(by: n)
        guard !overflow, let count = Int32(exactly: square + 64 * n + 4096), n < Int32.max / 8 else {
            throw .tooLarge
        }
        return count
    }

    /// The bytes of a workspace.
    static func workspaceByteCount(order: Int) throws(DecompositionError) -> Int {
        8 * (Int(try workCount(order)) + order * order)
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
    func inverseSquareRoot(rank: Int) throws -> DoubleMatrix {
        // Σ λ^(-1/2) q qᵀ = Qᵀ Q with rows λ^(-1/4) q.
        for place in 0..<rank {
            let factor = 1 / singularValues[place].squareRoot()
            let vector = vectors.row(kept - 1 - place)
            for i in 0..<order { vector[i] *= factor }
        }
        let result = try DoubleMatrix(rows: order, columns: order)
        guard rank > 0 else { return result }
        addGram(order, rank, vectors.row(kept - rank), stride: order, byRows: false, to: result.pointer)
        for row in 0..<order {
            for column in 0..<row { result.pointer[row * order + column] = result.pointer[column * order + row] }
        }
        return result
    }
}
