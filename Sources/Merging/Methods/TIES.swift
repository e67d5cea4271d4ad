// TIES: trim small changes, elect a sign for every entry, average what agrees with it.
//
//     τ̂_i = τ_i where |τ_i| is among the largest `density` share, else 0
//     s   = sign(Σ w_i τ̂_i)
//     τ   = Σ_{i agrees} w_i τ̂_i / Σ_{i agrees} w_i      i agrees when w_i τ̂_i has sign s and is not zero;
//                                                        without the division when `normalize` is false
//     θ   = θ₀ + λ τ
//
// Yadav et al. 2023, "TIES-merging", arXiv:2306.01708. The trim has two scopes that give different models:
//
// - `tensor`, as mergekit 0.1.5: the int(density · n) largest entries of each tensor, at least one unless density is 0; of
//   equal magnitudes the ones that come first in memory. A sum of zero elects plus. With `rescale` τ̂_i is scaled by
//   ‖τ_i‖₁ / ‖τ̂_i‖₁ over the tensor.
// - `model`, as the paper and its code: one threshold for each expert over the whole model, the (int(density · N) + 1)-th
//   largest magnitude; everything that reaches it stays. A sum of zero takes the sign that most entries elected; if there is no
//   majority, minus, as the code does.
//
// Magnitudes are compared in F32. Passes over the inputs: one to select, one to rescale if asked for, and one to merge
// (`tensor`), or two to select, one for the majority and one to merge (`model`); only the last when density is 1 and the scope
// is `tensor`.

import Kernels
import TensorCore

struct TIES: MergeMethod {
    private enum TrimScope: String, CaseIterable, ParameterType { case tensor, model }

    private static let trimScope = ParameterKey(
        "trim_scope", default: TrimScope.tensor,
        help: "Picks the largest of each tensor (mergekit) or of the model (the paper).")

    let info = MethodInfo(
        name: "ties", summary: "Trim small changes, elect signs, average the changes that agree.",
        paper: "Yadav et al. 2023, arXiv:2306.01708", needsBase: true,
        parameters: [
            ExpertParameterKey.weight,
            ExpertParameterKey.density.with(
                help: "Share of a task vector's entries that is kept; the paper keeps 0.2."),
            trimScope,
            ParameterKey.normalize.with(default: true, help: "Average the changes that agree, instead of adding them."),
            ParameterKey.rescale, ParameterKey.lambda,
        ])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        switch try arguments[Self.trimScope] {
        case .tensor: try assignTensorScope(tensors, arguments: arguments)
        case .model: try assignModelScope(tensors, arguments: arguments)
        }
    }

    private func assignTensorScope(
        _ tensors: [TensorDescriptor], arguments: MergeArguments
    ) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            let densities = try arguments[.density]
            // Without a share to keep there is nothing to select, and no vote.
            let weights = zip(try arguments[.weight], densities).map { $1 > 0 ? $0 : 0 }
            if try arguments[.rescale], densities.contains(where: { $0 < 1 }) {
                rules.append(
                    try SparseTaskVectorSum.rule(
                        weights: weights, isElecting: true, arguments: arguments, rescale: true
                    ) {
                        MagnitudeBand(largestShares: densities, elementCount: tensor.elementCount)
                    })
                continue
            }
            let normalize = try arguments[.normalize]
            let lambda = try arguments[.lambda]
            rules.append(
                .surveyed { _ in
                    let trim = MagnitudeTrim(
                        densities: densities, elementCount: tensor.elementCount, equals: .firstInTensor)
                    return SignElection(
                        weights: weights, normalize: normalize, lambda: lambda, trim: trim, majority: nil,
                        survey: trim.passCount > 0 ? trim : nil)
                })
        }
        return MergeAssignment(rules: rules)
    }

    private func assignModelScope(
        _ tensors: [TensorDescriptor], arguments: MergeArguments
    ) throws(MergeError) -> MergeAssignment {
        let total = tensors.reduce(0) { $0 + $1.elementCount }
        let weights = try arguments[.weight]
        guard try !arguments[.rescale] else {
            throw MergeError(
                .badParameter, "rescale goes tensor by tensor, and trim_scope is \"model\"", parameter: "rescale",
                hint: "use trim_scope=tensor")
        }
        let densities = try arguments[.density]
        var rules: [MergeRule] = []
        for tensor in tensors {
            let own = try arguments.forTensor(tensor.name)
            guard try own[.weight] == weights, try own[.density] == densities else {
                throw MergeError(
                    .badParameter, "weight and density cannot vary between tensors when trim_scope is \"model\"",
                    tensor: tensor.name, hint: "one threshold holds for the whole model; use trim_scope=tensor")
            }
            let normalize = try own[.normalize]
            let lambda = try own[.lambda]
            rules.append(
                .elementwise(after: SignMajority.self) {
                    SignElection(
                        weights: weights, normalize: normalize, lambda: lambda, trim: $0.trim, majority: $0,
                        survey: nil)
                })
        }
        return MergeAssignment(
            rules: rules,
            survey: {
                SignMajority(
                    weights: weights, trim: MagnitudeTrim(densities: densities, elementCount: total, equals: .all))
            })
    }
}

/// Elects a sign for every entry and combines the entries that agree.
struct SignElection: ElementwiseRule {
    let weights: [Double]
    let normalize: Bool
    let lambda: Double
    let trim: MagnitudeTrim
    /// Decides entries whose sum is zero; nil elects plus.
    let majority: SignMajority?
    let survey: (any MergeSurvey)?

    func scratchRowCount(expertCount: Int) -> Int { expertCount + 3 }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Float>) { if !mergeAtOnce(block) { mergeAny(block) } }

    private var zeroSign: UInt32 { majority?.isPositive ?? true ? 0 : 1 }

    /// Does all for one element after the other, which spares what `mergeAny` reads and writes in between.
    ///
    /// - Returns: false when the block has to be merged the other way.
    private func mergeAtOnce(_ block: MergeBlock<Float>) -> Bool {
        let rows = weights.indices.map { block.row($0) }
        let base = block.row(weights.count)
        block.readBase(into: base)
        for expert in weights.indices { block.readExpert(expert, into: rows[expert]) }
        return trim.forEachRun(of: block) { offset, count, limits in
            electSigns(
                base: base + offset, experts: rows.map { UnsafePointer($0 + offset) }, limits: limits,
                weights: weights.map { Float($0) }, zeroSign: zeroSign, isAveraging: normalize, factor: Float(lambda),
                into: block.result + offset, count: count)
        }
    }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let count = block.count
        let votes = weights.indices.map { block.row($0) }
        let base = block.row(weights.count)
        let sum = block.row(weights.count + 1)
        let divisor = block.row(weights.count + 2)
        block.readBase(into: base)
        trim.readVotes(of: block, base: base, weights: weights, into: votes)
        sumUp(votes, into: sum, count: count)
        let result = block.result
        let zeroSign = zeroSign
        result.update(repeating: 0, count: count)
        divisor.update(repeating: 0, count: count)
        for expert in weights.indices {
            addAgreeing(
                votes[expert], sum: sum, zeroSign: zeroSign, weight: T(weights[expert]), to: result, divisor,
                count: count)
        }
        if normalize {
            for i in 0..<count { result[i] = result[i] / (abs(divisor[i]) < 1e-8 ? 1 : divisor[i]) }
        }
        scale(result, by: T(lambda), addingTo: base, unlessNaN: sum, count: count)
    }
}
