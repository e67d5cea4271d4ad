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
            help: "What becomes of tensors that are not matrices: the base plus the mean task vector, or the base."),
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
            let lambda = try arguments.forTensor(tensor.name).number("lambda")
            let isExcluded = exclude.contains { TensorSelection.matches(tensor.name, pattern: $0) }
            if tensor.shape.isMatrix, tensor.elementCount > 0, !isExcluded {
                rules.append(.matrix(makeRule(lambda)))
            } else {
                let weights = Array(repeating: rest == .average ? 1.0 : 0.0, count: arguments.expertCount)
                rules.append(
                    .elementwise(TaskVectorSum(weights: weights, divisor: Double(weights.count), lambda: lambda)))
            }
        }
        return MergeAssignment(rules: rules)
    }
}
