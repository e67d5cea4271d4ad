import Checkpoints
import Kernels
import TensorCore

extension MergePlan {
    /// Carries the merge out. The bytes of the result depend on models and parameters only, not on threads or memory.
    ///
    /// - Parameters:
    ///   - writer: made for `outputs`; the caller finishes it.
    ///   - part: the places among `outputs` of the tensors to merge, nil for all; the others may have to be looked at, and none of
    ///     them is written.
    ///   - progress: told, from any thread but one at a time, how many of `progressByteCount(of: part)` are done.
    /// - Throws: `MergeError`, and what readers and the writer throw.
    public func execute(
        into writer: any CheckpointWriter, part: Set<Int>? = nil,
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> MergeReport {
        let lane = MergeLane(
            plan: self, part: part, writer: writer, log: MergeLog(plan: self, progress: progress), ledger: nil)
        try MergeExecution(lanes: [lane]).run()
        return lane.log.report()
    }

    /// What `execute` counts up to for a part of the tensors: of the others only what is surveyed counts.
    func progressByteCount(of part: Set<Int>?) -> Int {
        guard let part else { return summary.progressByteCount }
        return tensors.reduce(summary.progressByteCount) { $0 - (part.contains($1.number) ? 0 : $1.progressByteCount) }
    }
}

/// Merges under way: copies, then surveys of the whole models, then element by element, then matrices.
///
/// What several merges need of a tensor is read once: each chunk is surveyed, or merged, for all of them while it is in the cache.
/// What becomes of one does not depend on the others.
struct MergeExecution: Sendable {
    /// At least one.
    let lanes: [MergeLane]

    func run() throws {
        try copyTensors()
        let surveys = lanes.map { $0.plan.assignment.survey?() }
        try survey(with: surveys)
        let elementwise = lanes.map { lane in lane.plan.tensors.filter { $0.isElementwise && lane.isInPart($0) } }
        for group in TensorGroup.split(SharedTensor.match(elementwise), limit: groupByteCount) {
            try merge(group, after: surveys)
        }
        try mergeMatrices(after: surveys)
        for lane in lanes { try lane.mergeGroups() }
    }

    private var threads: Int { lanes[0].plan.budget.threads }
    /// How many threads survey and merge elements at once.
    private var elementwiseThreads: Int { lanes.map(\.plan.memory.elementwiseThreads).min() ?? 1 }
    /// Bytes that the decoded and surveyed tensors of a group may take.
    private var groupByteCount: Int { lanes.reduce(0) { $0 + $1.plan.memory.groupByteCount } }
    /// What all merges may take together.
    private var memoryLimit: Int {
        lanes.reduce(0) { sum, lane in
            let (total, isTooMuch) = sum.addingReportingOverflow(lane.plan.memory.limit ?? Int.max)
            return isTooMuch ? Int.max : total
        }
    }

    private func copyTensors() throws {
        let tensors = SharedTensor.match(
            lanes.map { lane in lane.plan.tensors.filter { $0.isCopy && lane.isInPart($0) } }
        )
        .flatMap(\.uses)
        let gate = MemoryGate(limit: memoryLimit)
        try parallel(count: tensors.count, threads: threads) { place in
            let (lane, tensor) = (lanes[tensors[place].lane], tensors[place].tensor)
            gate.enter(tensor.decodedByteCount)
            defer { gate.leave(tensor.decodedByteCount) }
            try lane.copy(tensor)
        }
    }

    /// Finds out what methods have to know about all tensors before they merge the first.
    ///
    /// - Parameter surveys: one for each lane that needs it.
    private func survey(with surveys: [(any MergeSurvey)?]) throws {
        let passCounts = surveys.map { $0?.passCount ?? 0 }
        guard let passCount = passCounts.max(), passCount > 0 else { return }
        let surveyed = zip(lanes, surveys).map { lane, survey in
            survey == nil ? [] : lane.plan.tensors.filter { $0.plannedRule != nil }
        }
        let groups = TensorGroup.split(SharedTensor.match(surveyed), limit: groupByteCount)
        for pass in 0..<passCount {
            let isNeeded = lanes.indices.map { pass < passCounts[$0] && surveys[$0]?.needs(pass: pass) ?? false }
            let reads = lanes.indices.map { isNeeded[$0] && surveys[$0]?.readsModels ?? false }
            for group in groups {
                for use in group.tensors.flatMap(\.uses) where pass < passCounts[use.lane] && !reads[use.lane] {
                    lanes[use.lane].skip(use.tensor)
                }
                let read = group.tensors.compactMap { $0.filter { reads[$0.lane] } }
                try forEachChunk(of: try load(read)) { chunks in
                    for chunk in chunks { surveys[chunk.lane]?.observe(chunk.chunk, pass: pass) }
                }
            }
            for lane in lanes.indices where isNeeded[lane] { surveys[lane]?.finish(pass: pass) }
        }
    }

    private func merge(_ group: TensorGroup, after surveys: [(any MergeSurvey)?]) throws {
        let tensors = try load(group.tensors) { $0.tensor.plannedRule?.make(surveys[$0.lane]) }
        let all = tensors.flatMap(\.uses)
        let passCount = all.map { $0.tensor.rule?.survey?.passCount ?? 0 }.max() ?? 0
        for pass in 0..<passCount {
            let surveyed = all.filter { pass < $0.tensor.rule?.survey?.passCount ?? 0 }
            func isNeeded(_ use: LoadedShare.Use) -> Bool {
                guard let survey = use.tensor.rule?.survey else { return false }
                return pass < survey.passCount && survey.needs(pass: pass)
            }
            let needed = surveyed.map(isNeeded)
            for (use, isNeeded) in zip(surveyed, needed) where !isNeeded { lanes[use.lane].skip(use.tensor.planned) }
            try forEachChunk(of: tensors.compactMap { $0.filter(isNeeded) }) { chunks in
                for chunk in chunks { chunk.tensor.rule?.survey?.observe(chunk.chunk, pass: pass) }
            }
            let finished = zip(surveyed, needed).compactMap { $1 ? $0 : nil }
            parallel(count: finished.count, threads: elementwiseThreads) { place in
                finished[place].tensor.rule?.survey?.finish(pass: pass)
            }
        }
        try forEachChunk(of: tensors) { try ChunkMerge.merge($0, in: lanes) }
    }

    private func load(
        _ tensors: [SharedTensor], _ makeRule: @Sendable (SharedTensor.Use) -> (any ElementwiseRule)? = { _ in nil }
    ) throws -> [LoadedShare] {
        try parallelMap(count: tensors.count, threads: threads) { place in
            var inputs: [InputKey: TensorInput] = [:]
            return LoadedShare(
                uses: try tensors[place].uses.map { use in
                    let plan = lanes[use.lane].plan
                    let tensor = try LoadedTensor(
                        use.tensor, of: plan.models, hasBase: plan.hasBase, rule: makeRule(use), sharing: &inputs)
                    return LoadedShare.Use(lane: use.lane, tensor: tensor)
                })
        }
    }

    /// Works on the chunks of all tensors of a group in parallel, and has the chunks read that come next.
    private func forEachChunk(of tensors: [LoadedShare], _ body: @Sendable ([LoadedShare.Chunk]) throws -> Void) throws
    {
        let chunks = tensors.flatMap { tensor in tensor.chunks.map { (tensor: tensor, range: $0) } }
        let threads = elementwiseThreads
        try parallel(count: chunks.count, threads: threads) { place in
            let (tensor, range) = chunks[place]
            if place + threads < chunks.count {
                let later = chunks[place + threads]
                later.tensor.prefetch(later.range)
            }
            try tensor.withChunks(range, body)
            for use in tensor.uses {
                lanes[use.lane].log.advance(range.count * (use.tensor.planned.output.dtype.bitWidth / 8))
            }
        }
    }

    /// Merges matrices side by side, as many at a time as the memory allows, those that take longest first.
    private func mergeMatrices(after surveys: [(any MergeSurvey)?]) throws {
        let matrices = lanes.enumerated().flatMap { number, lane in
            lane.plan.tensors.compactMap { tensor -> (lane: Int, tensor: PlannedTensor, bytes: Int)? in
                guard lane.isInPart(tensor) else { return nil }
                switch tensor.work {
                case .matrix(_, let bytes), .entrywise(_, let bytes):
                    return (number, tensor, bytes + tensor.decodedByteCount)
                case .copy, .elementwise, .grouped: return nil
                }
            }
        }.sorted { ($0.tensor.cost, $1.tensor.number, $1.lane) > ($1.tensor.cost, $0.tensor.number, $0.lane) }
        let held = surveys.reduce(0) { $0 + ($1?.byteCount ?? 0) }
        let gate = MemoryGate(limit: max(0, memoryLimit - held))
        try parallel(count: matrices.count, threads: threads) { place in
            let (lane, tensor, bytes) = matrices[place]
            gate.enter(bytes)
            defer { gate.leave(bytes) }
            try lanes[lane].mergeMatrix(tensor, after: surveys[lane])
            lanes[lane].log.advance(tensor.output.byteCount)
        }
    }
}
