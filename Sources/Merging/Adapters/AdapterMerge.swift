import Kernels
import TensorCore

/// A merge of several adapters into one, weight by weight.
///
/// Methods are PEFT's combinations under their names there; then those methods of `merge` that can do with the cores of changes of low
/// rank, which `MergeMethods` names.
public struct AdapterMerge: Sendable {
    public let method: MethodInfo
    /// What people should know before the merge.
    public let warnings: [Warning]
    private let weights: [AdaptedWeight]
    /// One for every weight.
    private let rules: [any AdapterRule]

    /// The names of PEFT's combinations.
    public static var combinations: [MethodInfo] { Combination.all.map(\.info) }

    /// Plans a merge.
    ///
    /// - Parameters:
    ///   - rank: the rank of the result, at most; nil for that of the method.
    ///   - largestRank: of all adapters.
    /// - Throws: `merge.unknown_method`, `merge.needs_weights` for a method that factors are not enough for, and what checking parameters
    ///   throws.
    public init(
        method name: String, parameters: MergeParameters, weights: [AdaptedWeight], expertCount: Int, rank: Int?,
        largestRank: Int
    ) throws(MergeError) {
        self.weights = weights
        func arguments(_ method: MethodInfo) throws(MergeError) -> MergeArguments {
            try method.check(expertCount: expertCount)
            return try MergeArguments(
                method: method, parameters: parameters, expertCount: expertCount, hasBase: true, threads: 1)
        }
        if let combination = Combination.all.first(where: { $0.info.name == name }) {
            method = combination.info
            warnings = []
            let arguments = try arguments(method)
            guard rank == nil || combination.hasFreeRank else {
                throw MergeError(
                    .badParameter, "the rank of method \"\(name)\" follows from those of the adapters",
                    hint: "leave out --rank, or take a method that ends in svd")
            }
            var rules: [any AdapterRule] = []
            for weight in weights {
                rules.append(try combination.rule(for: weight, arguments, rank: rank ?? largestRank))
            }
            self.rules = rules
            return
        }
        let found = try Self.method(named: name)
        method = found.info
        let assignment = try found.assign(weights.map(\.descriptor), arguments: try arguments(method))
        warnings = assignment.warnings
        var rules: [any AdapterRule] = []
        for (place, weight) in weights.enumerated() {
            guard
                let rule = CoreRule(
                    assignment.rules[place], assignment.corrections[place], of: weight, expertCount: expertCount,
                    rank: rank)
            else {
                throw MergeError(
                    .needsWeights,
                    "method \"\(name)\", as it is set, merges whole weights, not factors of their changes",
                    tensor: weight.descriptor.name,
                    hint:
                        "for a method with a base give --base and --rank; or merge the models, BASE+ADAPTER each, and make an adapter of "
                        + "the result with `lora extract`")
            }
            rules.append(rule)
        }
        self.rules = rules
    }

    private static func method(named name: String) throws(MergeError) -> any MergeMethod {
        if let method = MergeMethods.all.first(where: { $0.info.name == name }) { return method }
        let names = Combination.all.map(\.info.name)
        let known = "PEFT's are \(names.joined(separator: ", ")); ours are in `untangle lora merge --help`"
        let hint =
            nearestName(to: name, among: names + MergeMethods.all.map(\.info.name))
            .map { "did you mean \"\($0)\"? \(known)" } ?? known
        throw MergeError(.unknownMethod, "there is no method \"\(name)\" to merge adapters", hint: hint)
    }

    /// The bytes that merging a weight takes beside the factors.
    ///
    /// - Parameter ranks: of the adapters that change it.
    /// - Throws: `merge.memory` for one that is too large to decompose.
    public func workingByteCount(of number: Int, ranks: [Int]) throws -> Int {
        try decomposing(number) { try rules[number].workingByteCount(ranks: ranks) }
    }

    /// Merges what adapters make of a weight.
    ///
    /// - Parameter changes: of the adapters that change it, at least one, in their order.
    /// - Returns: the change whose factor is 1, and what the user should know.
    /// - Throws: `merge.incompatible` for ranks that differ where they must not, `merge.not_finite`, `merge.not_converged`; `IOError` when
    ///   there is no memory.
    public func merge(_ changes: [AdapterChange], of number: Int) throws -> (change: FactoredMatrix, remark: String?) {
        try decomposing(number) { try rules[number].merge(changes) }
    }

    private func decomposing<R>(_ number: Int, _ body: () throws -> R) throws -> R {
        do { return try body() } catch let error as DecompositionError {
            let weight = weights[number].descriptor
            let (reason, problem): (MergeError.Reason, String) =
                switch error {
                case .notFinite: (.notFinite, "have products beyond F64")
                case .tooLarge: (.memory, "are too large to decompose")
                case .notConverged: (.notConverged, "have no decomposition that LAPACK finds")
                }
            throw MergeError(
                reason, "the changes of weight \"\(weight.name)\" \(weight.shape) \(problem)", tensor: weight.name)
        }
    }
}

/// A weight that adapters change.
public struct AdaptedWeight: Sendable {
    /// As the base stores it.
    public let descriptor: TensorDescriptor
    /// The sides of its change as adapters have them.
    public let outputs, inputs: Int
    /// Whether it is stored as `[inputs, outputs]`.
    public let isTransposed: Bool

    /// Describes a weight.
    public init(_ descriptor: TensorDescriptor, outputs: Int, inputs: Int, isTransposed: Bool) {
        self.descriptor = descriptor
        self.outputs = outputs
        self.inputs = inputs
        self.isTransposed = isTransposed
    }
}

/// What one adapter adds to a weight: `scale · B A`.
public struct AdapterChange: Sendable {
    /// The place of the adapter.
    public let adapter: Int
    public let matrix: FactoredMatrix
    public let scale: Double

    public init(adapter: Int, matrix: FactoredMatrix, scale: Double) {
        self.adapter = adapter
        self.matrix = matrix
        self.scale = scale
    }
}

/// How the changes of one weight become one.
protocol AdapterRule: Sendable {
    /// See `AdapterMerge`.
    func workingByteCount(ranks: [Int]) throws -> Int
    func merge(_ changes: [AdapterChange]) throws -> (change: FactoredMatrix, remark: String?)
}
