// Consensus task arithmetic: the sum of the task vectors where enough experts need it.
//
//     τ   = Σ τ_i
//     m_i = |τ_i| > λ_i |τ − τ_i|            TALL mask: what expert i finds of itself in the sum; λ_i is `tall_lambda`
//     θ   = θ₀ + λ τ   where Σ m_i ≥ `min_agreement`, else θ₀
//
// Wang et al. 2024, "Localizing task information for improved model merging and compression", arXiv:2405.07813, and its code:
// equality is no agreement, so an entry that nobody changes is in no mask. The paper picks λ_i from 0.2 to 0.6 by validation;
// 0.6 is the default of fusion_bench. Selfish weights (one mask) and catastrophic ones (none) go at the paper's 2. One pass.

import Kernels
import TensorCore

struct ConsensusTA: MergeMethod {
    private static let tallLambda = ExpertParameterKey(
        "tall_lambda", default: 0.6, range: 0...Double.greatestFiniteMagnitude,
        help: "Factor of what the others change in the comparison; 0.2 to 0.6 in the paper.")
    private static let minAgreement = ParameterKey(
        "min_agreement", default: 2, range: 0...0x1p53, help: "Masks that an entry must be in to stay; 0 keeps all.")

    let info = MethodInfo(
        name: "consensus_ta", summary: "Sum of the task vectors, kept where several experts agree on its use.",
        paper: "Wang et al. 2024, arXiv:2405.07813", needsBase: true, expertCounts: 2...Int.max,
        parameters: [tallLambda, minAgreement, ParameterKey.lambda])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            let minimum = try arguments[Self.minAgreement]
            guard minimum <= arguments.expertCount else {
                throw MergeError(
                    .badParameter,
                    "min_agreement is \(minimum), but there are \(arguments.expertCount) experts: nothing would stay",
                    tensor: tensor.name, hint: "set min_agreement to the number of experts at most")
            }
            rules.append(
                .elementwise(
                    MaskedTaskVectorSum(
                        maskScales: try arguments[Self.tallLambda],
                        minimum: Double(minimum), lambda: try arguments[.lambda])))
        }
        return MergeAssignment(rules: rules)
    }
}

/// θ₀ + λ Σ τ_i where at least `minimum` of the masks |τ_i| > scale_i |τ − τ_i| hold.
struct MaskedTaskVectorSum: ElementwiseRule {
    let maskScales: [Double]
    let minimum: Double
    let lambda: Double

    func scratchRowCount(expertCount: Int) -> Int { expertCount + 2 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let count = block.count
        let taskVectors = maskScales.indices.map { block.row($0) }
        let base = block.row(maskScales.count)
        let votes = block.row(maskScales.count + 1)
        block.readBase(into: base)
        for expert in maskScales.indices {
            block.readTaskVector(expert, base: base, into: taskVectors[expert])
        }
        let sum = block.result
        sumUp(taskVectors, into: sum, count: count)
        votes.update(repeating: 0, count: count)
        for expert in maskScales.indices {
            let own = taskVectors[expert]
            let scale = T(maskScales[expert])
            for i in 0..<count { votes[i] += abs(own[i]) > scale * abs(sum[i] - own[i]) ? 1 : 0 }
        }
        let (lambda, minimum) = (T(lambda), T(minimum))
        for i in 0..<count {
            // NaN is in no mask and would be lost.
            let kept = votes[i] >= minimum || sum[i] != sum[i]
            block.result[i] = kept ? base[i] + lambda * sum[i] : base[i]
        }
    }
}
