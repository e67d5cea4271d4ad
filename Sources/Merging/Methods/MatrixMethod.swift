import Checkpoints
import TensorCore

/// What the methods that work on whole matrices share: which tensors are matrices, and what becomes of the rest.
struct MatrixSelection {
    private let exclude: [String]
    private let rest: Rest
    private let arguments: MergeArguments

    private enum Rest { case average, base }

    /// The parameters that `init` reads, for the list of a method's own.
    static let parameters: [ParameterSpec] = [
        .lambda,
        ParameterSpec(
            "matrix_exclude", .patterns, default: .list([.text("*text_projection*")]),
            help: "Patterns of 2-D tensors that are not treated as matrices."),
        ParameterSpec(
            "others", .choice(["average", "base"]), default: .text("average"),
            help: "Other tensors: the base plus the mean task vector, or the base."),
    ]

    init(_ arguments: MergeArguments) throws(MergeError) {
        exclude = try arguments.patterns("matrix_exclude")
        rest = try arguments.text("others") == "base" ? .base : .average
        self.arguments = arguments
    }

    /// Gives matrices the rule that `makeRule` makes for a λ, and the others their own.
    ///
    /// A matrix is a tensor of two dimensions that matches no pattern of `matrix_exclude`; embeddings are matrices.
    func assign(_ tensors: [TensorDescriptor], _ makeRule: (Double) -> any MatrixRule) throws(MergeError)
        -> MergeAssignment
    {
        var rules: [MergeRule] = []
        for tensor in tensors {
            if tensor.shape.isMatrix, tensor.elementCount > 0, !isExcluded(tensor) {
                rules.append(.matrix(makeRule(try arguments.forTensor(tensor.name).number("lambda"))))
            } else {
                rules.append(try rest(for: tensor))
            }
        }
        return MergeAssignment(rules: rules)
    }

    /// Whether a pattern of `matrix_exclude` matches.
    func isExcluded(_ tensor: TensorDescriptor) -> Bool {
        exclude.contains { TensorSelection.matches(tensor.name, pattern: $0) }
    }

    /// What becomes of a tensor that is no matrix.
    func rest(for tensor: TensorDescriptor) throws(MergeError) -> MergeRule {
        guard rest == .average else { return .elementwise(BaseCopy()) }
        let lambda = try arguments.forTensor(tensor.name).number("lambda")
        return Self.mean(lambda: lambda, expertCount: arguments.expertCount)
    }

    /// θ₀ + λ times the mean task vector.
    static func mean(lambda: Double, expertCount: Int) -> MergeRule {
        .elementwise(
            TaskVectorSum(
                weights: Array(repeating: 1, count: expertCount), divisor: Double(expertCount), lambda: lambda))
    }
}

/// θ₀, bit for bit.
private struct BaseCopy: ElementwiseRule {
    func scratchRowCount(expertCount: Int) -> Int { 0 }
    func merge(_ block: MergeBlock<Float>) { block.readBase(into: block.result) }
    func merge(_ block: MergeBlock<Double>) { block.readBase(into: block.result) }
}

extension MergeRemark {
    /// That fewer directions were kept than a method asks for.
    ///
    /// - Parameter ranks: such as "2 of 5 for expert 1"; none makes no remark.
    init?(ranks: [String]) {
        guard !ranks.isEmpty else { return nil }
        self.init(
            kind: .rank, text: "singular directions kept up to the numerical rank: \(ranks.joined(separator: ", "))")
    }
}
