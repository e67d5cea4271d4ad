/// The equations `M A = B` for a symmetric positive semidefinite `A` that is a sum of terms, as least squares pose them; in F64.
///
/// - Shapes: `A` `[order, order]`, `B` and `M` `[sideCount, order]`, row-major.
public final class SymmetricSystem {
    public let order: Int
    public let sideCount: Int
    private let matrix: Matrix<Double>
    private let sides: Matrix<Double>
    /// One term's share of `A`, and its factor of the sides.
    private let term: Matrix<Double>
    private let factor: Matrix<Double>

    /// Takes memory for a system of equations.
    ///
    /// - Throws: `DecompositionError` `tooLarge`, `IOError` when there is no memory.
    public init(order: Int, sideCount: Int) throws {
        _ = try Self.workingByteCount(order: order, sideCount: sideCount)
        self.order = order
        self.sideCount = sideCount
        matrix = try Matrix(rows: order, columns: order)
        sides = try Matrix(rows: sideCount, columns: order)
        term = try Matrix(rows: order, columns: order)
        factor = try Matrix(rows: sideCount, columns: order)
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
    public func add(_ gram: Matrix<Float>, offDiagonalScale: Double, times side: Matrix<Float>, weight: Double) {
        for row in 0..<order {
            let (source, target) = (gram.row(row), term.row(row))
            for column in 0..<order {
                let value = Double(source[column])
                target[column] = row == column ? value : offDiagonalScale * value
            }
        }
        widen(side)
        addTerm(weight: weight)
    }

    /// Adds `weight · (XᵀX + ridge · I)` to `A` and `weight · X (XᵀX + ridge · I)` to `B`.
    ///
    /// - Parameter side: `X` `[sideCount, order]`.
    public func addGram(of side: Matrix<Float>, ridge: Double, weight: Double) {
        guard order > 0, sideCount > 0 else { return }
        widen(side)
        multiply(order, order, sideCount, factor.transposed, factor.view, into: term.pointer, stride: order)
        for k in 0..<order { term.pointer[k * (order + 1)] += ridge }
        addTerm(weight: weight)
    }

    private func widen(_ side: Matrix<Float>) {
        let (source, target) = (side.pointer, factor.pointer)
        for i in 0..<factor.count { target[i] = Double(source[i]) }
    }

    private func addTerm(weight: Double) {
        let (matrix, term) = (matrix.pointer, term.pointer)
        for i in 0..<order * order { matrix[i] += weight * term[i] }
        multiply(
            sideCount, order, order, factor.view, self.term.view, into: sides.pointer, stride: order, accumulate: true,
            alpha: weight)
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
    public func solve(into result: Matrix<Float>, scale: Double = 1) throws(DecompositionError) -> Double {
        precondition(result.count >= sides.count, "the result is smaller than the sides")
        let (a, b) = (matrix.pointer, sides.pointer)
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
            let info = try LAPACK.solve(a, b, order: order, count: sideCount)
            if info == 0 { break }
            guard added < 1 else { throw .notConverged(info) }
            added = added == 0 ? 1e-12 : added * 100
            for row in 0..<order {
                for column in 0..<row { a[column * order + row] = a[row * order + column] }
            }
        }
        for i in 0..<sideCount * order { result.pointer[i] = Float(scale * b[i]) }
        return added
    }
}
