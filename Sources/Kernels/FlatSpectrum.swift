import TensorCore

/// Gives all singular values of a matrix their mean, times a factor: `factor · mean(S) · U Vᵀ`.
///
/// The mean is over all min(rows, columns) values; directions below the numerical rank, whose vectors are arbitrary, are left
/// out. The polar factor `U Vᵀ` is `A (Aᵀ A)^(-1/2)`, computed in F64.
///
/// - Parameter a: overwritten.
/// - Returns: the numerical rank.
/// - Throws: `DecompositionError`, `IOError` when there is no memory.
public func flattenSpectrum(_ a: Matrix<Float>, scaledBy factor: Double) throws -> Int {
    guard countNonFinite(a.pointer, count: a.count) == (0, 0) else { throw DecompositionError.notFinite }
    let panels = try MatrixPanels(rows: a.rows, columns: a.columns)
    let order = panels.order
    guard order > 0 else { return 0 }
    let gram = try Matrix<Double>(rows: order, columns: order)
    panels.gram(of: a, into: gram)
    let spectrum = try GramSpectrum(
        destroying: gram, order: order, keeping: order, in: GramSpectrum.Workspace(order: order))
    let rank = spectrum.numericalRank(longer: panels.longer)
    let scale = factor * spectrum.singularValues.reduce(0, +) / Double(order)
    let root = try spectrum.inverseSquareRoot(rank: rank)
    for i in 0..<order * order { root.pointer[i] *= scale }
    try panels.multiply(a, by: root)
    return rank
}

/// The bytes that `flattenSpectrum` needs beside the matrix.
///
/// - Throws: `DecompositionError` `tooLarge`.
public func flattenSpectrumByteCount(rows: Int, columns: Int) throws(DecompositionError) -> Int {
    let order = min(rows, columns)
    let panels = 2 * MatrixPanels.elementCount(rows: rows, columns: columns)
    return try 8 * (panels + 3 * order * order) + GramSpectrum.workspaceByteCount(order: order)
}
