// Iso-C: the sum of the task vectors with its spectrum made flat.
//
//     Σ τ_i = U S Vᵀ,   τ = mean(S) · U Vᵀ,   θ = θ₀ + λ τ      the mean over all min(m, n) values
//
// Marczak et al. 2025, "No task left behind", arXiv:2502.04959. Tensors that are not matrices get the mean task vector. The
// paper tunes λ, with optima above 1. Directions below the numerical rank are left out, where the reference would give
// arbitrary vectors full weight; a note in the report says so. One decomposition of each matrix,
// in F64 through the Gram matrix of the shorter side.

import Kernels
import TensorCore

struct IsoC: MergeMethod {
    let info = MethodInfo(
        name: "iso_c", summary: "Sum of the task vectors with a flat singular spectrum.",
        paper: "Marczak et al. 2025, arXiv:2502.04959", needsBase: true, flattensSpectra: true,
        parameters: MatrixSelection.parameters)

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try MatrixSelection(arguments).assign(tensors) { arguments throws(MergeError) in
            IsotropicSum(lambda: try arguments[.lambda])
        }
    }
}

/// mean(S) · U Vᵀ of the sum of the task vectors, scaled.
struct IsotropicSum: MatrixRule {
    let lambda: Double

    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int {
        try flattenSpectrumByteCount(rows: rows, columns: columns)
    }

    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark? {
        inputs.readTaskVectorSum(into: result)
        let rank = try flattenSpectrum(result, scaledBy: lambda)
        let full = min(inputs.rows, inputs.columns)
        // A matrix that nobody changed is nothing to remark on.
        let isCut = 0 < rank && rank < full
        return MergeRemark(ranks: isCut ? ["\(rank) of \(full)"] : [])
    }
}
