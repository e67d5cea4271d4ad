// TSV-M: keeps the strongest singular directions of every task and makes those of different tasks orthogonal.
//
//     k        = int(min(m, n) · (1 / N))                      for each of N experts
//     U_i S_i V_iᵀ = the k largest singular triplets of τ_i
//     U = [U_1 | … | U_N],  V = [V_1 | … | V_N],  S = diag(S_1, …, S_N)
//     τ = polar(U) S polar(V)ᵀ,   θ = θ₀ + λ τ                 polar(A) = P Qᵀ where A = P Σ Qᵀ
//
// Gargiulo et al. 2025, "Task singular vectors", arXiv:2412.00081, and its code (1 / N is rounded before it multiplies).
// Tensors that are not matrices get the mean task vector. Directions below the numerical rank are left out, where the
// reference would mix arbitrary vectors in; a note in the report says so, and where there are more experts than rows or
// columns, so that k is 0 and the base stays. N + 2 decompositions of each matrix, in F64 through the Gram matrices of
// the shorter sides.

import Kernels
import TensorCore

struct TSVM: MergeMethod {
    let info = MethodInfo(
        name: "tsv_m", summary: "Strongest singular directions of every task, made orthogonal between tasks.",
        paper: "Gargiulo et al. 2025, arXiv:2412.00081", needsBase: true, parameters: MatrixSelection.parameters)

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try MatrixSelection(arguments).assign(tensors) { arguments throws(MergeError) in
            OrthogonalizedTaskVectors(lambda: try arguments[.lambda])
        }
    }
}

/// polar([U_1 | … | U_N]) diag(S) polar([V_1 | … | V_N])ᵀ, scaled.
struct OrthogonalizedTaskVectors: MatrixRule {
    let lambda: Double

    var isBasisFree: Bool { true }

    /// Singular triplets that each of the experts keeps.
    static func rankShare(rows: Int, columns: Int, expertCount: Int) -> Int {
        Int(Double(min(rows, columns)) * (1 / Double(expertCount)))
    }

    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int {
        let share = Self.rankShare(rows: rows, columns: columns, expertCount: expertCount)
        return try OrthogonalTriplets.workingByteCount(
            rows: rows, columns: columns, capacity: share * expertCount, share: share)
    }

    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark? {
        let (rows, columns, experts) = (inputs.rows, inputs.columns, inputs.experts.count)
        let share = Self.rankShare(rows: inputs.wholeRows, columns: inputs.wholeColumns, expertCount: experts)
        guard share > 0 else {
            result.values.update(repeating: 0)
            return MergeRemark(crowding: min(rows, columns), expertCount: experts)
        }
        var triplets = try OrthogonalTriplets(
            rows: rows, columns: columns, capacity: min(share * experts, rows, columns))
        var cut: [String] = []
        for expert in 0..<experts {
            // The result's memory is free until the end.
            inputs.readTaskVector(of: expert, into: result)
            let rank = try triplets.append(result, wanted: share)
            if rank < share { cut.append("\(rank) of \(share) for expert \(expert + 1)") }
        }
        try triplets.product(scaledBy: lambda, into: result)
        // A matrix that nobody changed is nothing to remark on.
        return triplets.count == 0 ? nil : MergeRemark(ranks: cut)
    }
}
