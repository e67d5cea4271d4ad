import TensorCore

/// The singular values of a matrix of F32 and the triplets above its rounding noise, by way of its Gram matrix in F64.
///
/// - Shapes: `ut` `[kept, rows]` and `vt` `[kept, columns]`, vectors as rows, strongest first, rounded to F32.
public struct SingularTriplets: Sendable {
    /// In descending order, all min(rows, columns) of them; good to 2⁻²⁶ of the largest.
    public let singularValues: [Double]
    /// As `SingularValueDecomposition.numericalRank`.
    public let numericalRank: Int
    public let ut: Matrix<Float>
    public let vt: Matrix<Float>

    /// Decomposes a matrix.
    ///
    /// - Parameter wanted: how many triplets are kept at most; never more than the numerical rank.
    /// - Throws: `DecompositionError`, `IOError` when there is no memory.
    public init(_ matrix: Matrix<Float>, keeping wanted: Int = .max) throws {
        guard countNonFinite(matrix.pointer, count: matrix.count) == (0, 0) else { throw DecompositionError.notFinite }
        let panels = try MatrixPanels(rows: matrix.rows, columns: matrix.columns)
        let (order, longer) = (panels.order, panels.longer)
        let gram = try Matrix<Double>(rows: order, columns: order)
        panels.gram(of: matrix, into: gram)
        let spectrum = try GramSpectrum(
            destroying: gram, order: order, keeping: min(wanted, order), in: GramSpectrum.Workspace(order: order))
        singularValues = spectrum.singularValues
        numericalRank = spectrum.numericalRank(longer: longer)
        let kept = min(wanted, numericalRank)
        ut = try Matrix(rows: kept, columns: matrix.rows)
        vt = try Matrix(rows: kept, columns: matrix.columns)
        let (short, long) = matrix.rows >= matrix.columns ? (vt, ut) : (ut, vt)
        let vectors = try Matrix<Double>(rows: kept, columns: order)
        for place in 0..<kept {
            let (source, target) = (spectrum.vectors.row(spectrum.kept - 1 - place), short.row(place))
            vectors.row(place).update(from: source, count: order)
            for i in 0..<order { target[i] = Float(source[i]) }
        }
        // A vector of the longer side is the matrix times its partner, over the singular value.
        let products = try Matrix<Double>(rows: kept, columns: MatrixPanels.panelCount)
        panels.forEach(of: matrix) { start, length, values in
            multiply(
                kept, length, order, vectors.view, .transposed(values, stride: order), into: products.pointer,
                stride: products.columns)
            for place in 0..<kept {
                let factor = 1 / spectrum.singularValues[place]
                let (source, target) = (products.row(place), long.row(place) + start)
                for i in 0..<length { target[i] = Float(source[i] * factor) }
            }
        }
    }

    /// The bytes that `init` needs beside the matrix, its result included.
    ///
    /// - Throws: `DecompositionError` `tooLarge`.
    public static func workingByteCount(rows: Int, columns: Int) throws(DecompositionError) -> Int {
        guard max(rows, columns) <= largestMatrixDimension else { throw .tooLarge }
        let order = min(rows, columns)
        let panels = 2 * MatrixPanels.elementCount(rows: rows, columns: columns)
        return try 8 * (panels + 3 * order * order) + 4 * order * (rows + columns)
            + GramSpectrum.workspaceByteCount(order: order)
    }
}
