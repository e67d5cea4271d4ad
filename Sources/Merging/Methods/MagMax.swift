// MagMax: of every entry the change that is largest.
//
//     k = argmax |τ_i|        the last of equal ones
//     θ = θ₀ + λ τ_k
//
// Marczak et al. 2024, "MagMax: Leveraging model merging for seamless continual learning", arXiv:2407.06322. λ is 0.5 in the authors'
// script for experts that were fine-tuned from one base, 1 for experts each of which goes on from the one before. One pass.

import Kernels
import TensorCore

struct MagMax: MergeMethod {
    let info = MethodInfo(
        name: "magmax", summary: "The largest change of every entry.", paper: "Marczak et al. 2024, arXiv:2407.06322",
        needsBase: true, parameters: [ParameterKey.lambda.with(default: 0.5)])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            rules.append(.elementwise(LargestChange(lambda: try arguments.forTensor(tensor.name)[.lambda])))
        }
        return MergeAssignment(rules: rules)
    }
}

/// θ₀ + λ τ_k for the k whose τ_k is the largest by magnitude.
struct LargestChange: ElementwiseRule {
    let lambda: Double

    func scratchRowCount(expertCount: Int) -> Int { 2 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let (base, change) = (block.row(0), block.row(1))
        block.readBase(into: base)
        block.result.update(repeating: 0, count: block.count)
        for expert in 0..<block.expertCount {
            block.readTaskVector(expert, base: base, into: change)
            T.keepLarger(change, count: block.count, in: block.result)
        }
        let lambda = T(lambda)
        for i in 0..<block.count { block.result[i] = base[i] + lambda * block.result[i] }
    }
}
