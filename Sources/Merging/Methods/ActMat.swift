// ActMat: RegMean with the task vectors in place of the layers' inputs.
//
//     G_i = τ_iᵀ τ_i                      of τ_i with the mean of each column taken off, if `centre` is true
//     M = (Σ w_i τ_i G_i) (Σ w_i G_i)⁺,   θ = θ₀ + λ M
//
// arXiv:2604.01329, and its code, which averages matrices with a side of 20,000 and more (`matrix_exclude`) and whose pseudoinverse
// in F32 drops directions below 1 % of the strongest; here only what is rounding is dropped. Tensors that are not matrices get the
// mean task vector. Experts weigh by the squares of what they change, so unequal ones are dominated by the largest. One pass; one
// eigenproblem of n by n, or of N m by N m where that is smaller, in F64.

import Kernels
import TensorCore

struct ActMat: MergeMethod {
    private static let centre = ParameterKey(
        "centre", default: false, help: "Take the mean of each column off before its products are made.")

    let info = MethodInfo(
        name: "actmat", summary: "Linear layers fitted to every expert's, whose weights stand for its inputs.",
        paper: "2026, arXiv:2604.01329", needsBase: true,
        parameters: [ExpertParameterKey.weight.with(range: 0...Double.greatestFiniteMagnitude), centre]
            + MatrixSelection.parameters)

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try MatrixSelection(arguments).assign(tensors) { arguments throws(MergeError) in
            FilteredLeastInterference(
                lambda: try arguments[.lambda], weighting: .given(try arguments[.weight]), start: 0,
                isCentred: try arguments[Self.centre], filter: WholeSpectrum())
        }
    }
}

/// All directions.
private struct WholeSpectrum: SpectralFilter {
    var floor: Double { 0 }
    func shares(of spectrum: Spectrum) -> [Double] { spectrum.descending.map { _ in 1 } }
}
