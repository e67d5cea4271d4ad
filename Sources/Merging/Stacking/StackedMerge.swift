import Checkpoints
import TensorCore

/// Merges that together make one checkpoint, each with its own models and parameters: the slices of a stack of layers, or one
/// merge of whole models.
public struct StackedMerge: Sendable {
    /// In the order of the result; at least one.
    public let plans: [MergePlan]
    /// What a writer has to declare.
    public let outputs: [TensorDescriptor]
    public let summary: MergeSummary

    /// Puts the plans of slices together.
    ///
    /// - Throws: `merge.nothing_selected` when models have tensors and the plans none.
    /// - Precondition: there is a plan, and all have one method.
    public init(_ plans: [MergePlan]) throws(MergeError) {
        precondition(!plans.isEmpty, "a stack needs a plan")
        let isNothing = plans.allSatisfy(\.outputs.isEmpty)
        if isNothing, plans.contains(where: { $0.models.contains { !$0.store.descriptors.isEmpty } }) {
            throw MergeError(
                .nothingSelected, "no tensor of the models is selected",
                hint: "see the names with `untangle inspect`, and quote patterns such as 'layers.*'")
        }
        self.plans = plans
        outputs = plans.flatMap(\.outputs)
        summary = plans.count == 1 ? plans[0].summary : MergeSummary(stacking: plans)
    }

    public var method: MethodInfo { plans[0].method }

    /// Carries the merges out, one after the other; see `MergePlan.execute`.
    ///
    /// - Parameter part: the places among `outputs` of the tensors to merge; nil for all.
    /// - Throws: as `MergePlan.execute`.
    public func execute(
        into writer: any CheckpointWriter, part: Set<Int>? = nil,
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> MergeReport {
        let task = MergeTask(of: self, into: writer, part: part)
        return try MergeTask.execute([task], progress: progress)[0]
    }

    /// What `execute` counts up to.
    public func progressByteCount(of part: Set<Int>? = nil) -> Int {
        var (firstTensor, byteCount) = (0, 0)
        for plan in plans {
            byteCount += plan.progressByteCount(of: plan.part(part, from: firstTensor))
            firstTensor += plan.outputs.count
        }
        return byteCount
    }

    /// The parameters of the merged tensors in a part of the tensors, as `MergeSummary.parameterCount` counts them in all.
    public func parameterCount(of part: Set<Int>) -> Int {
        plans.flatMap(\.tensors).enumerated().reduce(0) { count, tensor in
            part.contains(tensor.offset) && !tensor.element.isCopy ? count + tensor.element.output.elementCount : count
        }
    }

    /// The report of a merge that several processes have carried out, a part each.
    ///
    /// - Parameters:
    ///   - findings: those of all parts, in the order of `outputs`.
    ///   - notFinite: what all parts have read, each once, in the same order.
    package func report(of findings: [TensorFinding], notFinite: [NonFiniteTensor]) -> MergeReport {
        MergeReport(warnings: summary.warnings, notes: [], findings: findings, notFinite: notFinite).withWarnings
    }
}

extension MergePlan {
    /// What of a part of a stack is the plan's own, in its numbers.
    func part(_ part: Set<Int>?, from firstTensor: Int) -> Set<Int>? {
        part.map { part in Set(outputs.indices.filter { part.contains(firstTensor + $0) }) }
    }
}

extension MergeSummary {
    /// Of merges that run one after the other.
    fileprivate init(stacking plans: [MergePlan]) {
        let parts = plans.map(\.summary)
        elementwiseCount = parts.reduce(0) { $0 + $1.elementwiseCount }
        matrixCount = parts.reduce(0) { $0 + $1.matrixCount }
        copiedCount = parts.reduce(0) { $0 + $1.copiedCount }
        parameterCount = parts.reduce(0) { $0 + $1.parameterCount }
        passCount = parts.map(\.passCount).max() ?? 1
        inputByteCount = parts.reduce(0) { $0 + $1.inputByteCount }
        outputByteCount = parts.reduce(0) { $0 + $1.outputByteCount }
        workingByteCount = parts.map(\.workingByteCount).max() ?? 0
        progressByteCount = parts.reduce(0) { $0 + $1.progressByteCount }
        memoryLimit = parts.first?.memoryLimit
        threads = parts.map(\.threads).max() ?? 1
        var seen: Set<Warning> = []
        var warnings = parts.flatMap(\.warnings).filter { seen.insert($0).inserted }
        if plans.contains(where: \.measuresModel) {
            warnings.append(
                Warning(
                    MergeWarning.slices,
                    "\(plans[0].method.name) compares all tensors of a model with these parameters, and each of the "
                        + "\(plans.count) slices is merged on its own: thresholds and norms hold for one slice"))
        }
        self.warnings = warnings
    }
}
