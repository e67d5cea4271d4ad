// SLERP: walks from the base to another model along a great circle.
//
//     cos φ = ⟨θ₀, θ₁⟩ / (‖θ₀‖ ‖θ₁‖)                           over the whole tensor
//     θ = sin((1 − t) φ) / sin φ · θ₀ + sin(t φ) / sin φ · θ₁   (1 − t) θ₀ + t θ₁ where |cos φ| > 0.9995
//
// Shoemake 1985, "Animating rotation with quaternion curves"; as mergekit 0.1.5 does it (Goddard et al. 2024,
// arXiv:2403.13257): norms up to 10⁻⁸ count as 1, and the weights apply to the vectors at their own length. Fine-tuned
// models of one base mostly are so close that the straight line is taken. Angles are computed in F64. Two passes.

import Glibc
import TensorCore

struct Slerp: MergeMethod {
    private static let t = ParameterKey("t", default: 0.5, help: "How far to go: 0 is the base, 1 the other model.")

    let info = MethodInfo(
        name: "slerp", summary: "From the base to one model along a great circle.",
        paper: "mergekit: Goddard et al. 2024, arXiv:2403.13257", needsBase: true, expertCounts: 1...1,
        parameters: [t])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let t = try arguments.forTensor(tensor.name)[Self.t]
            let vectors = VectorSet(
                .baseAndExperts, expertCount: 1, shape: tensor.shape, elementCount: tensor.elementCount,
                layout: .wholeTensor)
            rules.append(.combination(of: vectors) { slerpWeights(between: $0, t: t) })
        }
        return MergeAssignment(rules: rules)
    }
}

/// What the two ends of a great circle weigh at a share of the way.
@Sendable private func slerpWeights(between ends: GramMatrix, t: Double) -> [Double] {
    func divisor(_ norm: Double) -> Double { norm > 1e-8 ? norm : 1 }
    let cosine = ends[0, 1] / (divisor(ends.norm(0)) * divisor(ends.norm(1)))
    guard abs(cosine) <= 0.9995 else { return [1 - t, t] }
    let angle = acos(cosine)
    return [sin((1 - t) * angle) / sin(angle), sin(t * angle) / sin(angle)]
}
