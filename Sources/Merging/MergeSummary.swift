import Reporting
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
    /// The bound that was set for it, which only a merge exceeds whose single elements need more; nil for none.
    public let memoryLimit: Int?
    /// What `progress` counts up to.
    public let progressByteCount: Int
    public let threads: Int
    public let warnings: [String]

    /// What OpenBLAS keeps for each thread to rearrange operands of a product; measured with matrices of 3072 x 768.
    private static let packingByteCount = 6 << 20

    init(
        tensors: [PlannedTensor], survey: (any MergeSurvey)?, grouped: (any GroupedMerge)?, threads: Int, memory: Int?,
        scratchByteCount: Int, groupByteCount: Int, warnings: [String]
    ) throws(MergeError) {
        var (elementwise, matrix, copied, parameters) = (0, 0, 0, 0)
        var (passes, progress) = (0, 0)
        var matrixBytes: [Int] = []
        let (modelPasses, modelReadings) = (survey?.passCount ?? 0, survey?.readingCount ?? 0)
        let heldBytes = grouped?.heldByteCount ?? 0
        for tensor in tensors {
            switch tensor.work {
            case .copy:
                copied += 1
                progress += tensor.output.byteCount
                continue
            case .elementwise(let rule):
                elementwise += 1
                let own = modelPasses + (rule.survey?.passCount ?? 0)
                passes = max(passes, modelReadings + (rule.survey?.readingCount ?? 0))
                progress += (1 + own) * tensor.output.byteCount
            case .matrix(_, let bytes), .grouped(_, let bytes):
                matrix += 1
                if case .grouped = tensor.work {
                    // Studied, then merged.
                    passes = max(passes, 1)
                    progress += tensor.output.byteCount
                }
                progress += tensor.output.byteCount
                let need = bytes + heldBytes + tensor.decodedByteCount
                if let memory, need > memory {
                    throw MergeError(
                        .memory,
                        "tensor \"\(tensor.output.name)\" \(tensor.output.shape) needs \(ByteSize(need)) of working "
                            + "memory, but \(ByteSize(memory)) are allowed", tensor: tensor.output.name,
                        hint: "raise --memory")
                }
                matrixBytes.append(need - heldBytes)
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
        memoryLimit = memory
        let groups = TensorGroup.split(tensors.filter(\.isElementwise), limit: groupByteCount)
        let held = (groups.map(\.byteCount).max() ?? 0) + (survey?.byteCount ?? 0) + scratchByteCount
        let largest = matrixBytes.sorted(by: >).prefix(threads).reduce(heldBytes, +)
        let packing = min(threads, matrixBytes.count) * Self.packingByteCount
        workingByteCount = max(held, min(memory ?? Int.max, largest) + packing)
    }
}

/// What a merge found and did.
public struct MergeReport: Sendable, Hashable {
    /// Of the plan and of the merge itself.
    public var warnings: [String]
    /// What is worth knowing about single tensors, such as that directions below the numerical rank were left out.
    public var notes: [TensorNote]
    /// Tensors whose result holds NaN, infinities or numbers too large for their type.
    public var findings: [TensorFinding]

    public var overflowCount: Int { findings.reduce(0) { $0 + $1.overflowCount } }
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
    /// Finite results that became infinite in the output type.
    public var overflowCount = 0
    public var nanCount = 0
    /// Infinities before the conversion to the output type.
    public var infinityCount = 0

    init(tensor: TensorName) { self.tensor = tensor }
}
