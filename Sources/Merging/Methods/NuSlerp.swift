// NuSLERP: walks from one expert to another along a great circle, of tensors, rows or columns, at any small angle.
//
//     t = w₂ / (w₁ + w₂)                                  1/2 where the sum vanishes
//     x = sin((1 − t) φ) / sin φ · x₁ + sin(t φ) / sin φ · x₂    with the angle φ between x₁ and x₂
//     x = (1 − t) x₁ + t x₂                               where sin² φ ≤ 10⁻¹⁵
//     θ = x of the experts; with a base, θ₀ + x of the task vectors
//
// A method of mergekit 0.1.5 (Goddard et al. 2024, arXiv:2403.13257). `nuslerp_flatten` compares whole tensors; without it each
// run of the last dimension is a vector, or with `nuslerp_row_wise` each line along the first. Unlike `slerp` it has no
// shortcut for small angles. mergekit takes the angle in the type of the inputs, where its error near 0 is large; here
// it is F64. Two passes.

import Glibc
import TensorCore

struct NuSlerp: MergeMethod {
    private static let flatten = ParameterKey(
        "nuslerp_flatten", default: true, help: "Compare whole tensors instead of rows.")
    private static let rowWise = ParameterKey(
        "nuslerp_row_wise", default: false, help: "Unflattened: lines along the first dimension, not the last.")

    let info = MethodInfo(
        name: "nuslerp", summary: "From one expert to another along a great circle, by tensor, row or column.",
        paper: "mergekit: Goddard et al. 2024, arXiv:2403.13257", needsBase: false, usesBase: true,
        expertCounts: 2...2,
        parameters: [ExpertParameterKey.weight.with(help: "Share of each expert."), flatten, rowWise])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let layout: VectorSet.Layout =
            try arguments[Self.flatten]
            ? .wholeTensor : try arguments[Self.rowWise] ? .columns : .rows
        var rules: [MergeRule] = []
        for tensor in tensors {
            let weights = try arguments.forTensor(tensor.name)[.weight]
            let sum = weights[0] + weights[1]
            let t = abs(sum) < 1e-6 ? 0.5 : weights[1] / sum
            let vectors = VectorSet(
                .taskVectors, expertCount: 2, shape: tensor.shape, elementCount: tensor.elementCount, layout: layout)
            rules.append(.combination(of: vectors) { nuSlerpWeights(between: $0, t: t) })
        }
        return MergeAssignment(rules: rules)
    }
}

/// What the two ends of a great circle weigh at a share of the way.
@Sendable private func nuSlerpWeights(between ends: GramMatrix, t: Double) -> [Double] {
    let cosine = ends[0, 1] / (max(ends.norm(0), 1e-7) * max(ends.norm(1), 1e-7))
    // Lines along a dimension of length 1 are parallel up to rounding.
    guard 1 - cosine * cosine > 1e-15 else { return [1 - t, t] }
    let angle = acos(cosine)
    return [sin((1 - t) * angle) / sin(angle), sin(t * angle) / sin(angle)]
}
