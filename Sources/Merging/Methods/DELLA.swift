// DELLA: drops entries of the task vectors at random, small ones more often than large ones, and scales up the rest.
//
//     p_k = density − ε + 2 ε (r_k − 1) / (n − 1)    the chance of an entry to stay; r_k its place among the n of its row,
//                                                    by magnitude, the smallest first; ε is `epsilon`
//     τ̂_i = m_i τ_i · ‖τ_i‖₁ / ‖m_i τ_i‖₁            over the tensor
//     della_linear   θ = θ₀ + λ Σ w_i τ̂_i            divided by Σ w_i when `normalize` is true
//     della          the same over the entries whose sign is that of the sum; see `ties`
//
// Deep, Bhardwaj, Poria 2024, "DELLA-merging", arXiv:2406.11617, with the rescaling of mergekit 0.1.5, where the authors divide
// every survivor by its own p_k. A row is a line along the second dimension; tensors of fewer dimensions are one row. In a
// row of one entry p is the density. Of equal magnitudes the earlier counts as smaller. Random numbers as in `dare_linear`.
// Passes: one to rank, one to rescale, one to merge; the masks take a bit for every entry and expert of the tensors at work.

import Kernels
import Synchronization
import TensorCore

struct DELLA: MergeMethod {
    let info: MethodInfo
    private let isElecting: Bool

    private static let epsilon = ExpertParameterKey(
        "epsilon", default: 0.15, range: 0...0.5,
        help: "How far the smallest and largest of a row are from the density.")

    static let linear = DELLA(
        "della_linear", "Sum of the task vectors after dropping entries at random, small ones more often.",
        isElecting: false)
    static let ties = DELLA(
        "della", "TIES with entries dropped at random, small ones more often.", isElecting: true)

    private init(_ name: String, _ summary: String, isElecting: Bool) {
        self.isElecting = isElecting
        info = MethodInfo(
            name: name, summary: summary, paper: "Deep, Bhardwaj, Poria 2024, arXiv:2406.11617", needsBase: true,
            parameters: [
                ExpertParameterKey.weight,
                ExpertParameterKey.density.with(
                    help: "Probability with which an entry of a task vector is kept, on average."),
                Self.epsilon, ParameterKey.normalize.with(default: isElecting),
                ParameterKey.rescale.with(default: true),
                ParameterKey.lambda, ParameterKey.seed,
            ])
    }

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try SparseTaskVectorSum.assign(tensors, arguments: arguments, isElecting: isElecting) {
            (tensor, arguments) throws(MergeError) in
            let densities = try arguments[.density]
            let epsilons = try arguments[Self.epsilon]
            for (density, epsilon) in zip(densities, epsilons) where density > 0 && density < 1 {
                guard density + epsilon < 1, density - epsilon > 0 else {
                    throw MergeError(
                        .badParameter,
                        "density \(brief(density)) ± epsilon \(brief(epsilon)) must lie between 0 and 1",
                        tensor: tensor.name, parameter: "epsilon", hint: "choose a smaller epsilon")
                }
            }
            guard tensor.elementCount <= Int(UInt32.max) else {
                throw MergeError(
                    .memory, "tensor \"\(tensor.name)\" \(tensor.shape) has too many entries to rank",
                    tensor: tensor.name, hint: "use dare_linear or dare_ties")
            }
            let generators = try arguments.generators(for: tensor.name)
            return {
                RankedRandomMask(
                    densities: densities, epsilons: epsilons, generators: generators, shape: tensor.shape,
                    elementCount: tensor.elementCount)
            }
        }
    }
}
