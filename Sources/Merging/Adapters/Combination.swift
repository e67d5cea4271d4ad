// PEFT's ways to combine adapters: `add_weighted_adapter` of PEFT 0.21.2, for ΔW_i = s_i B_i A_i and weights w_i.
//
//     cat              [B_1 … B_N], [w_1 s_1 A_1; …; w_N s_N A_N]                  exactly Σ w_i ΔW_i
//     svd              Σ w_i ΔW_i, of which the strongest singular triplets stay
//     linear           Σ √|w_i s_i| B_i,  Σ ±√|w_i s_i| A_i                        which has terms B_i A_j of different adapters
//     magnitude_prune, dare_linear, ties, dare_ties                               the same, with the tensors B_i and A_i pruned
//     …_svd            Σ w_i ΔW_i with the ΔW_i pruned, then as svd
//
// Pruning keeps the int(density · count) largest entries of each tensor, or, for dare, every entry with the probability `density`, divided
// by it. The ties ones then keep the entries with the sign that most have, by their unweighted sum or by their number (0 is +), and
// divide by how many were kept: see `TensorCombination`. Adapters without the module do not count. Random numbers are ours: they
// depend on `seed`, the tensor's name, the place of the adapter and the place of the entry. Ties at the cut, which PEFT leaves
// to chance, go to the first. All in F64; of ΔW that are pruned the triplets come from its rounding to F32.

import Kernels
import TensorCore

/// One of PEFT's combinations.
struct Combination: Sendable {
    let info: MethodInfo
    private let operands: Operands
    private let pruning: TensorCombination.Pruning?
    private let isElecting: Bool

    private enum Operands {
        /// The factors side by side.
        case stacked
        /// A and B, each by itself.
        case factors
        /// Their products.
        case products
    }

    private static let election = ParameterKey(
        "majority_sign_method", default: TensorCombination.Election.total,
        help: "What the sign of most follows from: the sum of the entries, or how many there are of either.")

    static let all: [Combination] = [
        Combination("linear", "Sums of the factors, which mixes those of different adapters.", .factors),
        Combination("cat", "Factors side by side: the exact sum, of the sum of the ranks.", .stacked),
        Combination("svd", "The exact sum, cut to the strongest singular values.", .products),
        Combination("ties", "Factors trimmed, elected by sign and averaged.", .factors, .magnitude, isElecting: true),
        Combination(
            "ties_svd", "Changes trimmed, elected by sign and averaged, cut to the strongest singular values.",
            .products, .magnitude, isElecting: true),
        Combination("dare_linear", "Sums of the factors after dropping entries at random.", .factors, .random),
        Combination(
            "dare_ties", "Factors with entries dropped at random, elected by sign and averaged.", .factors, .random,
            isElecting: true),
        Combination(
            "dare_linear_svd", "Sum after dropping entries at random, cut to the strongest singular values.",
            .products, .random),
        Combination(
            "dare_ties_svd",
            "Changes with entries dropped at random, elected and averaged, cut to the strongest singular values.",
            .products, .random, isElecting: true),
        Combination("magnitude_prune", "Sums of the factors' largest entries.", .factors, .magnitude),
        Combination(
            "magnitude_prune_svd", "Sum of the changes' largest entries, cut to the strongest singular values.",
            .products, .magnitude),
    ]

    private init(
        _ name: String, _ summary: String, _ operands: Operands, _ pruning: TensorCombination.Pruning? = nil,
        isElecting: Bool = false
    ) {
        self.operands = operands
        self.pruning = pruning
        self.isElecting = isElecting
        var parameters: [any MethodParameter] = [ExpertParameterKey.weight.with(help: "Factor of each adapter.")]
        if pruning != nil {
            parameters.append(ExpertParameterKey.density.with(help: "Share of the entries that is kept."))
        }
        if isElecting { parameters.append(Self.election) }
        if pruning == .random { parameters.append(ParameterKey.seed) }
        info = MethodInfo(
            name: name, summary: summary, paper: "PEFT 0.21, add_weighted_adapter", needsBase: false,
            parameters: parameters)
    }

    /// Whether the rank of the result can be chosen.
    var hasFreeRank: Bool { operands == .products }

    /// The rule for a weight.
    func rule(
        for weight: AdaptedWeight, _ arguments: MergeArguments, rank: Int
    ) throws(MergeError) -> any AdapterRule {
        let name = weight.descriptor.name
        let weights = try arguments[.weight]
        func combination(of part: String) throws(MergeError) -> TensorCombination {
            TensorCombination(
                pruning: pruning, densities: pruning == nil ? [] : try arguments[.density],
                generators: pruning == .random ? try arguments.generators(for: TensorName(name.text + part)) : [],
                election: isElecting ? try arguments[Self.election] : nil)
        }
        switch operands {
        case .stacked: return StackedFactors(weights: weights)
        case .factors:
            return CombinedFactors(
                name: name, weights: weights, a: try combination(of: ".lora_A"), b: try combination(of: ".lora_B"))
        case .products:
            return pruning == nil
                ? TruncatedSum(outputs: weight.outputs, inputs: weight.inputs, weights: weights, rank: rank)
                : CombinedProducts(
                    outputs: weight.outputs, inputs: weight.inputs, weights: weights, rank: rank,
                    combination: try combination(of: ""))
        }
    }
}

// MARK: - Rules

/// Factors side by side.
private struct StackedFactors: AdapterRule {
    let weights: [Double]

    func workingByteCount(ranks: [Int]) throws -> Int { 0 }

    func merge(_ changes: [AdapterChange]) throws -> (change: FactoredMatrix, remark: String?) {
        (try FactoredMatrix(sumOf: changes.map { ($0.matrix, weights[$0.adapter] * $0.scale) }), nil)
    }
}

/// The strongest triplets of the exact sum.
private struct TruncatedSum: AdapterRule {
    let outputs, inputs: Int
    let weights: [Double]
    let rank: Int

    func workingByteCount(ranks: [Int]) throws -> Int {
        let sum = ranks.reduce(0, +)
        return try CoreSpace.workingByteCount(rows: outputs, columns: inputs, rank: sum, count: 1)
            + SingularValueDecomposition<Double>.workingByteCount(rows: sum, columns: sum)
    }

    func merge(_ changes: [AdapterChange]) throws -> (change: FactoredMatrix, remark: String?) {
        let sum = try FactoredMatrix(sumOf: changes.map { ($0.matrix, weights[$0.adapter] * $0.scale) })
        let space = try CoreSpace(of: [(sum, 1)])
        let core = try FactoredMatrix(
            destroying: space.cores[0], keeping: rank, epsilon: Double.ulpOfOne)
        return (try space.matrix(of: core), nil)
    }
}

/// A and B, each by itself.
private struct CombinedFactors: AdapterRule {
    let name: TensorName
    let weights: [Double]
    let a, b: TensorCombination

    func workingByteCount(ranks: [Int]) throws -> Int { 0 }

    func merge(_ changes: [AdapterChange]) throws -> (change: FactoredMatrix, remark: String?) {
        let first = changes[0].matrix
        if let other = changes.first(where: { $0.matrix.rank != first.rank }) {
            throw MergeError(
                .incompatible,
                "weight \"\(name)\" has the rank \(first.rank) in adapter \(changes[0].adapter + 1) and \(other.matrix.rank) in adapter "
                    + "\(other.adapter + 1), and factors of different ranks have no sum", tensor: name,
                hint: "take --method cat or svd")
        }
        // A negative weight is that of one of the factors.
        let roots = changes.map { change in
            let product = weights[change.adapter] * change.scale
            return (a: product < 0 ? -(-product).squareRoot() : product.squareRoot(), b: abs(product).squareRoot())
        }
        let left = try Matrix<Double>(rows: first.rows, columns: first.rank)
        let right = try Matrix<Double>(rows: first.rank, columns: first.columns)
        try b.merge(
            zip(changes, roots).map { change, root in
                TensorCombination.Operand(adapter: change.adapter, weight: root.b) {
                    $0.pointer.update(from: change.matrix.b.pointer, count: $0.count)
                }
            }, into: left)
        try a.merge(
            zip(changes, roots).map { change, root in
                TensorCombination.Operand(adapter: change.adapter, weight: root.a) {
                    $0.pointer.update(from: change.matrix.a.pointer, count: $0.count)
                }
            }, into: right)
        return (FactoredMatrix(b: left, a: right), nil)
    }
}

/// The changes themselves, cut to their strongest triplets.
private struct CombinedProducts: AdapterRule {
    let outputs, inputs: Int
    let weights: [Double]
    let rank: Int
    let combination: TensorCombination

    func workingByteCount(ranks: [Int]) throws -> Int {
        try outputs * inputs * (TensorCombination.matrixCount + 1) * 8
            + SingularTriplets.workingByteCount(rows: outputs, columns: inputs)
    }

    func merge(_ changes: [AdapterChange]) throws -> (change: FactoredMatrix, remark: String?) {
        let merged = try Matrix<Double>(rows: outputs, columns: inputs)
        try combination.merge(
            changes.map { change in
                TensorCombination.Operand(adapter: change.adapter, weight: weights[change.adapter]) {
                    change.matrix.product(scaledBy: change.scale, into: $0)
                }
            }, into: merged)
        let rounded = try Matrix<Float>(rows: outputs, columns: inputs)
        for i in 0..<merged.count { rounded.pointer[i] = Float(merged.pointer[i]) }
        return (try FactoredMatrix(SingularTriplets(rounded, keeping: rank)), nil)
    }
}
