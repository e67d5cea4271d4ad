// Multi-SLERP: the weighted mean direction of several models, at their mean length.
//
//     u_i = x_i / (‖x_i‖ + eps),   m = Σ w_i u_i          over the whole tensor, w_i summing to 1
//     x   = m / ‖m‖ · Σ w_i ‖x_i‖                         Σ w_i x_i where ‖m‖ < eps
//     θ   = x of the experts; with a base, θ₀ + x of the task vectors
//
// A method of mergekit 0.1.5 (Goddard et al. 2024, arXiv:2403.13257). There a step on the sphere follows, along
// Σ w_i (u_i − ⟨u_i, m⟩ m) for the unit m, which is zero: m is the direction of Σ w_i u_i already. Where directions cancel
// out mergekit refuses more than two models; here the weighted sum is taken, so that tensors nobody changed pass.
// Two passes.

import TensorCore

struct MultiSlerp: MergeMethod {
    private static let normalizeWeights = ParameterKey(
        "normalize_weights", default: true, help: "Divide the weights by their sum.")
    private static let eps = ParameterKey(
        "eps", default: 1e-8, range: 0...1, help: "Lengths up to this count as none.")

    let info = MethodInfo(
        name: "multislerp", summary: "Weighted mean direction of the models, at their mean length.",
        paper: "mergekit: Goddard et al. 2024, arXiv:2403.13257", needsBase: false, usesBase: true,
        parameters: [ExpertParameterKey.weight.with(help: "Share of each expert."), normalizeWeights, eps])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            var weights = try arguments[.weight]
            let eps = try arguments[Self.eps]
            if try arguments[Self.normalizeWeights] {
                let sum = weights.reduce(0, +)
                guard abs(sum) >= 1e-8 else {
                    throw MergeError(
                        .badParameter, "the weights add up to \(brief(sum)), by which nothing can be divided",
                        tensor: tensor.name, hint: "change the weights, or set normalize_weights=false")
                }
                weights = weights.map { $0 / sum }
            }
            let vectors = VectorSet(
                .taskVectors, expertCount: arguments.expertCount, shape: tensor.shape,
                elementCount: tensor.elementCount, layout: .wholeTensor)
            let shares = weights
            rules.append(.combination(of: vectors) { meanDirection(of: $0, weights: shares, eps: eps) })
        }
        return MergeAssignment(rules: rules)
    }
}

/// The coefficients of the vectors in their mean direction times their mean length.
@Sendable private func meanDirection(of vectors: GramMatrix, weights: [Double], eps: Double) -> [Double] {
    guard vectors.count > 1 else { return [1] }
    let norms = weights.indices.map { vectors.norm($0) }
    // With NaN or infinity in a model there is no direction; the sum keeps them in their entries.
    guard norms.allSatisfy(\.isFinite) else { return weights }
    let direction = weights.indices.map { norms[$0] + eps > 0 ? weights[$0] / (norms[$0] + eps) : 0 }
    let length = vectors.norm(of: direction)
    guard !(length < eps || length == 0) else { return weights }
    let scale = zip(weights, norms).reduce(0) { $0 + $1.0 * $1.1 }
    return direction.map { $0 * scale / length }
}
