// Model Stock: the mean of the experts, pulled towards the base as far as they disagree.
//
//     c = mean over pairs i < j of clamp(⟨τ_i, τ_j⟩ / max(‖τ_i‖ ‖τ_j‖, 10⁻⁶), −1, 1)
//     t = N c / (1 + (N − 1) c)                       0 where the divisor is below 10⁻⁶
//     θ = t · mean(θ_i) + (1 − t) θ₀                  with `lambda` the same as θ₀ + λ t · mean(τ_i)
//
// Jang et al. 2024, "Model Stock", arXiv:2403.19522, as mergekit 0.1.5 does it: over whole tensors, or with `filter_wise`
// over each run of the last dimension. t may leave 0...1. A tensor that nobody changed stays. Two passes.

import TensorCore

struct ModelStock: MergeMethod {
    private static let filterWise = ParameterKey(
        "filter_wise", default: false, help: "Compare row by row instead of whole tensors.")

    let info = MethodInfo(
        name: "model_stock", summary: "Mean of the experts, pulled towards the base as far as they disagree.",
        paper: "Jang et al. 2024, arXiv:2403.19522", needsBase: true, expertCounts: 2...Int.max,
        parameters: [filterWise, ParameterKey.lambda])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            let isFilterWise = try arguments[Self.filterWise]
            let lambda = try arguments[.lambda]
            let vectors = VectorSet(
                .taskVectors, expertCount: arguments.expertCount, shape: tensor.shape,
                elementCount: tensor.elementCount, layout: isFilterWise ? .rows : .wholeTensor)
            rules.append(.combination(of: vectors) { interpolation(of: $0).map { lambda * $0 } })
        }
        return MergeAssignment(rules: rules)
    }
}

/// t / N for every task vector.
@Sendable private func interpolation(of vectors: GramMatrix) -> [Double] {
    var cosineSum = 0.0
    for i in 0..<vectors.count {
        for j in i + 1..<vectors.count {
            let cosine = vectors[i, j] / max(vectors.norm(i) * vectors.norm(j), 1e-6)
            cosineSum += max(-1, min(1, cosine))
        }
    }
    let count = Double(vectors.count)
    let cosine = cosineSum / (count * (count - 1) / 2)
    let divisor = 1 + (count - 1) * cosine
    return Array(repeating: abs(divisor) < 1e-6 ? 0 : cosine / divisor, count: vectors.count)
}
