// Linear: the weighted average of the models themselves.
//
//     θ = Σ w_i θ_i / Σ w_i      without the division when `normalize` is false
//
// Wortsman et al. 2022, "Model soups", arXiv:2203.05482. Semantics of mergekit 0.1.5: products are summed in the order of
// the experts and divided once. No base. One pass.

import Kernels
import TensorCore

struct Linear: MergeMethod {
    let info = MethodInfo(
        name: "linear", summary: "Weighted average of the models.",
        paper: "Wortsman et al. 2022, arXiv:2203.05482", needsBase: false,
        parameters: [
            ExpertParameterKey.weight.with(help: "Share of each model."),
            ParameterKey.normalize.with(default: true, help: "Divide by the sum of the weights."),
        ])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            let weights = try arguments[.weight]
            let sum = weights.reduce(0, +)
            let normalize = try arguments[.normalize]
            guard !normalize || abs(sum) >= 1e-8 else {
                throw MergeError(
                    .badParameter, "the weights add up to \(brief(sum)), by which nothing can be divided",
                    tensor: tensor.name, parameter: "weight", hint: "change the weights, or set normalize=false")
            }
            rules.append(.elementwise(WeightedMean(weights: weights, divisor: normalize ? sum : 1)))
        }
        return MergeAssignment(rules: rules)
    }
}

/// `linear` with equal weights.
struct Average: MergeMethod {
    let info = MethodInfo(
        name: "average", summary: "Mean of the models: linear with equal weights.",
        paper: "Wortsman et al. 2022, arXiv:2203.05482", needsBase: false, parameters: [])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let count = arguments.expertCount
        let mean = WeightedMean(weights: Array(repeating: 1, count: count), divisor: Double(count))
        return MergeAssignment(rules: Array(repeating: .elementwise(mean), count: tensors.count))
    }
}

/// Σ w_i θ_i / divisor.
struct WeightedMean: ElementwiseRule {
    let weights: [Double]
    let divisor: Double

    var isIdentity: Bool { weights == [1] && divisor == 1 }
    var readsBase: Bool { false }

    func scratchRowCount(expertCount: Int) -> Int { 1 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let values = block.row(0)
        for expert in weights.indices {
            block.readExpert(expert, into: values)
            if expert == 0 {
                assign(block.result, scaled: values, by: T(weights[expert]), count: block.count)
            } else {
                add(to: block.result, scaled: values, by: T(weights[expert]), count: block.count)
            }
        }
        if divisor != 1 { divide(block.result, by: T(divisor), count: block.count) }
    }
}
