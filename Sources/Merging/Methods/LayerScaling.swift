// LiNeS: scales the merged task vector by depth, so that early layers, which all tasks share, move less than late ones.
//
//     θ = θ₀ + λ (α + β l / (L − 1)) τ      in block l of L; α alone outside of blocks
//
// Wang et al. 2024, "LiNeS: Post-training layer scaling prevents forgetting and enhances model merging", arXiv:2410.17146. For one
// expert the paper sets α = s and β = 1 − s, for N experts α to 1/N times a ratio of norms, and sweeps β.
//
// Not a method but the parameters `lines_alpha` and `lines_beta` of every method, given a base: the scaling comes after the
// merge, and after what is done to its spectrum. Where there is a `lambda`, and nothing is done to spectra, it is the same as a λ for
// every tensor, so methods need not know of it; otherwise τ is what the merge has moved the base by. The block is the layer of `LayerName`, the first number between dots; the authors take the
// smallest number of the name, which differs for mixtures of experts.

import Kernels
import TensorCore

/// A method whose result is scaled by the depth of a tensor.
struct LayerScaling: MergeMethod {
    private let method: any MergeMethod
    let info: MethodInfo

    private static let alpha = ParameterKey(
        "lines_alpha", default: 1.0,
        help: "LiNeS: factor of the change in the first block, and outside of blocks.")
    private static let beta = ParameterKey(
        "lines_beta", default: 0.0, help: "LiNeS: what the factor has grown by in the last block.")

    static let parameters: [any MethodParameter] = [alpha, beta]

    init(_ method: any MergeMethod) {
        self.method = method
        info = method.info.adding(Self.parameters)
    }

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let last = tensors.compactMap { LayerName($0.name)?.number }.max() ?? 0
        var factors: [Double] = []
        for tensor in tensors {
            let own = try arguments.forTensor(tensor.name)
            let (alpha, beta) = (try own[Self.alpha], try own[Self.beta])
            let depth = last > 0 ? Double(LayerName(tensor.name)?.number ?? 0) / Double(last) : 0
            factors.append(alpha + beta * depth)
        }
        guard factors.contains(where: { $0 != 1 }) else { return try method.assign(tensors, arguments: arguments) }
        let isCorrected = try SpectrumCorrected.corrections(of: tensors, arguments).contains { $0 != nil }
        return method.info.declares(ParameterKey.lambda) && !isCorrected
            ? try assign(tensors, scalingLambdaBy: factors, arguments: arguments)
            : try assign(tensors, scalingResultsBy: factors, arguments: arguments)
    }

    private func assign(
        _ tensors: [TensorDescriptor], scalingLambdaBy factors: [Double], arguments: MergeArguments
    ) throws(MergeError) -> MergeAssignment {
        var lambdas: [TensorName: Double] = [:]
        for (tensor, factor) in zip(tensors, factors) {
            lambdas[tensor.name] = try arguments.forTensor(tensor.name)[.lambda] * factor
        }
        return try method.assign(tensors, arguments: arguments.replacing(.lambda, byTensor: lambdas))
    }

    private func assign(
        _ tensors: [TensorDescriptor], scalingResultsBy factors: [Double], arguments: MergeArguments
    ) throws(MergeError) -> MergeAssignment {
        guard arguments.hasBase else {
            throw MergeError(
                .missingBase, "lines_alpha and lines_beta scale what a merge changes in a base, and there is none",
                hint: "name it with --base, or choose a method that works on task vectors")
        }
        let assignment = try method.assign(tensors, arguments: arguments)
        var (rules, corrections) = (assignment.rules, assignment.corrections)
        for (place, factor) in factors.enumerated() where factor != 1 {
            switch rules[place] {
            case .elementwise(let rule) where corrections[place] == nil:
                rules[place] = .elementwise(ScaledChange(rule: rule, factor: factor))
            case .surveyed(let make) where corrections[place] == nil:
                rules[place] = .surveyed { ScaledChange(rule: make($0), factor: factor) }
            default:
                corrections[place] = corrections[place] ?? SpectrumCorrection(factor: 1)
                corrections[place]?.factor = factor
            }
        }
        return MergeAssignment(
            rules: rules, survey: assignment.survey, grouped: assignment.grouped, warnings: assignment.warnings
        ).correcting(corrections)
    }
}

/// θ₀ + factor · (θ − θ₀) for the θ of another rule.
struct ScaledChange: ElementwiseRule {
    let rule: any ElementwiseRule
    let factor: Double

    var survey: (any MergeSurvey)? { rule.survey }
    var isLinear: Bool { rule.isLinear }
    func scratchRowCount(expertCount: Int) -> Int { rule.scratchRowCount(expertCount: expertCount) + 1 }

    func merge(_ block: MergeBlock<Float>) {
        rule.merge(block)
        scale(block)
    }
    func merge(_ block: MergeBlock<Double>) {
        rule.merge(block)
        scale(block)
    }

    @inline(__always)
    private func scale<T>(_ block: MergeBlock<T>) {
        let base = block.row(rule.scratchRowCount(expertCount: block.expertCount))
        block.readBase(into: base)
        let factor = T(factor)
        for i in 0..<block.count { block.result[i] = base[i] + factor * (block.result[i] - base[i]) }
    }
}
