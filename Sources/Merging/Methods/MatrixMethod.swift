import Checkpoints
import TensorCore

/// What the methods that work on whole matrices share: which tensors are matrices, and what becomes of the rest.
struct MatrixSelection {
    private let exclude: [String]
    private let rest: Rest
    private let arguments: MergeArguments

    private enum Rest: String, CaseIterable, ParameterType { case average, base }

    private static let exclude = exclude(["*text_projection*"])
    private static func exclude(_ patterns: [String]) -> ParameterKey<[String]> {
        ParameterKey(
            "matrix_exclude", default: patterns, help: "Patterns of tensors that are not treated as matrices.")
    }
    private static let others = ParameterKey(
        "others", default: Rest.average, help: "The rest: the base plus the mean task vector, or the base.")

    /// The parameters that are read here, for the list of a method's own.
    static let parameters: [any MethodParameter] = [ParameterKey.lambda, exclude, others]

    /// The same with other matrices left out unless something is said.
    static func parameters(excluding patterns: [String]) -> [any MethodParameter] {
        [ParameterKey.lambda, exclude(patterns), others]
    }

    init(_ arguments: MergeArguments) throws(MergeError) {
        exclude = try arguments[Self.exclude]
        rest = try arguments[Self.others]
        self.arguments = arguments
    }

    /// Gives matrices the rule that `makeRule` makes of their arguments, and the others their own.
    ///
    /// A matrix is a tensor of two dimensions that matches no pattern of `matrix_exclude`; embeddings are matrices, and a stack of
    /// experts' weights has many, for each of which the rule holds.
    func assign(_ tensors: [TensorDescriptor], _ makeRule: (MergeArguments) throws(MergeError) -> any MatrixRule)
        throws(MergeError) -> MergeAssignment
    {
        var rules: [MergeRule] = []
        for tensor in tensors {
            if tensor.matrices != nil, !isExcluded(tensor) {
                rules.append(.matrix(try makeRule(arguments.forTensor(tensor.name))))
            } else {
                rules.append(try rest(for: tensor))
            }
        }
        let fate = rest == .average ? "averaged" : "left as in the base"
        return MergeAssignment(
            rules: rules,
            warnings: warnings(
                ofStacksAmong: tensors, one: "is \(fate): not a matrix", many: "are \(fate): not matrices"))
    }

    /// A line about tensors of more than two dimensions that are no stacks of experts by their names, and may hold nearly all weights.
    /// Kernels of convolutions over several dimensions count only where they are more than a small part.
    ///
    /// - Parameters:
    ///   - ranks: numbers of dimensions that count.
    ///   - one: what becomes of a single one.
    ///   - many: what becomes of several.
    func warnings(
        ofStacksAmong tensors: [TensorDescriptor], ranks: ClosedRange<Int> = 3...Int.max, one: String, many: String
    ) -> [Warning] {
        let stacks = tensors.filter {
            ranks.contains($0.shape.rank) && $0.shape.isStack && $0.matrices == nil && !isExcluded($0)
        }
        func count(_ tensors: [TensorDescriptor]) -> Double { tensors.reduce(0) { $0 + Double($1.elementCount) } }
        let share = 100 * count(stacks) / max(1, count(tensors))
        guard let first = stacks.first, share >= 5 || stacks.contains(where: { $0.shape.rank == 3 }) else { return [] }
        let (subject, fate) = stacks.count == 1 ? ("1 tensor", one) : ("\(stacks.count) tensors", many)
        return [
            Warning(
                MergeWarning.stacks,
                "\(subject) (\(Self.percent(share)) % of the weights) \(fate), such as \"\(first.name)\" \(first.shape)"
            )
        ]
    }

    /// Two digits, and never 100 for less.
    private static func percent(_ share: Double) -> String {
        let tenths = Int(min(share == 100 ? 1000 : 999, (share * 10).rounded()))
        return tenths >= 100 && tenths < 990 || tenths % 10 == 0
            ? "\((tenths + 5) / 10)" : "\(tenths / 10).\(tenths % 10)"
    }

    /// Whether a pattern of `matrix_exclude` matches.
    func isExcluded(_ tensor: TensorDescriptor) -> Bool {
        exclude.contains { TensorSelection.matches(tensor.name, pattern: $0) }
    }

    /// What becomes of a tensor that is no matrix.
    func rest(for tensor: TensorDescriptor) throws(MergeError) -> MergeRule {
        guard rest == .average else { return .elementwise(BaseCopy()) }
        let lambda = try arguments.forTensor(tensor.name)[.lambda]
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
    var isLinear: Bool { true }
    func scratchRowCount(expertCount: Int) -> Int { 0 }
    func merge(_ block: MergeBlock<Float>) { block.readBase(into: block.result) }
    func merge(_ block: MergeBlock<Double>) { block.readBase(into: block.result) }
}

extension MergeRemark {
    /// That there are more experts than directions.
    init(crowding directionCount: Int, expertCount: Int) {
        self.init(
            kind: .crowded,
            text: "int(\(directionCount) / \(expertCount)) is 0 singular directions for each of \(expertCount) experts")
    }

    /// That fewer directions were kept than a method asks for.
    ///
    /// - Parameter ranks: such as "2 of 5 for expert 1"; none makes no remark.
    init?(ranks: [String]) {
        guard !ranks.isEmpty else { return nil }
        self.init(
            kind: .rank, text: "singular directions kept up to the numerical rank: \(ranks.joined(separator: ", "))")
    }
}

extension Shape {
    /// Whether there are several matrices: embeddings of positions `[1, T, C]` are one, a class token `[1, 1, C]` is none.
    fileprivate var isStack: Bool {
        rank > 2 && dims.suffix(2).allSatisfy { $0 > 1 } && dims.dropLast(2).contains { $0 > 1 } && !dims.contains(0)
    }
}
