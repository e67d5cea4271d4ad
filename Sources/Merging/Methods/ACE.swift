// ACE: linear layers fitted to every expert's, with task vectors less their mean row in place of the layers' inputs.
//
//     X_i = τ_i less the mean of its rows,   S_i = X_iᵀ X_i,   R_i = S_i + ε I                              ε = `epsilon`
//     γ   = var(ln ‖τ_i‖²) / mean(ln ‖τ_i‖²)²;   where γ > `gate` both are divided: S_i / ‖X_i‖², R_i = S_i + ε / ‖X_i‖² I
//     A   = Σ R_i,  c = the mean row of Σ S_i (over the mean of ‖τ_i‖² where γ > gate),   W = (Σ X_i R_i) (A + 1 c)⁻¹
//     γ > gate:  F = W + Σ τ_i (S_i − A / N) = U S Vᵀ,  W + mean(S_1 … S_k) U_k V_kᵀ,  k = int(min(m, n) · `iso_fraction`)
//     θ = θ₀ + λ W
//
// "ACE-Merging", CVPR 2026, arXiv:2603.02945, as its program does it: the mean row of every τ_i is lost there, where the paper's formula
// has τ_i, and c is added to every row of A. ε does not scale with the task vectors, nor does the gate: it opens when ‖τ_i‖ is near 1
// whatever the spread. Made for fine-tuned models of BERT's size; not for language models whose changes are small. Experts
// whose rows all change alike are left out, where the program divides by zero. Tensors that are not matrices get the mean task vector.
// One pass, one system of n equations, and a decomposition where γ > gate, in F64.

import Glibc
import Kernels
import TensorCore

struct ACE: MergeMethod {
    private static let epsilon = ParameterKey(
        "epsilon", default: 1e-2, range: 1e-12...Double.greatestFiniteMagnitude,
        help: "What is added to the diagonals.")
    private static let gate = ParameterKey(
        "gate", default: 0.3, range: 0...Double.greatestFiniteMagnitude,
        help: "Spread of the experts' lengths above which they count alike.")
    private static let share = ParameterKey(
        "iso_fraction", default: 0.3, range: 0...1,
        help: "Share of the directions that are made equal above the gate.")

    let info = MethodInfo(
        name: "ace", summary: "Linear layers fitted to every expert's centred weights, refined where lengths differ.",
        paper: "2026, arXiv:2603.02945", needsBase: true,
        parameters: [epsilon, gate, share] + MatrixSelection.parameters)

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try MatrixSelection(arguments).assign(tensors) { arguments throws(MergeError) in
            CentredRegression(
                lambda: try arguments[.lambda], epsilon: try arguments[Self.epsilon], gate: try arguments[Self.gate],
                share: try arguments[Self.share])
        }
    }
}

/// W, refined where lengths differ, scaled.
struct CentredRegression: MatrixRule {
    let lambda: Double
    let epsilon: Double
    let gate: Double
    let share: Double

    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int {
        guard max(rows, columns) <= largestMatrixDimension else { throw DecompositionError.tooLarge }
        let (square, squareOverflow) = columns.multipliedReportingOverflow(by: columns)
        let (side, sideOverflow) = rows.multipliedReportingOverflow(by: columns)
        guard !squareOverflow, !sideOverflow, square < Int.max >> 6, side < Int.max >> 6 else {
            throw DecompositionError.tooLarge
        }
        // Two Gram matrices; a task vector and its centred form, the sides, and the two sums of the refinement.
        return try 8 * (2 * square + 5 * side)
            + SingularValueDecomposition<Double>.workingByteCount(rows: rows, columns: columns)
    }

    /// The squared length of a task vector, and of what is left without its mean row.
    private struct Lengths {
        let square: Double
        let centredSquare: Double
    }

    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark? {
        let (rows, columns) = (inputs.rows, inputs.columns)
        let taskVector = try Matrix<Double>(rows: rows, columns: columns)
        let centred = try Matrix<Double>(rows: rows, columns: columns)
        func read(_ expert: Int) -> Lengths {
            inputs.readTaskVector(of: expert, into: result)
            for i in 0..<result.count { taskVector.pointer[i] = Double(result.pointer[i]) }
            centreColumns(of: taskVector, into: centred)
            return Lengths(square: sumOfSquares(taskVector), centredSquare: sumOfSquares(centred))
        }
        let all = inputs.experts.indices.map { (expert: $0, lengths: read($0)) }
        guard all.allSatisfy({ $0.lengths.square.isFinite }) else { throw DecompositionError.notFinite }
        let noise = Double(max(rows, columns)) * Double(Float.ulpOfOne)
        let used = all.filter { $0.lengths.centredSquare > noise * noise * $0.lengths.square }
        guard !used.isEmpty else {
            result.values.update(repeating: 0)
            return nil
        }
        let squares = used.map(\.lengths.square)
        let isUneven = Self.spread(of: squares) > gate
        let meanSquare = squares.reduce(0, +) / Double(squares.count)

        let sum = try Matrix<Double>(rows: columns, columns: columns)
        let sides = try Matrix<Double>(rows: rows, columns: columns)
        let change = try Matrix<Double>(rows: rows, columns: columns)
        let refinement = try Matrix<Double>(rows: rows, columns: columns)
        var meanRow = [Double](repeating: 0, count: columns)
        do {
            let gram = try Matrix<Double>(rows: columns, columns: columns)
            for (expert, lengths) in used {
                _ = read(expert)
                let divisor = isUneven ? lengths.centredSquare : 1
                multiply(
                    columns, columns, rows, centred.transposed, centred.view, into: gram.pointer, stride: columns,
                    alpha: 1 / divisor)
                let rowShare = 1 / (Double(columns) * (isUneven ? meanSquare : 1))
                for row in 0..<columns {
                    for k in 0..<columns { meanRow[k] += rowShare * gram.pointer[row * columns + k] }
                }
                if isUneven {
                    for i in 0..<change.count { change.pointer[i] += taskVector.pointer[i] }
                    multiply(
                        rows, columns, columns, taskVector.view, gram.view, into: refinement.pointer, stride: columns,
                        accumulate: true)
                }
                for k in 0..<columns { gram.pointer[k * (columns + 1)] += epsilon / divisor }
                for i in 0..<sum.count { sum.pointer[i] += gram.pointer[i] }
                multiply(
                    rows, columns, columns, centred.view, gram.view, into: sides.pointer, stride: columns,
                    accumulate: true)
            }
        }
        if isUneven {
            multiply(
                rows, columns, columns, change.view, sum.view, into: refinement.pointer, stride: columns,
                accumulate: true, alpha: -1 / Double(used.count))
        }
        for row in 0..<columns {
            for k in 0..<columns { sum.pointer[row * columns + k] += meanRow[k] }
        }
        try solve(sides, over: sum)
        if isUneven { try refine(sides, by: refinement) }
        for i in 0..<result.count { result.pointer[i] = Float(lambda * sides.pointer[i]) }
        return nil
    }

    /// var(ln x) / mean(ln x)², with N − 1 in the variance; NaN for a single one.
    private static func spread(of squares: [Double]) -> Double {
        let logs = squares.map { log($0) }
        let mean = logs.reduce(0, +) / Double(logs.count)
        let variance = logs.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(logs.count - 1)
        return variance / (mean * mean)
    }

    /// Adds the strongest directions of W and the residual, all as strong as their mean.
    ///
    /// - Parameter residual: lost.
    private func refine(_ fit: Matrix<Double>, by residual: Matrix<Double>) throws {
        let (rows, columns) = (fit.rows, fit.columns)
        let count = Int(Double(min(rows, columns)) * share)
        guard count > 0 else { return }
        for i in 0..<fit.count { residual.pointer[i] += fit.pointer[i] }
        let factors = try SingularValueDecomposition(destroying: residual)
        let strongest = factors.singularValues.prefix(count)
        let noise = Double(max(rows, columns)) * Double(Float.ulpOfOne) * (strongest.first ?? 0)
        multiply(
            rows, columns, strongest.count { $0 > noise }, factors.u.view, factors.vt.view, into: fit.pointer,
            stride: columns, accumulate: true, alpha: strongest.reduce(0, +) / Double(count))
    }
}

/// Σ x².
private func sumOfSquares(_ matrix: Matrix<Double>) -> Double {
    var sum = 0.0
    for i in 0..<matrix.count { sum += matrix.pointer[i] * matrix.pointer[i] }
    return sum
}
