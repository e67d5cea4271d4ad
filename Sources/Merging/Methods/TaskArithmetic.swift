// Task arithmetic: the scaled sum of the task vectors, on top of the base.
//
//     θ = θ₀ + λ Σ w_i (θ_i − θ₀)      the sum divided by Σ w_i when `normalize` is true
//
// Ilharco et al. 2023, "Editing models with task arithmetic", arXiv:2212.04089. Semantics and defaults of mergekit 0.1.5.
// One pass.

import Kernels
import TensorCore

struct TaskArithmetic: MergeMethod {
    let info = MethodInfo(
        name: "task_arithmetic", summary: "Base plus the scaled sum of the task vectors.",
        paper: "Ilharco et al. 2023, arXiv:2212.04089", needsBase: true,
        parameters: [
            ExpertParameterKey.weight, ParameterKey.lambda,
            ParameterKey.normalize.with(help: "Divide the sum by the sum of the weights."),
        ])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            let weights = try arguments[.weight]
            let divisor = try arguments[.normalize] ? normalizer(weights.reduce(0, +)) : 1
            rules.append(
                .elementwise(TaskVectorSum(weights: weights, divisor: divisor, lambda: try arguments[.lambda])))
        }
        return MergeAssignment(rules: rules)
    }
}

/// The number to divide by: a sum of weights, or 1 when it vanishes, as in mergekit.
func normalizer(_ sum: Double) -> Double { abs(sum) < 1e-8 ? 1 : sum }

/// θ₀ + λ Σ w_i τ_i / divisor.
struct TaskVectorSum: ElementwiseRule {
    let weights: [Double]
    let divisor: Double
    let lambda: Double

    var isLinear: Bool { true }
    func scratchRowCount(expertCount: Int) -> Int { 2 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let base = block.row(0)
        let taskVector = block.row(1)
        block.readBase(into: base)
        for expert in weights.indices {
            block.readTaskVector(expert, base: base, into: taskVector)
            if expert == 0 {
                assign(block.result, scaled: taskVector, by: T(weights[expert]), count: block.count)
            } else {
                add(to: block.result, scaled: taskVector, by: T(weights[expert]), count: block.count)
            }
        }
        if divisor != 1 { divide(block.result, by: T(divisor), count: block.count) }
        let lambda = T(lambda)
        for i in 0..<block.count { block.result[i] = base[i] + lambda * block.result[i] }
    }
}
