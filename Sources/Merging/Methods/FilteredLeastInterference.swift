import Kernels
import TensorCore

/// The task vector that interferes least with the experts' own weights, in the directions that a filter lets through.
///
///     C = Σ w_i τ_iᵀ τ_i,  D = Σ w_i τ_i τ_iᵀ τ_i,  C = V L Vᵀ           w_i are weights or 1 / ‖τ_i‖²
///     M = T₀ − (T₀ V f) Vᵀ + (D V (f / L)) Vᵀ,  T₀ = start · Σ τ_i       0 ≤ f ≤ 1 for each direction
///
/// M minimises Σ w_i ‖(M − τ_i) τ_iᵀ‖² where f is 1, and is T₀ where f is 0. Directions in which the task vectors have nothing but
/// rounding have f = 0. All in F64, rounded once.
///
/// C is `[n, n]`. Where the rows of all task vectors are fewer, their inner products have the same eigenvalues and are taken instead:
/// with the stack S of all √w_i τ_i and `S Sᵀ = U L Uᵀ`, V is Sᵀ U L^(-1/2).
struct FilteredLeastInterference: MatrixRule {
    let lambda: Double
    let weighting: Weighting
    /// How much of each task vector is where the filter lets nothing through.
    let start: Double
    /// Whether columns of a task vector have their mean taken off in C, and in one of three places in D.
    var isCentred = false
    let filter: any SpectralFilter

    enum Weighting: Sendable {
        /// 1 / ‖τ_i‖²
        case byNorm
        case given([Double])
    }

    /// Squared lengths below count as none.
    private static let leastSquare = 1e-12

    /// The mean of a column is not that of a core's.
    var isBasisFree: Bool { !isCentred }

    private func isStacking(_ rows: Int, _ columns: Int, _ expertCount: Int) -> Bool {
        let (stacked, overflow) = rows.multipliedReportingOverflow(by: expertCount)
        return !isCentred && !overflow && stacked < columns
    }

    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int {
        guard max(rows, columns) <= largestMatrixDimension else { throw DecompositionError.tooLarge }
        let isStacking = isStacking(rows, columns, expertCount)
        let order = isStacking ? rows * expertCount : columns
        // The sum of Gram matrices and another, or the two factors; then the eigenvectors, the sides and their products.
        let (square, squareOverflow) = order.multipliedReportingOverflow(by: order)
        let (side, sideOverflow) = rows.multipliedReportingOverflow(by: max(order, columns))
        guard !squareOverflow, !sideOverflow, square < Int.max >> 6, side < Int.max >> 6 else {
            throw DecompositionError.tooLarge
        }
        let stack = isStacking ? order * columns : 0
        return try SymmetricEigen.workingByteCount(order: order) + 8 * (2 * square + 4 * side + stack)
    }

    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark? {
        let squares = try lengths(of: inputs, scratch: result)
        guard let largest = squares.max(), largest > 0 else {
            result.values.update(repeating: 0)
            return nil
        }
        if case .byNorm = weighting, largest < Self.leastSquare {
            inputs.readTaskVectorSum(into: result)
            let factor = Float(lambda / Double(squares.count))
            for i in 0..<result.count { result.pointer[i] *= factor }
            return nil
        }
        let weights =
            switch weighting {
            case .byNorm: squares.map { 1 / max($0, Self.leastSquare) }
            case .given(let weights): weights
            }
        let merged =
            isStacking(inputs.rows, inputs.columns, inputs.experts.count)
            ? try mergeStacked(inputs, weights, scratch: result) : try mergeColumns(inputs, weights, scratch: result)
        for i in 0..<result.count { result.pointer[i] = Float(lambda * merged.pointer[i]) }
        return nil
    }

    private func lengths(of inputs: MatrixInputs, scratch: Matrix<Float>) throws -> [Double] {
        try inputs.experts.indices.map { expert in
            inputs.readTaskVector(of: expert, into: scratch)
            let values = UnsafePointer(scratch.pointer)
            let square = innerProduct(values, values, count: scratch.count)
            guard square.isFinite, countNonFinite(values, count: scratch.count) == (0, 0) else {
                throw DecompositionError.notFinite
            }
            return square
        }
    }

    // MARK: - By columns

    private func mergeColumns(
        _ inputs: MatrixInputs, _ weights: [Double], scratch: Matrix<Float>
    ) throws -> Matrix<Double> {
        let (rows, order) = (inputs.rows, inputs.columns)
        let sum = try Matrix<Double>(rows: order, columns: order)
        let pull = try Matrix<Double>(rows: rows, columns: order)
        let merged = try Matrix<Double>(rows: rows, columns: order)
        do {
            let isWide = rows < order
            let gram = try Matrix<Double>(rows: min(rows, order), columns: min(rows, order))
            let taskVector = try Matrix<Double>(rows: rows, columns: order)
            let centred = try isCentred ? Matrix<Double>(rows: rows, columns: order) : taskVector
            for (expert, weight) in weights.enumerated() {
                inputs.readTaskVector(of: expert, into: scratch)
                for i in 0..<scratch.count {
                    taskVector.pointer[i] = Double(scratch.pointer[i])
                    merged.pointer[i] += start * taskVector.pointer[i]
                }
                if isCentred { centreColumns(of: taskVector, into: centred) }
                if isWide {
                    addGram(order, rows, centred.pointer, stride: order, byRows: false, to: sum.pointer, weight: weight)
                    multiply(
                        rows, rows, order, taskVector.view, centred.transposed, into: gram.pointer, stride: rows,
                        alpha: weight)
                    multiply(
                        rows, order, rows, gram.view, centred.view, into: pull.pointer, stride: order, accumulate: true)
                } else {
                    gram.values.update(repeating: 0)
                    addGram(
                        order, rows, centred.pointer, stride: order, byRows: false, to: gram.pointer, weight: weight)
                    mirrorUpperHalf(of: gram)
                    multiply(
                        rows, order, order, taskVector.view, gram.view, into: pull.pointer, stride: order,
                        accumulate: true)
                    for i in 0..<gram.count { sum.pointer[i] += gram.pointer[i] }
                }
            }
        }
        let eigen = try SymmetricEigen(destroying: sum)
        let factors = factors(of: eigen.values, rows: inputs.wholeRows, columns: inputs.wholeColumns)
        // (D V (f / L) − T₀ V f) Vᵀ of the directions that are let through; vectors are rows.
        let first = factors.firstIndex { $0.share > 0 } ?? order
        let kept = order - first
        let vectors = eigen.vectors.pointer + first * order
        let sides = try Matrix<Double>(rows: rows, columns: kept)
        let started = try Matrix<Double>(rows: rows, columns: kept)
        let directions = MatrixView.transposed(vectors, stride: order)
        multiply(rows, kept, order, pull.view, directions, into: sides.pointer, stride: kept)
        multiply(rows, kept, order, merged.view, directions, into: started.pointer, stride: kept)
        for row in 0..<rows {
            for k in 0..<kept {
                let place = row * kept + k
                let factor = factors[first + k]
                sides.pointer[place] =
                    sides.pointer[place] * factor.overValue - started.pointer[place] * factor.share
            }
        }
        multiply(
            rows, order, kept, sides.view, .rows(vectors, stride: order), into: merged.pointer, stride: order,
            accumulate: true)
        return merged
    }

    // MARK: - By the rows of all

    private func mergeStacked(
        _ inputs: MatrixInputs, _ weights: [Double], scratch: Matrix<Float>
    ) throws -> Matrix<Double> {
        let (rows, columns) = (inputs.rows, inputs.columns)
        let order = rows * weights.count
        let merged = try Matrix<Double>(rows: rows, columns: columns)
        let stack = try Matrix<Double>(rows: order, columns: columns)
        for (expert, weight) in weights.enumerated() {
            inputs.readTaskVector(of: expert, into: scratch)
            let target = stack.pointer + expert * rows * columns
            let root = weight.squareRoot()
            for i in 0..<scratch.count {
                let value = Double(scratch.pointer[i])
                target[i] = root * value
                merged.pointer[i] += start * value
            }
        }
        let products = try Matrix<Double>(rows: order, columns: order)
        multiply(order, order, columns, stack.view, stack.transposed, into: products.pointer, stride: order)
        // What D takes of each part of the stack: τ_i τ_iᵀ √w_i.
        let pull = try Matrix<Double>(rows: rows, columns: order)
        for (expert, weight) in weights.enumerated() where weight > 0 {
            let root = weight.squareRoot()
            for row in 0..<rows {
                let source = products.pointer + (expert * rows + row) * order + expert * rows
                let target = pull.pointer + row * order + expert * rows
                for i in 0..<rows { target[i] = source[i] / root }
            }
        }
        let eigen = try SymmetricEigen(destroying: products)
        let factors = factors(of: eigen.values, rows: inputs.wholeRows, columns: inputs.wholeColumns)
        // (D V (f / L) − T₀ V f) Vᵀ = (pull U (f / L) − E U f) Uᵀ S, where T₀ = E S and E is made of start / √w_i.
        let sides = try Matrix<Double>(rows: rows, columns: order)
        multiply(rows, order, order, pull.view, eigen.vectors.transposed, into: sides.pointer, stride: order)
        for k in 0..<order {
            let vector = eigen.vectors.pointer + k * order
            for row in 0..<rows {
                var started = 0.0
                for (expert, weight) in weights.enumerated() where weight > 0 {
                    started += vector[expert * rows + row] / weight.squareRoot()
                }
                let place = row * order + k
                sides.pointer[place] =
                    sides.pointer[place] * factors[k].overValue - start * started * factors[k].share
            }
        }
        multiply(rows, order, order, sides.view, eigen.vectors.view, into: pull.pointer, stride: order)
        multiply(
            rows, columns, order, pull.view, stack.view, into: merged.pointer, stride: columns, accumulate: true)
        return merged
    }

    // MARK: - Directions

    /// What the filter makes of eigenvalues in ascending order: f and f / L of each.
    private func factors(of values: [Double], rows: Int, columns: Int) -> [(share: Double, overValue: Double)] {
        let largest = values.last ?? 0
        // What singular values are cut at; eigenvalues are their squares.
        let noise = Double(max(rows, columns)) * Double(Float.ulpOfOne)
        let spectrum = Spectrum(descending: values.reversed(), rows: rows, columns: columns)
        let shares: [Double] = filter.shares(of: spectrum).reversed()
        return zip(values, shares).map { value, share in
            value > noise * noise * largest ? (share, share / max(value, filter.floor)) : (0, 0)
        }
    }
}

/// The eigenvalues of C that are not zero by the shape of the stack.
struct Spectrum: Sendable {
    let descending: [Double]
    let rows: Int
    /// The order of C: eigenvalues beyond those given are 0.
    let columns: Int
}

/// Chooses how far each direction is taken from the start to the least interference.
protocol SpectralFilter: Sendable {
    /// Eigenvalues below count as this much.
    var floor: Double { get }

    /// A number from 0 to 1 for each of the eigenvalues.
    func shares(of spectrum: Spectrum) -> [Double]
}
