import Reporting
import TensorCore

/// How a merge keeps to the memory that it may use: what it takes at a time beside mapped inputs, and how many threads that allows.
struct WorkingMemory: Sendable {
    /// Nil sets no bound.
    let limit: Int?
    /// How many threads survey and merge elements at once.
    let elementwiseThreads: Int
    /// Bytes that the decoded and surveyed tensors of a group may take.
    let groupByteCount: Int
    /// The most that is used at a time.
    let peakByteCount: Int

    /// Works out how many threads fit into the limit.
    ///
    /// - Throws: `MergeError` `memory` when a tensor cannot be merged within the limit even by one thread.
    init(
        of tensors: [PlannedTensor], survey: (any MergeSurvey)?, grouped: (any GroupedMerge)?, threads: Int, limit: Int?
    ) throws(MergeError) {
        let surveyed = survey?.byteCount ?? 0
        let held = surveyed + (grouped?.heldByteCount ?? 0)
        let streamed = tensors.filter { $0.isElementwise || survey != nil && $0.plannedRule != nil }
        let scratch = streamed.map { $0.scratchByteCount(survey: survey) }.max() ?? 0
        let needs = tensors.map { tensor in
            switch tensor.work {
            case .copy: tensor.decodedByteCount
            case .elementwise: surveyed + scratch + tensor.heldByteCount
            case .entrywise(_, let bytes): held + max(bytes + tensor.decodedByteCount, scratch + tensor.heldByteCount)
            case .matrix(_, let bytes), .grouped(_, let bytes): held + bytes + tensor.decodedByteCount
            }
        }
        let most = tensors.indices.max { needs[$0] < needs[$1] }
        if let limit, let most, needs[most] > limit {
            let (output, need) = (tensors[most].output, ByteSize(needs[most]))
            throw MergeError(
                .memory,
                "tensor \"\(output.name)\" \(output.shape) needs \(need) of working memory, but \(ByteSize(limit)) "
                    + "are allowed", tensor: output.name, hint: "raise --memory to at least \(need.roundedUp)")
        }

        let largest = streamed.map(\.heldByteCount).max() ?? 0
        let room = (limit ?? Int.max) - surveyed
        elementwiseThreads = scratch == 0 ? threads : min(threads, max(1, (room - largest) / scratch))
        let taken = elementwiseThreads * scratch
        groupByteCount = min(max(0, room - taken), TensorGroup.largestByteCount)
        let groups = TensorGroup.split(SharedTensor.match([streamed]), limit: groupByteCount)
        let elements = surveyed + taken + (groups.map(\.byteCount).max() ?? 0)
        let matrices = zip(tensors, needs).lazy.filter { $0.0.isMatrix }.map { $1 - held }
            .sorted(by: >).prefix(threads).reduce(held, +)
        let copies = zip(tensors, needs).lazy.filter { $0.0.isCopy }.map(\.1).max() ?? 0
        peakByteCount = max(elements, min(limit ?? Int.max, matrices), copies)
        self.limit = limit
    }
}
