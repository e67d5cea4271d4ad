// Passthrough: one model as it is, optionally scaled.
//
//     θ = scale · θ₁
//
// mergekit's method for stacking layers of several models and for writing an adapter into its model; no paper. With
// `scale` 0 for a block's output projections the block does nothing, from which depth-upscaled models are trained on
// (Kim et al. 2023, "SOLAR 10.7B", arXiv:2312.15166, stacks layers this way). One pass.

import Kernels
import TensorCore

struct Passthrough: MergeMethod {
    private static let scale = ExpertParameterKey("scale", default: 1.0, help: "Factor of the tensors.")

    let info = MethodInfo(
        name: "passthrough", summary: "One model as it is, optionally scaled.",
        paper: "Layer stacking: Kim et al. 2023, arXiv:2312.15166", needsBase: false, expertCounts: 1...1,
        parameters: [scale])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let scale = try arguments.forTensor(tensor.name)[Self.scale]
            rules.append(.elementwise(WeightedMean(weights: scale, divisor: 1)))
        }
        return MergeAssignment(rules: rules)
    }
}
