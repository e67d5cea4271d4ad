import Kernels
import TensorCore

/// A way to merge experts: declares its parameters, and says for every tensor how it is merged.
public protocol MergeMethod: Sendable {
    var info: MethodInfo { get }

    /// Chooses the rule for every tensor.
    ///
    /// - Parameter arguments: checked; `forTensor` gives those of one tensor.
    /// - Throws: `merge.bad_parameter` when values do not fit together.
    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment
}

/// What people are told about a method.
public struct MethodInfo: Sendable, Hashable {
    public let name: String
    /// One sentence.
    public let summary: String
    /// Authors, year and arXiv number.
    public let paper: String
    public let needsBase: Bool
    /// Whether a base that is given takes part, even where the method does without.
    public let usesBase: Bool
    /// How many experts the method merges.
    public let expertCounts: ClosedRange<Int>
    /// Whether all singular values of a merged matrix are equal.
    let flattensSpectra: Bool
    public private(set) var parameters: [ParameterSpec]

    /// Describes a method.
    ///
    /// - Parameters:
    ///   - usesBase: nil when only a method that needs a base uses one.
    ///   - flattensSpectra: whether all singular values of a merged matrix are equal.
    package init(
        name: String, summary: String, paper: String, needsBase: Bool, usesBase: Bool? = nil,
        expertCounts: ClosedRange<Int> = 1...Int.max, flattensSpectra: Bool = false,
        parameters: [any MethodParameter]
    ) {
        self.name = name
        self.summary = summary
        self.paper = paper
        self.needsBase = needsBase
        self.usesBase = usesBase ?? needsBase
        self.expertCounts = expertCounts
        self.flattensSpectra = flattensSpectra
        self.parameters = parameters.map(\.spec)
    }

    /// The method with more parameters at the end.
    func adding(_ parameters: [any MethodParameter]) -> MethodInfo {
        var info = self
        info.parameters += parameters.map(\.spec)
        return info
    }

    /// Whether a parameter is one of the method's own.
    func declares(_ key: some MethodParameter) -> Bool { parameters.contains { $0.name == key.spec.name } }

    /// Checks how many experts there are against what the method takes.
    ///
    /// - Throws: `merge.too_few_experts`, `merge.too_many_experts`.
    package func check(expertCount: Int) throws(MergeError) {
        guard !expertCounts.contains(expertCount) else { return }
        let (least, most) = (expertCounts.lowerBound, expertCounts.upperBound)
        let wanted =
            least == most ? "exactly \(least)" : expertCount < least ? "at least \(least)" : "at most \(most)"
        let base = needsBase ? " beside the base" : ""
        throw MergeError(
            expertCount < least ? .tooFewExperts : .tooManyExperts,
            "method \"\(name)\" merges \(wanted) \(least == 1 && most == 1 ? "expert" : "experts")\(base), "
                + "but \(expertCount) \(expertCount == 1 ? "is" : "are") given")
    }
}

/// How the tensors of a merge are merged.
///
/// A value: what learns from the models is made by every execution for itself.
public struct MergeAssignment: Sendable {
    /// One for every tensor, in their order.
    let rules: [MergeRule]
    /// Makes what has to be known about all tensors together before the first is merged.
    let survey: (@Sendable () -> any MergeSurvey)?
    /// Makes what merges the tensors whose rule is `grouped`.
    let grouped: (@Sendable () -> any GroupedMerge)?
    /// For every tensor what is done to what a rule changes, before it is added to the base; nil for nothing.
    private(set) var corrections: [SpectrumCorrection?]
    /// What people should know before the merge.
    let warnings: [Warning]

    package init(
        rules: [MergeRule], survey: (@Sendable () -> any MergeSurvey)? = nil,
        grouped: (@Sendable () -> any GroupedMerge)? = nil, warnings: [Warning] = []
    ) {
        self.rules = rules
        self.survey = survey
        self.grouped = grouped
        self.warnings = warnings
        corrections = rules.map { _ in nil }
    }

    /// The same with changes that are corrected.
    func correcting(_ corrections: [SpectrumCorrection?]) -> MergeAssignment {
        var assignment = self
        assignment.corrections = corrections
        return assignment
    }

    /// Whether the result is the one model that is given, bit for bit.
    var isIdentity: Bool { rules.allSatisfy(\.isIdentity) && corrections.allSatisfy { $0 == nil } }
}

/// How one tensor is merged.
package enum MergeRule: Sendable {
    case elementwise(any ElementwiseRule)
    /// Element by element with what surveys find out: a rule that every execution makes anew, given the survey of the model.
    case surveyed(@Sendable ((any MergeSurvey)?) -> any ElementwiseRule)
    case matrix(any MatrixRule)
    /// With the other tensors of a group, in their order; the matrices of a stack of experts have a group each, from this on.
    case grouped(Int)

    /// Whether the result is the one model that is given, bit for bit.
    var isIdentity: Bool { if case .elementwise(let rule) = self { rule.isIdentity } else { false } }

    /// A rule that needs what a survey of the whole model found.
    static func elementwise<S: MergeSurvey>(
        after survey: S.Type, _ make: @escaping @Sendable (S) -> any ElementwiseRule
    ) -> MergeRule {
        .surveyed { survey in
            guard let survey = survey as? S else { preconditionFailure("the assignment has another survey") }
            return make(survey)
        }
    }
}

/// A rule in which an element of the result depends on the same element of the inputs, and on what a survey found out.
///
/// A new rule writes its arithmetic once, generic over the scalar, and forwards both forms of `merge` to it.
package protocol ElementwiseRule: Sendable {
    /// What has to be known about the whole tensor before its first element is merged.
    var survey: (any MergeSurvey)? { get }

    /// Rows of `MergeBlock.capacity` numbers that `merge` needs beside the result.
    func scratchRowCount(expertCount: Int) -> Int

    /// Whether the result is the one model that is given, bit for bit.
    var isIdentity: Bool { get }
    /// Whether the result is the base plus a sum of multiples of the task vectors.
    var isLinear: Bool { get }
    /// Whether the base of a merge that has one is read, here or in a survey; one that is not is not opened either.
    var readsBase: Bool { get }

    func merge(_ block: MergeBlock<Float>)
    func merge(_ block: MergeBlock<Double>)
}

extension ElementwiseRule {
    package var survey: (any MergeSurvey)? { nil }
    package var isIdentity: Bool { false }
    package var isLinear: Bool { false }
    package var readsBase: Bool { true }
}

/// Passes over the inputs before the merge, of one execution. Chunks of a pass come in any order, from several threads.
package protocol MergeSurvey: Sendable {
    var passCount: Int { get }
    /// Whether passes read the models; others only finish.
    var readsModels: Bool { get }
    /// How often all inputs are read in the usual case, where fewer passes come about than may, or some read little.
    var readingCount: Int { get }
    /// Memory that the survey holds until its tensors are merged.
    var byteCount: Int { get }
    /// Memory that every thread uses in `observe`, beside two rows of a block.
    var scratchByteCount: Int { get }
    /// Whether a pass comes about, asked when the one before is finished.
    func needs(pass: Int) -> Bool
    func observe(_ chunk: MergeChunk, pass: Int)
    /// Called when every chunk was observed.
    func finish(pass: Int)
}

extension MergeSurvey {
    package var readsModels: Bool { true }
    package var readingCount: Int { readsModels ? passCount : 0 }
    package var scratchByteCount: Int { 0 }
    package func needs(pass: Int) -> Bool { true }
}

/// A rule that needs a whole matrix, or each of a stack of experts: it turns the task vectors of all experts into one.
package protocol MatrixRule: Sendable {
    /// Whether task vectors with rotated rows and columns give the rotated result, so that cores of matrices of low rank can stand for them.
    var isBasisFree: Bool { get }

    /// Bytes that `merge` allocates.
    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int

    /// Merges task vectors.
    ///
    /// - Parameters:
    ///   - result: `[rows, columns]`, becomes the merged task vector.
    /// - Returns: what the user should know, such as that a matrix has not its full rank.
    /// - Throws: `DecompositionError`, `IOError` `io.memory`.
    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark?
}

extension MatrixRule {
    package var isBasisFree: Bool { false }
}
