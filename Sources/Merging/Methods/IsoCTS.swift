// Iso-CTS: a common subspace of all tasks, beside it the strongest directions of each, all of the same weight.
//
//     r = min(m, n),  c₀ = int(f r) with f = `common_space_fraction`,  d N = round((r − c₀) / N) N,  c = r − d N
//     Σ τ_i = U S Vᵀ;                           its c largest triplets U_c S_c V_cᵀ are what the tasks have in common
//     τ_i − U_c U_cᵀ τ_i = U_i S_i V_iᵀ;        its d largest triplets are what task i has beside
//     P = polar([U_1 | … | U_N | U_c]),  Q = polar([V_1 | … | V_N | V_c])
//     τ = mean(S_1 … S_N S_c) · P Qᵀ,   θ = θ₀ + λ τ
//
// Marczak et al. 2025, "No task left behind", arXiv:2502.04959, and its code; halves round to even. Tensors that are not
// matrices get the mean task vector. Directions below the numerical rank are left out, but count as zeros in the mean; a note in
// the report says so. N + 3 decompositions of each matrix.

import Kernels
import TensorCore

struct IsoCTS: MergeMethod {
    private static let commonSpaceFraction = ParameterKey(
        "common_space_fraction", default: 0.8, range: 0...1,
        help: "Share of the directions that is taken from the sum of the task vectors.")

    let info = MethodInfo(
        name: "iso_cts", summary: "Common directions and those of each task, with a flat singular spectrum.",
        paper: "Marczak et al. 2025, arXiv:2502.04959", needsBase: true, flattensSpectra: true,
        parameters: [commonSpaceFraction] + MatrixSelection.parameters)

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try MatrixSelection(arguments).assign(tensors) { arguments throws(MergeError) in
            IsotropicSubspaces(
                lambda: try arguments[.lambda], commonFraction: try arguments[Self.commonSpaceFraction])
        }
    }
}

/// mean(S) · polar([U_1 | … | U_N | U_c]) polar([V_1 | … | V_N | V_c])ᵀ, scaled.
struct IsotropicSubspaces: MatrixRule {
    let lambda: Double
    let commonFraction: Double

    /// Directions that all tasks share, and those that each task has to itself.
    func shares(rows: Int, columns: Int, expertCount: Int) -> (common: Int, own: Int) {
        let rank = min(rows, columns)
        let common = Int(Double(rank) * commonFraction)
        let own = Int((Double(rank - common) / Double(expertCount)).rounded(.toNearestOrEven))
        // Rounding up can ask for more directions than there are.
        let bounded = min(own, rank / expertCount)
        return (rank - bounded * expertCount, bounded)
    }

    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int {
        let rank = min(rows, columns)
        let decomposition =
            try [(rows, columns), (rows, rank), (rank, columns)].map {
                try SingularValueDecomposition<Float>.workingByteCount(rows: $0, columns: $1)
            }.max() ?? 0
        return 4 * (rank * (4 * rows + 2 * columns) + rows * columns) + decomposition
    }

    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark? {
        let (rows, columns, experts) = (inputs.rows, inputs.columns, inputs.experts.count)
        let rank = min(rows, columns)
        let share = shares(rows: rows, columns: columns, expertCount: experts)
        var cut: [String] = []

        inputs.readTaskVectorSum(into: result)
        let sum = try SingularValueDecomposition(destroying: result)
        let common = min(share.common, sum.numericalRank)
        if common < share.common { cut.append("\(common) of \(share.common) for the common space") }

        var triplets = try TripletStack(rows: rows, columns: columns, capacity: rank)
        for expert in 0..<experts where share.own > 0 {
            inputs.readTaskVector(of: expert, into: result)
            let scale = frobeniusNorm(result)
            try removeSpan(of: sum, count: common, from: result)
            let factors = try SingularValueDecomposition(destroying: result)
            // Nothing but rounding may be left of a task vector that lies in the common space.
            let noise = Float(max(rows, columns)) * Float.ulpOfOne * scale
            let own = min(share.own, factors.numericalRank, factors.singularValues.count { $0 > noise })
            if own < share.own { cut.append("\(own) of \(share.own) for expert \(expert + 1)") }
            triplets.append(factors, count: own)
        }
        triplets.append(sum, count: common)

        let mean = triplets.singularValues.reduce(0) { $0 + Double($1) } / Double(rank)
        let weights = Array(repeating: Float(mean * lambda), count: triplets.count)
        let u = try triplets.leftVectors()
        try replaceByPolarFactor(u)
        try replaceByPolarFactor(triplets.vt, rows: triplets.count)
        multiplyScaled(u, weights: weights, triplets.vt, inner: triplets.count, into: result)
        // A matrix that nobody changed is nothing to remark on.
        return triplets.count == 0 ? nil : MergeRemark(ranks: cut)
    }

    /// Subtracts from a matrix what lies in the span of the first left vectors: M − U_c U_cᵀ M.
    private func removeSpan(of factors: SingularValueDecomposition<Float>, count: Int, from matrix: Matrix<Float>)
        throws
    {
        guard count > 0 else { return }
        let shadow = try Matrix<Float>(rows: count, columns: matrix.columns)
        withExtendedLifetime((factors, shadow, matrix)) {
            multiply(
                count, matrix.columns, matrix.rows, factors.u.transposed, matrix.view, into: shadow.pointer,
                stride: matrix.columns)
            multiply(
                matrix.rows, matrix.columns, count, factors.u.view, shadow.view, into: matrix.pointer,
                stride: matrix.columns, accumulate: true, alpha: -1)
        }
    }
}

/// √Σ x², summed in F64.
func frobeniusNorm(_ matrix: Matrix<Float>) -> Float {
    let elements = UnsafePointer(matrix.pointer)
    return withExtendedLifetime(matrix) {
        Float(innerProduct(elements, elements, count: matrix.count).squareRoot())
    }
}
