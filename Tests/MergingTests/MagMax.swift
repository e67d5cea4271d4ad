// MagMax: of every entry the change that is largest.
//
//     k = argmax |w_i τ_i|        the first of equal ones; changes up to `floor` count as none
//     θ = θ₀ + λ w_k τ_k
//
// Marczak et al. 2024, "MagMax: Leveraging model merging for seamless continual learning", arXiv:2407.06322, which knows no
// `floor`. One pass.

import Kernels
import Merging
import TensorCore

struct MagMax: MergeMethod {
    private static let floor = ParameterKey(
        "floor", default: 0.0, range: 0...Double.greatestFiniteMagnitude, help: "Changes up to this size are dropped.")

    let info = MethodInfo(
        name: "magmax", summary: "The largest change of every entry.", paper: "Marczak et al. 2024, arXiv:2407.06322",
        needsBase: true, parameters: [ExpertParameterKey.weight, floor, ParameterKey.lambda])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            rules.append(
                .elementwise(
                    LargestChange(
                        weights: try arguments[.weight], floor: try arguments[Self.floor],
                        lambda: try arguments[.lambda])))
        }
        return MergeAssignment(rules: rules)
    }
}

/// θ₀ + λ w_k τ_k for the k whose w_k τ_k is the largest by magnitude.
struct LargestChange: ElementwiseRule {
    let weights: [Double]
    let floor: Double
    let lambda: Double

    func scratchRowCount(expertCount: Int) -> Int { 2 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let (base, change) = (block.row(0), block.row(1))
        block.readBase(into: base)
        block.result.update(repeating: 0, count: block.count)
        for expert in weights.indices {
            block.readTaskVector(expert, base: base, into: change)
            let weight = T(weights[expert])
            for i in 0..<block.count {
                let own = weight * change[i]
                // NaN is not larger than anything and would be lost.
                if abs(own) > abs(block.result[i]) || own.isNaN { block.result[i] = own }
            }
        }
        let (floor, lambda) = (T(floor), T(lambda))
        for i in 0..<block.count {
            block.result[i] = abs(block.result[i]) <= floor ? base[i] : base[i] + lambda * block.result[i]
        }
    }
}
