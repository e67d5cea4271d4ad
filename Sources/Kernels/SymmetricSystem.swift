import COpenBLAS
import TensorCore

/// The equations `M A = B` for a symmetric positive semidefinite `A` that is a sum of terms, as least squares pose them; in F64.
///
/// - Shapes: `A` `[order, order]`, `B` and `M` `[sideCount, order]`, row-major.
public final class SymmetricSystem {
    public let order: Int
    public let sideCount: Int
    private let matrix: AlignedBuffer
    private let sides: AlignedBuffer
    /// One term's share of `A`, and its factor of the sides.
    private let term: AlignedBuffer
    private let factor: AlignedBuffer

    private static func doubles(_ buffer: AlignedBuffer) -> UnsafeMutablePointer<Double> {
        buffer.address.assumingMemoryBound(to: Double.self)
    }

    /// Takes memory for a system of equations.
    ///
    /// - Throws: `DecompositionError` `tooLarge`, `IOError` when there is no memory.
    public init(order: Int, sideCount: Int) throws {
        _ = try Self.workingByteCount(order: order, sideCount: sideCount)
        self.order = order
        self.sideCount = sideCount
        matrix = try AlignedBuffer(byteCount: 8 * order * order)
        sides = try AlignedBuffer(byteCount: 8 * sideCount * order)
        term = try AlignedBuffer(byteCount: 8 * order * order)
        factor = try AlignedBuffer(byteCount: 8 * sideCount * order)
    }

    /// The bytes that a system allocates.
    ///
    /// - Throws: `DecompositionError` `tooLarge`.
    public static func workingByteCount(order: Int, sideCount: Int) throws(DecompositionError) -> Int {
        guard order <= largestMatrixDimension, sideCount <= largestMatrixDimension else { throw .tooLarge }
        let (square, squareOverflow) = order.multipliedReportingOverflow(by: order)
        let (count, countOverflow) = sideCount.multipliedReportingOverflow(by: order)
        guard !squareOverflow, !countOverflow, square < Int.max >> 6, count < Int.max >> 6 else { throw .tooLarge }
        return 16 * (square + count)
    }

    /// Adds `weight · G` to `A` and `weight · X G` to `B`.
    ///
    /// - Parameters:
    ///   - gram: `G` `[order, order]`, symmetric.
    ///   - offDiagonalScale: what `G` is multiplied by beside its diagonal, first.
    ///   - side: `X` `[sideCount, order]`.
    public func add(
        _ gram: UnsafePointer<Float>, offDiagonalScale: Double, times side: UnsafePointer<Float>, weight: Double
    ) {
        let term = Self.doubles(term)
        for row in 0..<order {
            for column in 0..<order {
                let value = Double(gram[row * order + column])
                term[row * order + column] = row == column ? value : offDiagonalScale * value
            }
        }
        let factor = Self.doubles(factor)
        for i in 0..<sideCount * order { factor[i] = Double(side[i]) }
        addTerm(weight: weight)
    }

    /// Adds `weight · (XᵀX + ridge · I)` to `A` and `weight · X (XᵀX + ridge · I)` to `B`.
    ///
    /// - Parameter side: `X` `[sideCount, order]`.
    public func addGram(of side: UnsafePointer<Float>, ridge: Double, weight: Double) {
        guard order > 0, sideCount > 0 else { return }
        let (term, factor) = (Self.doubles(term), Self.doubles(factor))
        for i in 0..<sideCount * order { factor[i] = Double(side[i]) }
        let (n, m) = (Int32(order), Int32(sideCount))
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, n, m, 1, factor, n, factor, n, 0, term, n)
        for k in 0..<order { term[k * (order + 1)] += ridge }
        addTerm(weight: weight)
    }

    private func addTerm(weight: Double) {
        guard order > 0, sideCount > 0 else { return }
        let (matrix, term) = (Self.doubles(matrix), Self.doubles(term))
        for i in 0..<order * order { matrix[i] += weight * term[i] }
        let (n, m) = (Int32(order), Int32(sideCount))
        cblas_dgemm(
            CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, n, weight, Self.doubles(factor), n, term, n, 1,
            Self.doubles(sides), n)
    }

    /// Solves the equations; the system is used up.
    ///
    /// A matrix that is not positive definite to rounding gets a little added to its diagonal: 10⁻¹² of its mean, then a
    /// hundred times as much until it is.
    ///
    /// - Parameter result: `[sideCount, order]`, gets `scale · M`; zeros where `A` is zero.
    /// - Returns: what was added to the diagonal, as a share of its mean; 0 when nothing was.
    /// - Throws: `DecompositionError` when numbers are not finite.
    /// - Source: LAPACK `dposv`, Cholesky.
    @discardableResult
    public func solve(into result: FloatBuffer, scale: Double = 1) throws(DecompositionError) -> Double {
        precondition(result.count >= order * sideCount, "the buffer is smaller than the matrix")
        let (a, b) = (Self.doubles(matrix), Self.doubles(sides))
        guard order > 0, sideCount > 0 else { return 0 }
        guard countNonFinite(a, count: order * order) == (0, 0), countNonFinite(b, count: sideCount * order) == (0, 0)
        else { throw .notFinite }
        let diagonal = (0..<order).map { a[$0 * (order + 1)] }
        let mean = diagonal.reduce(0, +) / Double(order)
        guard mean > 0 else {
            result.values.update(repeating: 0)
            return 0
        }
        var added = 0.0
        while true {
            for k in 0..<order { a[k * (order + 1)] = diagonal[k] + added * mean }
            // Read column-major, the rows of B are the right-hand sides, and the lower triangle is the upper one of A as it
            // lies: the other triangle stays as it was.
            var uplo = CChar(0x4C)  // "L"
            var (n, count, info) = (Int32(order), Int32(sideCount), Int32(0))
            var (leading, sideLeading) = (n, n)
            dposv_(&uplo, &n, &count, a, &leading, b, &sideLeading, &info, 1)
            if info == 0 { break }
            guard info > 0, added < 1 else { throw .notConverged(Int(info)) }
            added = added == 0 ? 1e-12 : added * 100
            for row in 0..<order {
                for column in 0..<row { a[column * order + row] = a[row * order + column] }
            }
        }
        for i in 0..<sideCount * order { result.pointer[i] = Float(scale * b[i]) }
        return added
    }
}
