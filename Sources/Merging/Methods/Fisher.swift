// Fisher merging: an average in which every entry of an expert weighs what the expert's data says about it.
//
//     θ = Σ c_i F_i θ_i / Σ c_i F_i          F_i: mean squared gradient of each entry on expert i's data, plus 10⁻⁶
//     c_i = w_i / (‖F_i‖ + 10⁻⁶)             over the whole model, so that no expert outweighs the rest; w_i without `normalize`
//
// Matena, Raffel 2022, "Merging models with Fisher-weighted averaging", arXiv:2111.09832; the floor and the norm as in
// fusion_bench. `statistics` names one checkpoint for each expert with the diagonal of its Fisher matrix under the names and in
// the shapes of the expert's own tensors, whatever numbers slices of a recipe give to its layers; tensors that none of them has
// are averaged with the weights. One pass, and one over the statistics.

import Kernels
import Synchronization
import TensorCore

struct Fisher: MergeMethod {
    let info = MethodInfo(
        name: "fisher", summary: "Average in which every entry weighs by its Fisher information.",
        paper: "Matena, Raffel 2022, arXiv:2111.09832", needsBase: false,
        parameters: [
            ExpertStatistics.parameter,
            ExpertParameterKey.weight.with(range: 0...Double.greatestFiniteMagnitude, help: "Share of each expert."),
            ParameterKey.normalize.with(
                default: true, help: "Divide each expert's statistics by their norm over the model."),
        ])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let statistics = try ExpertStatistics(of: tensors.map { ($0.name, $0.shape) }, among: tensors, arguments)
        let isNormalizing = try arguments[.normalize]
        var rules: [MergeRule] = []
        for tensor in tensors {
            let weights = try arguments.forTensor(tensor.name)[.weight]
            let sum = weights.reduce(0, +)
            guard sum > 0 else {
                throw MergeError(
                    .badParameter, "the weights of all experts are 0", tensor: tensor.name, parameter: "weight")
            }
            if let information = statistics[tensor.name] {
                rules.append(
                    .surveyed {
                        InformationMean(weights: weights, information: information, norms: $0 as? StatisticsNorms)
                    })
            } else {
                rules.append(.elementwise(WeightedMean(weights: weights, divisor: sum)))
            }
        }
        let information = tensors.compactMap { statistics[$0.name] }
        let norms: @Sendable () -> any MergeSurvey = {
            StatisticsNorms(information, expertCount: arguments.expertCount)
        }
        return MergeAssignment(rules: rules, survey: isNormalizing ? norms : nil, warnings: statistics.warnings)
    }
}

/// The length of each expert's statistics over the whole model, measured before the merge begins.
final class StatisticsNorms: MergeSurvey {
    /// What statistics are raised by, so that none is zero.
    static let floor = 1e-6

    private let tensors: [[StatisticsTensor]]
    private let state: Mutex<[Double]>

    /// Begins with the statistics of all tensors.
    ///
    /// - Parameter tensors: for each tensor the statistics of every expert.
    init(_ tensors: [[StatisticsTensor]], expertCount: Int) {
        self.tensors = tensors
        state = Mutex(Array(repeating: 0, count: expertCount))
    }

    var norms: [Double] { state.withLock { $0 } }
    var passCount: Int { 1 }
    var byteCount: Int { 0 }
    /// The statistics are no part of the models.
    var readsModels: Bool { false }

    func observe(_ chunk: MergeChunk, pass: Int) {}

    func finish(pass: Int) {
        state.withLock { norms in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: mergeBlockCapacity) { memory in
                let values = memory.baseAddress!
                for expert in norms.indices {
                    var square = 0.0
                    for tensor in tensors {
                        var start = 0
                        while start < tensor[expert].elementCount {
                            let count = min(mergeBlockCapacity, tensor[expert].elementCount - start)
                            tensor[expert].read(from: start, count: count, into: values)
                            for i in 0..<count { values[i] += Float(Self.floor) }
                            square += innerProduct(values, values, count: count)
                            start += count
                        }
                    }
                    norms[expert] = square.squareRoot()
                }
            }
        }
    }
}

/// Σ c_i F_i θ_i / Σ c_i F_i.
struct InformationMean: ElementwiseRule {
    let weights: [Double]
    let information: [StatisticsTensor]
    /// Nil weighs all experts' statistics as they are.
    let norms: StatisticsNorms?

    var readsBase: Bool { false }
    func scratchRowCount(expertCount: Int) -> Int { 3 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let (values, shares, divisor) = (block.row(0), block.row(1), block.row(2))
        let lengths = norms?.norms.map { $0 + 1e-6 } ?? weights.map { _ in 1 }
        // Only ratios count; the largest factor becomes 1, so that products stay in range.
        let factors = zip(weights, lengths).map { $0 / $1 }
        let largest = factors.max() ?? 1
        block.result.update(repeating: 0, count: block.count)
        divisor.update(repeating: 0, count: block.count)
        for expert in weights.indices where factors[expert] > 0 {
            block.readExpert(expert, into: values)
            information[expert].read(from: block.start, count: block.count, into: shares)
            let factor = T(factors[expert] / largest)
            let floor = T(StatisticsNorms.floor)
            for i in 0..<block.count {
                let share = factor * (shares[i] + floor)
                block.result[i] += share * values[i]
                divisor[i] += share
            }
        }
        for i in 0..<block.count { block.result[i] /= divisor[i] }
    }
}
