// PCB: weighs every entry by how much it matters within its task and beside the others, and drops most of them.
//
//     c_i = τ_i with |τ_i| brought between its `clip_ratio` and 1 − `clip_ratio` quantiles;   u_i = |c_i| brought to 0 … 1
//     cross=raw   t_i = tanh(τ_i Σ_j τ_j),     cross=unit   t_i = tanh(τ_i Σ_j sign(τ_j) u_j)
//     s_i = exp(N u_i²) t_i,   ŝ_i = s_i brought to 0 … 1 from its 1 − `pcb_ratio` quantile to its largest; below 0
//     τ   = Σ w_i ŝ_i c_i / Σ ŝ_i,   θ = θ₀ + λ τ
//
// Du et al. 2024, "Parameter competition balancing for model merging", arXiv:2410.02396. The authors' programs differ: the defaults
// here are those of the first, their vision code has cross=unit, clip_ratio=0.01 and pcb_ratio=0.05, and all of them search w_i on
// validation data. Quantiles are order statistics, of each expert's entries over the whole model (scope=model) or tensor by tensor.
// An expert all of whose changes have one magnitude has no entry that matters more than others and is left out, where the authors
// divide zero by zero; so is NaN, but for the entry in which it stands. Entries are scored in F64; magnitudes and scores are cut in F32.
// Four passes to select, one to merge.

import Kernels
import TensorCore

struct PCB: MergeMethod {
    private enum Scope: String, CaseIterable, ParameterType { case model, tensor }

    private static let clipRatio = ParameterKey(
        "clip_ratio", default: 1e-4, range: 0...0.5, help: "Share of the magnitudes that is clipped at either end.")
    private static let ratio = ParameterKey(
        "pcb_ratio", default: 0.1, range: 0...1, help: "Share of an expert's entries that is kept.")
    private static let cross = ParameterKey(
        "cross", default: CrossBalance.raw, help: "What entries are compared with: sums of changes, or of their ranks.")
    private static let scope = ParameterKey(
        "scope", default: Scope.model, help: "Compares the entries of the whole model, or of each tensor.")

    let info = MethodInfo(
        name: "pcb", summary: "Entries weighed by how much they matter within and between tasks, few of them kept.",
        paper: "Du et al. 2024, arXiv:2410.02396", needsBase: true,
        parameters: [
            ExpertParameterKey.weight, clipRatio, ratio, cross, scope, ParameterKey.lambda.with(default: 1.2),
        ])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let scope = try arguments[Self.scope]
        let total = tensors.reduce(0) { $0 + $1.elementCount }
        var rules: [MergeRule] = []
        for tensor in tensors {
            let own = try arguments.forTensor(tensor.name)
            let (weights, lambda) = (try own[.weight], try own[.lambda])
            switch scope {
            case .model:
                rules.append(
                    .elementwise(after: Competition.self) {
                        BalancedSum(weights: weights, lambda: lambda, competition: $0, survey: nil)
                    })
            case .tensor:
                let scoring = try Self.scoring(own)
                rules.append(
                    .surveyed { _ in
                        let competition = Competition(scoring, elementCount: tensor.elementCount)
                        return BalancedSum(
                            weights: weights, lambda: lambda, competition: competition, survey: competition)
                    })
            }
        }
        guard scope == .model else { return MergeAssignment(rules: rules) }
        let scoring = try Self.scoring(arguments)
        return MergeAssignment(rules: rules, survey: { Competition(scoring, elementCount: total) })
    }

    private static func scoring(_ arguments: MergeArguments) throws(MergeError) -> Competition.Scoring {
        Competition.Scoring(
            expertCount: arguments.expertCount, cross: try arguments[cross], clipRatio: try arguments[clipRatio],
            ratio: try arguments[ratio])
    }
}

/// What an entry of one task is multiplied by to tell whether the tasks agree on it.
enum CrossBalance: String, CaseIterable, ParameterType { case raw, unit }

/// Σ w_i ŝ_i c_i / Σ ŝ_i, scaled.
struct BalancedSum: ElementwiseRule {
    let weights: [Double]
    let lambda: Double
    let competition: Competition
    let survey: (any MergeSurvey)?

    func scratchRowCount(expertCount: Int) -> Int { expertCount + 1 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let limits = competition.limits
        let scoring = competition.scoring
        let base = block.row(weights.count)
        block.readBase(into: base)
        for expert in weights.indices { block.readTaskVector(expert, base: base, into: block.row(expert)) }
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * weights.count) { memory in
            let changes = memory.baseAddress!
            let scores = changes + weights.count
            for i in 0..<block.count {
                var taint: T = 0
                for expert in weights.indices {
                    let change = block.row(expert)[i]
                    taint += 0 * change
                    changes[expert] = change.isFinite ? Double(change) : 0
                }
                scoring.score(changes, limits, into: scores)
                var (sum, total) = (0.0, 0.0)
                for expert in weights.indices {
                    let share = limits[expert].share(ofScore: scores[expert])
                    sum += weights[expert] * share * limits[expert].clipped(changes[expert])
                    total += share
                }
                block.result[i] = base[i] + T(lambda * sum / max(total, 1e-12)) + taint
            }
        }
    }
}
