import TensorCore

/// The singular values `S` of a matrix of F32, `M = U diag(S) Vᵀ`, as something that can be changed.
///
/// All by way of the Gram matrix of the shorter side, in F64. Directions below the numerical rank, whose vectors are arbitrary, have no
/// value here and are left out of what the matrix becomes.
public struct EditableSpectrum {
    /// In descending order, as many as the numerical rank.
    public let singularValues: [Double]

    private let matrix: Matrix<Float>
    private let panels: MatrixPanels
    /// The vectors of the shorter side, weakest first, `[order, order]`; the last `rank` of them count.
    private let vectors: Matrix<Double>

    private var rank: Int { singularValues.count }
    private var order: Int { panels.order }
    /// The vectors that count, weakest first.
    private var kept: MatrixView<Double> { .rows(vectors.row(order - rank), stride: order) }

    /// Decomposes a matrix.
    ///
    /// - Throws: `DecompositionError`, `IOError` when there is no memory.
    public init(of matrix: Matrix<Float>) throws {
        guard countNonFinite(matrix.pointer, count: matrix.count) == (0, 0) else { throw DecompositionError.notFinite }
        self.matrix = matrix
        panels = try MatrixPanels(rows: matrix.rows, columns: matrix.columns)
        let order = panels.order
        let gram = try Matrix<Double>(rows: order, columns: order)
        panels.gram(of: matrix, into: gram)
        let spectrum = try GramSpectrum(
            destroying: gram, order: order, keeping: order, in: GramSpectrum.Workspace(order: order))
        singularValues = Array(spectrum.singularValues.prefix(spectrum.numericalRank(longer: panels.longer)))
        vectors = spectrum.vectors
    }

    /// The bytes that a value and its work take beside the matrix.
    ///
    /// - Throws: `DecompositionError` `tooLarge`.
    public static func workingByteCount(rows: Int, columns: Int) throws(DecompositionError) -> Int {
        guard max(rows, columns) <= largestMatrixDimension else { throw .tooLarge }
        let order = min(rows, columns)
        let panels = 4 * MatrixPanels.elementCount(rows: rows, columns: columns)
        return try 8 * (panels + 5 * order * order) + GramSpectrum.workspaceByteCount(order: order)
    }

    /// What another matrix X is in every direction: `⟨uᵀM, uᵀX⟩` and `‖uᵀX‖²` for the left vectors u, strongest first.
    ///
    /// - Parameter other: of the same shape.
    /// - Throws: `DecompositionError` `notFinite`, `IOError` when there is no memory.
    public func shares(of other: Matrix<Float>) throws -> [(product: Double, square: Double)] {
        precondition(other.rows == matrix.rows && other.columns == matrix.columns, "the matrices differ in shape")
        guard countNonFinite(other.pointer, count: other.count) == (0, 0) else { throw DecompositionError.notFinite }
        guard rank > 0 else { return [] }
        let theirs = try MatrixPanels(rows: other.rows, columns: other.columns)
        let shares = try matrix.rows >= matrix.columns ? sharesByColumns(other, theirs) : sharesByRows(other, theirs)
        return shares.reversed()
    }

    /// With `vᵀ Mᵀ X = S uᵀ X` of a tall matrix; weakest first.
    private func sharesByColumns(
        _ other: Matrix<Float>, _ theirs: MatrixPanels
    ) throws -> [(product: Double, square: Double)] {
        let products = try Matrix<Double>(rows: order, columns: order)
        panels.forEach(of: matrix) { start, count, values in
            multiply(
                order, order, count, .transposed(values, stride: order),
                .rows(theirs.load(other, from: start, count: count), stride: order), into: products.pointer,
                stride: order, accumulate: true)
        }
        let shown = try Matrix<Double>(rows: rank, columns: order)
        multiply(rank, order, order, kept, products.view, into: shown.pointer, stride: order)
        return (0..<rank).map { place in
            let (vector, row) = (vectors.row(order - rank + place), shown.row(place))
            let value = singularValues[rank - 1 - place]
            var (product, square) = (0.0, 0.0)
            for i in 0..<order {
                product += vector[i] * row[i]
                square += row[i] * row[i]
            }
            return (product, square / (value * value))
        }
    }

    /// With `uᵀ M` and `uᵀ X` themselves, a few columns of a wide matrix at a time; weakest first.
    private func sharesByRows(
        _ other: Matrix<Float>, _ theirs: MatrixPanels
    ) throws -> [(product: Double, square: Double)] {
        let own = try Matrix<Double>(rows: MatrixPanels.panelCount, columns: rank)
        let shown = try Matrix<Double>(rows: MatrixPanels.panelCount, columns: rank)
        let directions = MatrixView<Double>.transposed(vectors.row(order - rank), stride: order)
        var shares = Array(repeating: (product: 0.0, square: 0.0), count: rank)
        panels.forEach(of: matrix) { start, count, values in
            multiply(
                count, rank, order, .rows(values, stride: order), directions, into: own.pointer, stride: rank)
            multiply(
                count, rank, order, .rows(theirs.load(other, from: start, count: count), stride: order), directions,
                into: shown.pointer, stride: rank)
            for i in 0..<count {
                let (mine, others) = (own.row(i), shown.row(i))
                for place in 0..<rank {
                    shares[place].product += mine[place] * others[place]
                    shares[place].square += others[place] * others[place]
                }
            }
        }
        return shares
    }

    /// Makes the matrix `U diag(values) Vᵀ`, rounded to F32; nothing else can be asked after that.
    ///
    /// - Parameter values: one for each of the singular values.
    /// - Throws: `IOError` when there is no memory.
    public func replace(by values: [Double]) throws {
        precondition(values.count == rank, "every singular value has one in its place")
        let scaled = try Matrix<Double>(rows: rank, columns: order)
        for place in 0..<rank {
            let (source, target) = (vectors.row(order - rank + place), scaled.row(place))
            let factor = values[rank - 1 - place] / singularValues[rank - 1 - place]
            for i in 0..<order { target[i] = factor * source[i] }
        }
        // M V diag(values / S) Vᵀ, or the same from the left.
        let factor = try Matrix<Double>(rows: order, columns: order)
        multiply(order, order, rank, scaled.transposed, kept, into: factor.pointer, stride: order)
        try panels.multiply(matrix, by: factor)
    }
}
