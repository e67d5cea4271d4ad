/// The strongest singular triplets of several matrices of one shape, and the product of their polar factors.
///
///     [U_1 | … | U_N], diag(S_1, …, S_N), [V_1 | … | V_N]  ->  polar(U) S polar(V)ᵀ
///
/// Triplets of different matrices may be nearly dependent, by which the polar factors magnify rounding errors; so all
/// is kept in F64 and rounded once, at the end.
public struct OrthogonalTriplets {
    private let rows: Int
    private let columns: Int
    /// Vectors as rows, `[capacity, rows]` and `[capacity, columns]`.
    private let left: Matrix<Double>
    private let right: Matrix<Double>
    private var weights: [Double] = []
    // For all decompositions.
    private let panels: MatrixPanels
    private let gram: Matrix<Double>
    private let space: GramSpectrum.Workspace

    /// Takes memory for the triplets of several matrices of one shape.
    ///
    /// - Parameter capacity: triplets of all matrices, at most as many as the shorter side has elements.
    /// - Throws: `IOError` when there is no memory.
    public init(rows: Int, columns: Int, capacity: Int) throws {
        self.rows = rows
        self.columns = columns
        left = try Matrix<Double>(rows: capacity, columns: rows)
        right = try Matrix<Double>(rows: capacity, columns: columns)
        panels = try MatrixPanels(rows: rows, columns: columns)
        let order = panels.order
        gram = try Matrix<Double>(rows: order, columns: order)
        space = try GramSpectrum.Workspace(order: order)
    }

    public var count: Int { weights.count }

    /// Those of all triplets, in the order in which they were added.
    public var singularValues: [Double] { weights }

    /// The bytes that a value, and its work on a matrix, takes.
    ///
    /// - Parameter share: triplets of one matrix.
    /// - Throws: `DecompositionError` `tooLarge`.
    public static func workingByteCount(
        rows: Int, columns: Int, capacity: Int, share: Int
    ) throws(DecompositionError) -> Int {
        let order = min(rows, columns)
        // Beside the stacks: vectors of a decomposition; both inverse roots with the vectors of the second or with their core,
        // and the core applied.
        let panel = MatrixPanels.elementCount(rows: rows, columns: columns)
        let fixed = capacity * (rows + columns) + panel + order * order
        let changing = max(
            share * order, 3 * capacity * capacity + order * capacity + MatrixPanels.panelCount * columns)
        return try 8 * (fixed + changing) + GramSpectrum.workspaceByteCount(order: order)
    }

    /// Adds the triplets of a matrix with the largest singular values, but none below its numerical rank.
    ///
    /// - Parameters:
    ///   - matrix: `[rows, columns]`.
    ///   - wanted: how many at most.
    /// - Returns: the numerical rank.
    /// - Throws: `DecompositionError` `notFinite`, `notConverged`.
    public mutating func append(_ matrix: Matrix<Float>, wanted: Int) throws -> Int {
        guard countNonFinite(matrix.pointer, count: rows * columns) == (0, 0) else {
            throw DecompositionError.notFinite
        }
        let (order, longer) = (panels.order, panels.longer)
        panels.gram(of: matrix, into: gram)
        let spectrum = try GramSpectrum(destroying: gram, order: order, keeping: wanted, in: space)
        let rank = spectrum.numericalRank(longer: longer)
        let added = min(rank, wanted, left.rows - count)
        let (short, long) = rows >= columns ? (right, left) : (left, right)
        for place in 0..<added {
            short.row(count + place).update(from: spectrum.vectors.row(spectrum.kept - 1 - place), count: order)
        }
        panels.forEach(of: matrix) { start, length, values in
            multiply(
                added, length, order, .rows(short.row(count), stride: order), .transposed(values, stride: order),
                into: long.row(count) + start,
                stride: longer)
        }
        for place in 0..<added {
            let factor = 1 / spectrum.singularValues[place]
            let vector = long.row(count + place)
            for i in 0..<longer { vector[i] *= factor }
        }
        weights += spectrum.singularValues.prefix(added)
        return rank
    }

    /// `factor · polar(U) S polar(V)ᵀ`, rounded to F32. Directions of the stacks below their numerical rank are left out.
    ///
    /// - Parameter result: `[rows, columns]`.
    /// - Throws: `DecompositionError` `notConverged`, `IOError` when there is no memory.
    public func product(scaledBy factor: Double, into result: Matrix<Float>) throws {
        guard count > 0 else {
            result.values.update(repeating: 0)
            return
        }
        // polar(A) = A (Aᵀ A)^(-1/2), so the product is U (M_u S M_v) Vᵀ.
        let leftRoot = try inverseRoot(of: left)
        let rightRoot = try inverseRoot(of: right)
        for k in 0..<count {
            let row = rightRoot.row(k)
            for i in 0..<count { row[i] *= weights[k] * factor }
        }
        let core = try Matrix<Double>(rows: count, columns: count)
        multiply(
            count, count, count, leftRoot.view, rightRoot.view, into: core.pointer, stride: count)
        try apply(core, into: result)
    }

    /// `U core Vᵀ`, rounded to F32.
    ///
    /// - Shapes: `core` `[count, count]`, `result` `[rows, columns]`.
    private func apply(_ core: Matrix<Double>, into result: Matrix<Float>) throws {
        // The core goes to the shorter side.
        let isTall = rows >= columns
        let short = isTall ? right : left
        let applied = try Matrix<Double>(rows: count, columns: short.columns)
        multiply(
            count, short.columns, count, isTall ? core.view : core.transposed, short.view, into: applied.pointer,
            stride: short.columns)
        let (first, second) = isTall ? (left, applied) : (applied, right)
        let strip = try Matrix<Double>(rows: MatrixPanels.panelCount, columns: columns)
        for start in stride(from: 0, to: rows, by: strip.rows) {
            let length = min(strip.rows, rows - start)
            multiply(
                length, columns, count, .transposed(first.pointer + start, stride: rows), second.view,
                into: strip.pointer, stride: columns)
            let target = result.pointer + start * columns
            for i in 0..<length * columns { target[i] = Float(strip.pointer[i]) }
        }
    }

    private func inverseRoot(of stack: Matrix<Double>) throws -> Matrix<Double> {
        let (spectrum, rank) = try spectrum(of: stack)
        return try spectrum.inverseSquareRoot(rank: rank)
    }

    private func spectrum(of stack: Matrix<Double>) throws -> (spectrum: GramSpectrum, rank: Int) {
        gram.pointer.update(repeating: 0, count: count * count)
        addGram(count, stack.columns, stack.pointer, stride: stack.columns, byRows: true, to: gram.pointer)
        let spectrum = try GramSpectrum(destroying: gram, order: count, keeping: count, in: space)
        return (spectrum, spectrum.numericalRankOfDouble(longer: max(stack.columns, count)))
    }
}

// MARK: - Cover bases

/// Orthonormal bases that cover the triplets of all matrices: polar(U) and polar(V).
public struct CoverBases {
    /// Roots and inverse roots of the Gram matrices of U and V, `[count, count]`.
    fileprivate let left: (root: Matrix<Double>, inverse: Matrix<Double>)
    fileprivate let right: (root: Matrix<Double>, inverse: Matrix<Double>)
}

extension OrthogonalTriplets {
    /// Makes the bases.
    ///
    /// - Throws: `DecompositionError` `notConverged`, `IOError` when there is no memory.
    public func coverBases() throws -> CoverBases {
        func roots(of stack: Matrix<Double>) throws -> (root: Matrix<Double>, inverse: Matrix<Double>) {
            let (spectrum, rank) = try spectrum(of: stack)
            return try spectrum.squareRoots(rank: rank)
        }
        return CoverBases(left: try roots(of: left), right: try roots(of: right))
    }

    /// What some of the triplets, with other singular values, are in the bases: `polar(U)ᵀ U_r diag(values) V_rᵀ polar(V)`.
    ///
    /// - Parameters:
    ///   - range: the triplets r.
    ///   - values: one for each of them.
    ///   - core: `[count, count]`.
    /// - Throws: `IOError` when there is no memory.
    public func express(
        _ range: Range<Int>, values: [Double], in bases: CoverBases, into core: Matrix<Double>
    ) throws {
        // polar(A)ᵀ A = (Aᵀ A)^(1/2), of which the columns of the triplets count.
        let scaled = try Matrix<Double>(rows: range.count, columns: count)
        for (place, value) in values.enumerated() {
            let (source, target) = (bases.right.root.row(range.lowerBound + place), scaled.row(place))
            for i in 0..<count { target[i] = value * source[i] }
        }
        core.pointer.update(repeating: 0, count: core.count)
        multiply(
            count, count, range.count, .rows(bases.left.root.pointer + range.lowerBound, stride: count), scaled.view,
            into: core.pointer, stride: count)
    }

    /// `factor · polar(U) core polar(V)ᵀ`, rounded to F32.
    ///
    /// - Shapes: `core` `[count, count]`, `result` `[rows, columns]`.
    /// - Throws: `IOError` when there is no memory.
    public func product(
        _ core: Matrix<Double>, scaledBy factor: Double, in bases: CoverBases, into result: Matrix<Float>
    ) throws {
        let half = try Matrix<Double>(rows: count, columns: count)
        let whole = try Matrix<Double>(rows: count, columns: count)
        multiply(
            count, count, count, bases.left.inverse.view, core.view, into: half.pointer, stride: count, alpha: factor)
        multiply(count, count, count, half.view, bases.right.inverse.view, into: whole.pointer, stride: count)
        try apply(whole, into: result)
    }
}
