import Checkpoints
import Kernels
import TensorCore

/// A merge that was checked through and only has to be carried out, as often as one likes.
///
/// Making a plan opens no data except that of tensors which are copied, such as integers, to see that all models agree.
public struct MergePlan: Sendable {
    public let method: MethodInfo
    /// What a writer has to declare, in the order of the base, or of the first expert without one.
    public let outputs: [TensorDescriptor]
    public let summary: MergeSummary

    let tensors: [PlannedTensor]
    let assignment: MergeAssignment
    /// Whether how a tensor is merged depends on the others, such as by a threshold for the whole model.
    let measuresModel: Bool
    /// The base first, if there is one, then the experts.
    let models: [MergeModel]
    /// The patterns of `keepBase` that no tensor of any model matches.
    package let unusedPatterns: [String]
    /// The tensors that come from the first model alone.
    private let keptNames: Set<TensorName>
    let hasBase: Bool
    let budget: ComputeBudget
    let memory: WorkingMemory

    /// Checks models and parameters and decides how every tensor is merged.
    ///
    /// - Parameters:
    ///   - base: what task vectors are taken from; `linear` and `average` do without, and then only its order of tensors
    ///     and its dtypes count, and what is copied of it.
    ///   - experts: at least one, in the order that weights refer to.
    ///   - selection: which tensors take part; the others are not in the result.
    ///   - keepBase: which tensors are taken as they are from the base, or from the first expert without one, also beyond the
    ///     selection. What that model lacks is left out.
    ///   - outputDType: the type of all tensors that are merged; nil keeps that of the base or the first expert, of a quantised
    ///     weight the one that it had before.
    ///   - memory: bytes of working memory, mapped inputs not counted; nil sets no bound.
    /// - Throws: `MergeError`, with every difference between the models at once, or with what does not fit into the memory;
    ///   `WeightsError` when tensors are parts of quantised weights or of adapters; what the readers throw.
    public init(
        method: any MergeMethod, base: TensorStore?, experts: [(name: String, store: TensorStore)],
        parameters: MergeParameters = MergeParameters(), selection: TensorSelection = TensorSelection(),
        keepBase: TensorPatterns = TensorPatterns(), outputDType: DType? = nil,
        budget: ComputeBudget = ComputeBudget(), memory: Int? = nil
    ) throws {
        guard !experts.isEmpty else { throw MergeError(.tooFewExperts, "a merge needs at least one expert") }
        guard base != nil || !method.info.needsBase else {
            let work =
                method.info.expertCounts.upperBound == 1 ? "goes from a base to one model" : "works on task vectors"
            throw MergeError(
                .missingBase, "method \"\(method.info.name)\" \(work) and needs a base",
                hint: "name it with --base, or base_model in a recipe")
        }
        try method.info.check(expertCount: experts.count)
        if let outputDType, !outputDType.isComputable {
            throw MergeError(
                .unsupportedDtype, "the result cannot be \(outputDType.rawValue)", hint: "choose F16, BF16, F32 or F64")
        }
        let arguments = try MergeArguments(
            method: method.info, parameters: parameters, expertCount: experts.count, hasBase: base != nil,
            threads: budget.threads)
        let models =
            (base.map { [MergeModel(name: "base", store: $0)] } ?? [])
            + experts.map { MergeModel(name: $0.name, store: $0.store) }
        let agreement = try ModelAgreement(models, selection: selection, keepBase: keepBase)
        if models.count == 1 {
            try agreement.requireIdentity(of: try method.assign(agreement.quantizedParts, arguments: arguments))
        }
        let merged = agreement.tensors.filter { !$0.isCopied }
        let assignment = try method.assign(merged.map(\.descriptor), arguments: arguments)

        // Made to ask what they cost; an execution makes its own.
        let survey = assignment.survey?()
        let grouped = assignment.grouped?()

        var rules = zip(assignment.rules, assignment.corrections).makeIterator()
        var tensors: [PlannedTensor] = []
        for tensor in agreement.tensors {
            let (rule, correction) = (tensor.isCopied ? nil : rules.next()) ?? (nil, nil)
            tensors.append(
                try PlannedTensor(
                    number: tensors.count, tensor, rule: rule, correction: correction, survey: survey, grouped: grouped,
                    outputDType: outputDType, hasBase: base != nil))
        }
        self.method = method.info
        self.models = models
        keptNames = Set(agreement.tensors.filter { $0.inputs.count < models.count }.map(\.descriptor.name))
        self.tensors = tensors
        self.budget = budget
        self.assignment = assignment
        measuresModel = survey != nil || grouped?.comparesGroups ?? false
        hasBase = base != nil
        outputs = tensors.map(\.output)
        self.memory = try WorkingMemory(
            of: tensors, survey: survey, grouped: grouped, threads: budget.threads, limit: memory)
        summary = MergeSummary(
            tensors: tensors, survey: survey, threads: budget.threads, memory: self.memory,
            warnings: agreement.warnings + assignment.warnings)
        unusedPatterns = keepBase.unused(among: models.flatMap { $0.store.descriptors.map(\.name) })
    }
}

extension ModelAgreement {
    /// Makes sure that a method leaves parts of quantised weights of a single model as they are.
    ///
    /// - Parameter assignment: that of the parts.
    /// - Throws: `input.quantized`.
    fileprivate func requireIdentity(of assignment: MergeAssignment) throws {
        guard let quantization, !assignment.isIdentity else { return }
        throw WeightsError.quantized(
            models[0].name, quantization, parts: quantizedParts.map(\.name), file: models[0].store.path,
            problem: "they cannot be scaled one by one", hint: WeightsError.remedy(for: models[0].store))
    }
}

extension MergePlan {
    /// The models of which the result has something, or that were compared with what is copied.
    var usedModels: [MergeModel] {
        models.enumerated().filter { place, _ in
            tensors.contains { $0.isCopy ? place < $0.indices.count : $0.readModels.contains(place) }
        }.map(\.element)
    }

    /// Whether a tensor of the result has the bytes of the first model, whatever the others have.
    package func keeps(_ name: TensorName) -> Bool { keptNames.contains(name) }
}

/// One of the models of a merge.
struct MergeModel: Sendable {
    let name: String
    let store: TensorStore

    /// What the checkpoint calls a tensor, where a slice has other numbers for its layers.
    func storedName(of index: Int) -> TensorName {
        (store.reader as? CheckpointView)?.storedName(of: index) ?? store.descriptors[index].name
    }
}

/// One tensor of the result and where it comes from.
struct PlannedTensor: Sendable {
    let number: Int
    let output: TensorDescriptor
    /// For every model the tensor's place in its reader, and its type there.
    let indices: [Int]
    let dtypes: [DType]
    /// The places of the models that are read for it: all, the first for what is copied, all but the base where the rule does without.
    let readModels: Range<Int>
    /// Bytes that the inputs take when they are decoded instead of mapped.
    let decodedByteCount: Int
    /// What a thread takes for inputs that are made as they are read.
    private let windowByteCount: Int
    let inputByteCount: Int
    let work: Work
    /// What is done to the change before it is added to the base.
    let correction: SpectrumCorrection?

    /// What OpenBLAS keeps for each thread to rearrange operands of a product; measured with matrices of 3072 x 768.
    private static let packingByteCount = 6 << 20

    enum Work: Sendable {
        case copy
        case elementwise(PlannedRule)
        /// Element by element, and then as a whole.
        case entrywise(PlannedRule, workingByteCount: Int)
        case matrix(any MatrixRule, workingByteCount: Int)
        case grouped(Int, workingByteCount: Int)
    }

    init(
        number: Int, _ tensor: AgreedTensor, rule: MergeRule?, correction: SpectrumCorrection?,
        survey: (any MergeSurvey)?, grouped: (any GroupedMerge)?, outputDType: DType?, hasBase: Bool
    ) throws {
        self.number = number
        self.correction = correction
        indices = tensor.inputs.map(\.index)
        dtypes = tensor.inputs.map(\.dtype)
        do {
            work =
                try rule.map {
                    try Self.work(
                        $0, correction, of: tensor.descriptor, modelCount: tensor.inputs.count, survey: survey,
                        grouped: grouped, hasBase: hasBase)
                } ?? .copy
        } catch is DecompositionError {
            throw MergeError(DecompositionError.tooLarge, tensor: tensor.descriptor, isCorrected: correction != nil)
        }
        var inputs = tensor.inputs[...]
        switch work {
        case .copy:
            readModels = 0..<1
        case .elementwise(let rule):
            if hasBase, !rule.readsBase { inputs = inputs.dropFirst() }
            readModels = inputs.indices
        case .entrywise, .matrix, .grouped:
            readModels = inputs.indices
        }
        let isMadeAsRead = if case .elementwise = work { true } else { false }
        let windows = inputs.compactMap { isMadeAsRead ? $0.windowByteCount : nil }
        decodedByteCount = inputs.reduce(0) { sum, input in
            input.isMapped || isMadeAsRead && input.windowByteCount != nil ? sum : sum + input.byteCount
        }
        windowByteCount = windows.reduce(0, +)
        inputByteCount = inputs.reduce(0) { $0 + $1.byteCount }
        output = try TensorDescriptor(
            name: tensor.descriptor.name,
            dtype: rule == nil ? tensor.restingType : outputDType ?? tensor.restingType,
            shape: tensor.descriptor.shape)
    }

    private static func work(
        _ rule: MergeRule, _ correction: SpectrumCorrection?, of tensor: TensorDescriptor, modelCount: Int,
        survey: (any MergeSurvey)?, grouped: (any GroupedMerge)?, hasBase: Bool
    ) throws -> Work {
        func matrixByteCount(_ byteCount: (_ rows: Int, _ columns: Int) throws -> Int) throws -> Int {
            guard let shape = tensor.matrices else { preconditionFailure("the tensor is no matrix") }
            let (rows, columns) = (shape.rows, shape.columns)
            let correcting = try correction?.workingByteCount(rows: rows, columns: columns) ?? 0
            // The change, what makes it, and what corrects it.
            return try 4 * rows * columns + byteCount(rows, columns) + correcting + packingByteCount
        }
        func entries(_ planned: PlannedRule) throws -> Work {
            guard correction != nil else { return .elementwise(planned) }
            let bytes = EntrywiseMatrix.workingByteCount(planned)
            return .entrywise(planned, workingByteCount: try matrixByteCount { _, _ in bytes })
        }
        switch rule {
        case .elementwise(let rule): return try entries(PlannedRule(of: modelCount, after: survey) { _ in rule })
        case .surveyed(let make): return try entries(PlannedRule(of: modelCount, after: survey, make))
        case .matrix(let rule):
            let bytes = try matrixByteCount {
                try rule.workingByteCount(rows: $0, columns: $1, expertCount: modelCount - (hasBase ? 1 : 0))
            }
            return .matrix(rule, workingByteCount: bytes)
        case .grouped(let group):
            let bytes = try grouped?.workingByteCount(group: group) ?? 0
            let isCorrected = correction != nil && tensor.matrices != nil
            return .grouped(
                group, workingByteCount: bytes + (isCorrected ? try matrixByteCount { _, _ in 0 } : packingByteCount))
        }
    }

    /// What a thread needs beside the tensor's bytes while it merges or surveys elements.
    func scratchByteCount(survey: (any MergeSurvey)?) -> Int {
        guard let plannedRule else { return 0 }
        let row = mergeBlockCapacity * (needsDouble ? 8 : 4)
        let piece = min(MergeLane.pieceCapacity, output.elementCount) * output.dtype.bitWidth / 8
        let merging = row * (1 + plannedRule.scratchRowCount) + piece
        let surveying = [survey?.scratchByteCount, plannedRule.survey?.scratchByteCount].compactMap { $0 }.max()
        return windowByteCount + max(merging, surveying.map { 2 * row + $0 } ?? 0)
    }

    /// What merging the tensor counts as, the surveys of the model left out: once, and once for every pass of its own before.
    var progressByteCount: Int {
        switch work {
        case .copy, .matrix, .entrywise: output.byteCount
        case .elementwise(let rule): (1 + (rule.survey?.passCount ?? 0)) * output.byteCount
        // Studied, then merged.
        case .grouped: 2 * output.byteCount
        }
    }

    /// Whether the tensor is merged in F64.
    var needsDouble: Bool { output.dtype == .f64 || dtypes.contains(.f64) }
}

/// The rule of a tensor as a plan holds it: how an execution makes it, and what it costs.
struct PlannedRule: Sendable {
    /// Given the survey of the model, makes a rule whose own survey has seen nothing yet.
    let make: @Sendable ((any MergeSurvey)?) -> any ElementwiseRule
    let scratchRowCount: Int
    let readsBase: Bool
    /// Nil for rules that need no pass of their own.
    let survey: SurveyCost?

    struct SurveyCost: Sendable {
        let passCount: Int
        let readingCount: Int
        let byteCount: Int
        let scratchByteCount: Int
    }

    init(
        of modelCount: Int, after survey: (any MergeSurvey)?,
        _ make: @escaping @Sendable ((any MergeSurvey)?) -> any ElementwiseRule
    ) {
        self.make = make
        let rule = make(survey)
        scratchRowCount = rule.scratchRowCount(expertCount: modelCount)
        readsBase = rule.readsBase
        self.survey = rule.survey.map {
            SurveyCost(
                passCount: $0.passCount, readingCount: $0.readingCount, byteCount: $0.byteCount,
                scratchByteCount: $0.scratchByteCount)
        }
    }
}
