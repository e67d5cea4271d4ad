import Kernels
import TensorCore

/// What a merge will do, for people who ask before it runs.
public struct MergeSummary: Sendable, Hashable {
    /// Tensors merged element by element, as whole matrices, and copied.
    public let elementwiseCount: Int
    public let matrixCount: Int
    public let copiedCount: Int
    /// Parameters of the merged tensors.
    public let parameterCount: Int
    /// How often the inputs are read: once to merge, before it to select. A selection whose sample misleads reads more.
    public let passCount: Int
    /// One pass over all models.
    public let inputByteCount: Int
    public let outputByteCount: Int
    /// What is read in all passes, if nothing stays in memory between them.
    public var readByteCount: Int { inputByteCount.multipliedReportingOverflow(by: passCount).partialValue }
    /// The most working memory that is used at a time, beside mapped inputs and the few megabytes of the program itself.
    public let workingByteCount: Int
    /// The bound that was set for it; nil for none.
    public let memoryLimit: Int?
    /// What `progress` counts up to.
    public let progressByteCount: Int
    public let threads: Int
    public let warnings: [Warning]

    init(
        tensors: [PlannedTensor], survey: (any MergeSurvey)?, threads: Int, memory: WorkingMemory, warnings: [Warning]
    ) {
        var (elementwise, matrix, copied, parameters) = (0, 0, 0, 0)
        var (passes, progress) = (0, 0)
        let (modelPasses, modelReadings) = (survey?.passCount ?? 0, survey?.readingCount ?? 0)
        for tensor in tensors {
            progress += tensor.progressByteCount
            switch tensor.work {
            case .copy:
                copied += 1
                continue
            case .elementwise(let rule):
                elementwise += 1
                passes = max(passes, modelReadings + (rule.survey?.readingCount ?? 0))
                progress += modelPasses * tensor.output.byteCount
            case .entrywise(let rule, _):
                matrix += 1
                passes = max(passes, modelReadings + (rule.survey?.readingCount ?? 0))
                progress += modelPasses * tensor.output.byteCount
            case .matrix: matrix += 1
            case .grouped:
                matrix += 1
                passes = max(passes, 1)
            }
            parameters += tensor.output.elementCount
        }
        elementwiseCount = elementwise
        matrixCount = matrix
        copiedCount = copied
        parameterCount = parameters
        passCount = passes + 1
        inputByteCount = tensors.reduce(0) { $0 + $1.inputByteCount }
        outputByteCount = tensors.reduce(0) { $0 + $1.output.byteCount }
        progressByteCount = progress
        self.threads = threads
        self.warnings = warnings
        memoryLimit = memory.limit
        workingByteCount = memory.peakByteCount
    }
}

/// What a merge found and did.
public struct MergeReport: Sendable, Hashable {
    /// Of the plan and of the merge itself.
    public var warnings: [Warning]
    /// What is worth knowing about single tensors, such as that directions below the numerical rank were left out.
    public var notes: [TensorNote]
    /// Tensors whose result holds NaN, infinities, or numbers too large or too small for their type.
    public var findings: [TensorFinding]
    /// Tensors that hold NaN or infinities in a model, as far as the merge has read them, each once.
    public var notFinite: [NonFiniteTensor]

    public var losses: CastLosses { findings.reduce(into: CastLosses()) { $0 += $1.losses } }
    public var nanCount: Int { findings.reduce(0) { $0 + $1.nanCount } }
    public var infinityCount: Int { findings.reduce(0) { $0 + $1.infinityCount } }
}

public struct TensorNote: Sendable, Hashable {
    public let tensor: TensorName
    let remark: MergeRemark

    public var text: String { remark.text }
}

/// Numbers of a merged tensor that are not as numbers should be.
public struct TensorFinding: Sendable, Hashable {
    public let tensor: TensorName
    /// Of the conversion to the output type.
    public var losses = CastLosses()
    public var nanCount = 0
    /// Infinities before the conversion to the output type.
    public var infinityCount = 0

    package init(tensor: TensorName, losses: CastLosses = CastLosses(), nanCount: Int = 0, infinityCount: Int = 0) {
        self.tensor = tensor
        self.losses = losses
        self.nanCount = nanCount
        self.infinityCount = infinityCount
    }
}
