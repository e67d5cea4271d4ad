import TensorCore

/// The strongest singular triplets of a matrix of F32, as many as are wanted, and what share of its squares they hold.
///
/// Where few are wanted of a large matrix they come from its products with a few random vectors, which takes a fraction of the time
/// of the whole decomposition: a range finder with `powerCount` rounds of subspace iteration and `oversampling` vectors
/// beyond those that are kept.
///
/// - Shapes: `ut` `[rank, rows]` and `vt` `[rank, columns]`, vectors as rows, strongest first.
/// - Source: Halko, Martinsson, Tropp 2011, "Finding structure with randomness", algorithms 4.4 and 5.1.
public struct LowRankApproximation: Sendable {
    /// In descending order.
    public let singularValues: [Double]
    public let ut: Matrix<Float>
    public let vt: Matrix<Float>
    /// The sum of the squares of the matrix.
    public let sumOfSquares: Double

    public var rank: Int { singularValues.count }

    /// What the triplets hold of the sum of squares, from 0 to 1; 1 of a matrix of zeros.
    public var energy: Double {
        sumOfSquares > 0 ? min(1, singularValues.reduce(0) { $0 + $1 * $1 } / sumOfSquares) : 1
    }

    /// How many triplets are wanted.
    public enum Extent: Sendable, Hashable {
        case rank(Int)
        /// As few as hold a share of the sum of squares, at most so many.
        case energy(Double, atMost: Int)
    }

    /// The whole matrix is decomposed where more than this part of the shorter side would be random vectors; chosen by counting operations.
    static let randomizedShare = 6
    private static let powerCount = 2
    private static let oversampling = 8

    /// Decomposes a matrix.
    ///
    /// - Parameter generator: for the random vectors.
    /// - Throws: `DecompositionError` `notFinite`, `notConverged`; `IOError` when there is no memory.
    public init(of matrix: Matrix<Float>, keeping extent: Extent, generator: CounterGenerator) throws {
        guard countNonFinite(matrix.pointer, count: matrix.count) == (0, 0) else { throw DecompositionError.notFinite }
        var total = 0.0
        for value in matrix.values { total += Double(value) * Double(value) }
        sumOfSquares = total
        let order = min(matrix.rows, matrix.columns)
        var wanted: Int
        switch extent {
        case .rank(let rank): wanted = min(rank, order)
        case .energy(_, let limit): wanted = min(32, limit, order)
        }
        guard total > 0, wanted > 0 else {
            singularValues = []
            ut = try Matrix(rows: 0, columns: matrix.rows)
            vt = try Matrix(rows: 0, columns: matrix.columns)
            return
        }
        while true {
            let isWhole = (wanted + Self.oversampling) * Self.randomizedShare > order
            let found: Triplets
            if isWhole {
                let limit: Int
                switch extent {
                case .rank: limit = wanted
                case .energy(_, let most): limit = min(most, order)
                }
                let all = try SingularTriplets(matrix, keeping: limit)
                found = Triplets(values: Array(all.singularValues.prefix(all.ut.rows)), ut: all.ut, vt: all.vt)
            } else {
                found = try Self.randomized(matrix, keeping: wanted, generator: generator)
            }
            guard case .energy(let share, let limit) = extent else {
                (singularValues, ut, vt) = (found.values, found.ut, found.vt)
                return
            }
            var held = 0.0
            let enough = found.values.firstIndex {
                held += $0 * $0
                return held >= share * total
            }
            // A matrix of lower rank has no more to give.
            if enough != nil || isWhole || wanted >= min(limit, order) || found.values.count < wanted {
                let kept = min(enough.map { $0 + 1 } ?? found.values.count, limit)
                singularValues = Array(found.values.prefix(kept))
                ut = try found.ut.first(kept)
                vt = try found.vt.first(kept)
                return
            }
            wanted = min(wanted * 2, limit, order)
        }
    }

    private struct Triplets {
        let values: [Double]
        let ut, vt: Matrix<Float>
    }

    /// The bytes that decomposing takes beside the matrix, its result included.
    ///
    /// - Throws: `DecompositionError` `tooLarge`.
    public static func workingByteCount(rows: Int, columns: Int) throws(DecompositionError) -> Int {
        try SingularTriplets.workingByteCount(rows: rows, columns: columns)
    }

    // MARK: - Random vectors

    private static func randomized(
        _ matrix: Matrix<Float>, keeping wanted: Int, generator: CounterGenerator
    ) throws -> Triplets {
        let (rows, columns) = (matrix.rows, matrix.columns)
        let count = wanted + oversampling
        // Rows are vectors throughout: the range of the columns, then of the rows, in turn.
        var right = try Matrix<Float>(rows: count, columns: columns)
        for place in stride(from: 0, to: right.count, by: 2) {
            let (first, second) = generator.normalPair(UInt64(place / 2))
            right.pointer[place] = Float(first)
            if place + 1 < right.count { right.pointer[place + 1] = Float(second) }
        }
        var left = try Matrix<Float>(rows: 0, columns: rows)
        for round in 0...powerCount {
            left = try orthonormal(product(right, matrix.transposed, columns: rows))
            guard left.rows > 0, round < powerCount else { break }
            right = try orthonormal(product(left, matrix.view, columns: columns))
        }
        // Qᵀ A has the singular values and the right vectors; its Gram matrix has its left ones.
        let core = try product(left, matrix.view, columns: columns)
        let spectrum = try Self.spectrum(of: core)
        let kept = min(wanted, spectrum.values.count { $0 > 0 })
        let turn = try Matrix<Float>(rows: kept, columns: left.rows)
        for place in 0..<kept {
            for i in 0..<left.rows { turn.row(place)[i] = Float(spectrum.vectors.row(left.rows - 1 - place)[i]) }
        }
        let ut = try product(turn, left.view, columns: rows)
        let vt = try product(turn, core.view, columns: columns)
        let values = (0..<kept).map { spectrum.values[left.rows - 1 - $0].squareRoot() }
        for place in 0..<kept {
            let factor = Float(1 / values[place])
            for i in 0..<columns { vt.row(place)[i] *= factor }
        }
        return Triplets(values: values, ut: ut, vt: vt)
    }

    private static func product(
        _ a: Matrix<Float>, _ b: MatrixView<Float>, columns: Int
    ) throws -> Matrix<Float> {
        let result = try Matrix<Float>(rows: a.rows, columns: columns)
        if result.count > 0 {
            multiplyAlone(a.rows, columns, a.columns, a.view, b, into: result.pointer, stride: columns)
        }
        return result
    }

    /// Orthonormal rows that span those of a matrix, as far as these are independent beyond rounding.
    private static func orthonormal(_ matrix: Matrix<Float>) throws -> Matrix<Float> {
        let spectrum = try spectrum(of: matrix)
        let order = matrix.rows
        // Rounding of F32 leaves some 2⁻²⁴ of the largest vector in all directions.
        let least = (spectrum.values.last ?? 0) * 0x1p-44
        let kept = spectrum.values.count { $0 > least && $0 > 0 }
        let turn = try Matrix<Float>(rows: kept, columns: order)
        for place in 0..<kept {
            let source = order - 1 - place
            let factor = 1 / spectrum.values[source].squareRoot()
            for i in 0..<order { turn.row(place)[i] = Float(spectrum.vectors.row(source)[i] * factor) }
        }
        return try product(turn, matrix.view, columns: matrix.columns)
    }

    private static func spectrum(of matrix: Matrix<Float>) throws -> SymmetricEigen {
        let (order, length) = (matrix.rows, matrix.columns)
        let gram = try Matrix<Double>(rows: order, columns: order)
        // In F64, a few columns at a time.
        let panel = try Matrix<Double>(rows: order, columns: min(length, 1024))
        for start in stride(from: 0, to: length, by: panel.columns) {
            let count = min(panel.columns, length - start)
            for row in 0..<order {
                let (source, target) = (matrix.row(row) + start, panel.row(row))
                for i in 0..<count { target[i] = Double(source[i]) }
            }
            addGram(order, count, panel.pointer, stride: panel.columns, byRows: true, to: gram.pointer)
        }
        return try SymmetricEigen(destroying: gram)
    }
}

extension Matrix<Float> {
    /// A copy of the first rows.
    fileprivate func first(_ count: Int) throws -> Matrix<Float> {
        guard count < rows else { return self }
        let result = try Matrix<Float>(rows: count, columns: columns)
        result.pointer.update(from: pointer, count: result.count)
        return result
    }
}
