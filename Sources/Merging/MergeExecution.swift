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
        try execute(into: writer, part: part, ledger: nil, progress: progress)
    }

    /// Carries the merge out, and tells a ledger of all that is read and written.
    ///
    /// - Throws: `MergeError`, and what readers and the writer throw.
    package func execute(
        into writer: any CheckpointWriter, part: Set<Int>? = nil, ledger: MergeLedger?,
        progress: @escaping @Sendable (Int) -> Void
    ) throws -> MergeReport {
        let execution = MergeExecution(
            plan: self, part: part, writer: writer, log: MergeLog(plan: self, progress: progress), ledger: ledger)
        try execution.run()
        return execution.log.report()
    }

    /// What `execute` counts up to for a part of the tensors: of the others only what is surveyed counts.
    func progressByteCount(of part: Set<Int>?) -> Int {
        guard let part else { return summary.progressByteCount }
        return tensors.reduce(summary.progressByteCount) { $0 - (part.contains($1.number) ? 0 : $1.progressByteCount) }
    }
}

/// A merge under way: copies, then surveys of the whole model, then element by element, then matrices.
struct MergeExecution: Sendable {
    /// Elements that are handed to the writer at a time.
    static let pieceCapacity = 1 << 16

    let plan: MergePlan
    /// The numbers of the tensors that are merged; nil for all.
    let part: Set<Int>?
    let writer: any CheckpointWriter
    let log: MergeLog
    let ledger: MergeLedger?

    func isInPart(_ tensor: PlannedTensor) -> Bool { part?.contains(tensor.number) ?? true }

    func run() throws {
        try copyTensors()
        let survey = plan.assignment.survey?()
        if let survey {
            let surveyed = plan.tensors.filter { $0.plannedRule != nil }
            let groups = TensorGroup.split(surveyed, limit: plan.memory.groupByteCount)
            for pass in 0..<survey.passCount {
                let isNeeded = survey.needs(pass: pass)
                for group in groups {
                    guard isNeeded, survey.readsModels else {
                        skip(group.tensors)
                        continue
                    }
                    try forEachChunk(of: try load(group)) { _, chunk in survey.observe(chunk, pass: pass) }
                }
                if isNeeded { survey.finish(pass: pass) }
            }
        }
        let elementwise = plan.tensors.filter { $0.isElementwise && isInPart($0) }
        for group in TensorGroup.split(elementwise, limit: plan.memory.groupByteCount) {
            try merge(group, after: survey)
        }
        try mergeMatrices(after: survey)
        try mergeGroups()
    }

    private func merge(_ group: TensorGroup, after survey: (any MergeSurvey)?) throws {
        let tensors = try load(group) { $0.plannedRule?.make(survey) }
        let passCount = tensors.map { $0.rule?.survey?.passCount ?? 0 }.max() ?? 0
        for pass in 0..<passCount {
            var surveyed = tensors.filter { pass < $0.rule?.survey?.passCount ?? 0 }
            let isOver = surveyed.partition { $0.rule?.survey?.needs(pass: pass) == false }
            skip(surveyed[isOver...].map(\.planned))
            surveyed.removeSubrange(isOver...)
            try forEachChunk(of: surveyed) { tensor, chunk in tensor.rule?.survey?.observe(chunk, pass: pass) }
            parallel(count: surveyed.count, threads: plan.memory.elementwiseThreads) { [surveyed] place in
                surveyed[place].rule?.survey?.finish(pass: pass)
            }
        }
        try forEachChunk(of: tensors) { tensor, chunk in
            guard let rule = tensor.rule else { return }
            if tensor.planned.needsDouble {
                try merge(chunk, of: tensor, in: Double.self) { rule.merge($0) }
            } else {
                try merge(chunk, of: tensor, in: Float.self) { rule.merge($0) }
            }
        }
    }

    /// Merges a chunk block by block and writes it piece by piece.
    private func merge<T: ElementwiseScalar>(
        _ chunk: MergeChunk, of tensor: LoadedTensor, in scalar: T.Type, _ mergeBlock: (MergeBlock<T>) -> Void
    ) throws {
        let rowCount = tensor.planned.plannedRule?.scratchRowCount ?? 0
        try withUnsafeTemporaryAllocation(of: InputTally.self, capacity: plan.models.count) { tallies in
            tallies.initialize(repeating: InputTally(sumsUp: ledger != nil))
            try withUnsafeTemporaryAllocation(of: T.self, capacity: (1 + rowCount) * mergeBlockCapacity) { memory in
                let result = memory.baseAddress!
                try write(chunk.range, of: tensor.planned) { start, count in
                    mergeBlock(
                        MergeBlock(
                            chunk: chunk, offset: start - chunk.range.lowerBound, count: count, result: result,
                            scratch: result + mergeBlockCapacity, tallies: tallies.baseAddress))
                    return UnsafePointer(result)
                }
            }
            log.add(tallies.map(\.count), to: chunk.tensor)
            guard let ledger else { return tensor.doneWith(chunk) }
            for model in tallies.indices {
                let piece = tensor.piece(chunk.range, of: model)
                if let sums = tallies[model].sums(of: chunk.count) {
                    ledger.read(piece, sums: sums, isDone: true)
                } else {
                    try ledger.passed(piece)
                }
            }
        }
    }

    /// Rounds blocks of results to the output type and hands them to the writer.
    ///
    /// - Parameter makeBlock: computes `count` results from a flat index on and says where they are.
    func write<T: ElementwiseScalar>(
        _ range: Range<Int>, of tensor: PlannedTensor,
        _ makeBlock: (_ start: Int, _ count: Int) -> UnsafePointer<T>
    ) throws {
        let dtype = tensor.output.dtype
        let width = dtype.bitWidth / 8
        var finding = TensorFinding(tensor: tensor.output.name)
        var sums = NormSums()
        try withUnsafeTemporaryAllocation(
            byteCount: min(Self.pieceCapacity, range.count) * width, alignment: 64
        ) { piece in
            var pieceStart = range.lowerBound
            while pieceStart < range.upperBound {
                let pieceEnd = min(pieceStart + Self.pieceCapacity, range.upperBound)
                var start = pieceStart
                while start < pieceEnd {
                    let count = min(mergeBlockCapacity, pieceEnd - start)
                    let values = makeBlock(start, count)
                    let stored = UnsafeMutableRawBufferPointer(
                        rebasing: piece[(start - pieceStart) * width..<(start - pieceStart + count) * width])
                    finding.losses += T.write(
                        UnsafeBufferPointer(start: values, count: count), into: stored, as: dtype)
                    // What is finite where it is stored was so before.
                    let bytes = UnsafeRawBufferPointer(stored)
                    let isFinite = ledger == nil ? !hasNonFinite(bytes, dtype) : sums.add(bytes, dtype)
                    if !isFinite {
                        let (nan, infinite) = countNonFinite(values, count: count)
                        finding.nanCount += nan
                        finding.infinityCount += infinite
                    }
                    start += count
                }
                let bytes = UnsafeRawBufferPointer(rebasing: piece[..<((pieceEnd - pieceStart) * width)])
                try writer.write(bytes, tensor: tensor.number, at: pieceStart * width)
                pieceStart = pieceEnd
            }
        }
        log.add(finding, to: tensor.number)
        ledger?.wrote(sums, from: range.lowerBound, of: tensor)
    }

    /// Counts a pass as done that did not come about.
    private func skip(_ tensors: [PlannedTensor]) {
        log.advance(tensors.reduce(0) { $0 + $1.output.byteCount })
    }

    private func load(
        _ group: TensorGroup, _ makeRule: @Sendable (PlannedTensor) -> (any ElementwiseRule)? = { _ in nil }
    ) throws -> [LoadedTensor] {
        try parallelMap(count: group.tensors.count, threads: plan.budget.threads) { place in
            let tensor = group.tensors[place]
            return try LoadedTensor(tensor, of: plan.models, hasBase: plan.hasBase, rule: makeRule(tensor))
        }
    }

    /// Works on the chunks of all tensors of a group in parallel, and has the chunks read that come next.
    private func forEachChunk(
        of tensors: [LoadedTensor], _ body: @Sendable (LoadedTensor, MergeChunk) throws -> Void
    ) throws {
        let chunks = tensors.flatMap { tensor in tensor.chunks.map { (tensor: tensor, range: $0) } }
        let threads = plan.memory.elementwiseThreads
        try parallel(count: chunks.count, threads: threads) { place in
            let (tensor, range) = chunks[place]
            if place + threads < chunks.count {
                let later = chunks[place + threads]
                try later.tensor.withChunk(later.range) { $0.prefetch() }
            }
            try tensor.withChunk(range) { chunk in
                try body(tensor, chunk)
                log.advance(chunk.count * (tensor.planned.output.dtype.bitWidth / 8))
            }
        }
    }

    /// Writes the numbers of a quantised weight that is kept, in the type that it had before.
    private func copy(_ bytes: UnsafeRawBufferPointer, of tensor: PlannedTensor) throws {
        let (before, after) = (tensor.dtypes[0], tensor.output.dtype)
        let (width, newWidth) = (before.bitWidth / 8, after.bitWidth / 8)
        try withUnsafeTemporaryAllocation(byteCount: Self.pieceCapacity * newWidth, alignment: 64) { piece in
            for run in chunkRanges(of: 0..<tensor.output.elementCount, by: Self.pieceCapacity) {
                let numbers = UnsafeRawBufferPointer(rebasing: bytes[run.lowerBound * width..<run.upperBound * width])
                let stored = UnsafeMutableRawBufferPointer(rebasing: piece[..<(run.count * newWidth)])
                let losses = cast(numbers, from: before, to: stored, as: after)
                try writer.write(UnsafeRawBufferPointer(stored), tensor: tensor.number, at: run.lowerBound * newWidth)
                log.add(TensorFinding(tensor: tensor.output.name, losses: losses), to: tensor.number)
            }
        }
    }

    private func copyTensors() throws {
        let tensors = plan.tensors.filter { $0.isCopy && isInPart($0) }
        let gate = MemoryGate(limit: plan.memory.limit ?? Int.max)
        try parallel(count: tensors.count, threads: plan.budget.threads) { place in
            let tensor = tensors[place]
            gate.enter(tensor.decodedByteCount)
            defer { gate.leave(tensor.decodedByteCount) }
            let loaded = try LoadedTensor(tensor, of: plan.models, hasBase: plan.hasBase)
            try loaded.inputs[0].read(0..<loaded.inputs[0].byteCount) { bytes in
                if tensor.output.dtype != tensor.dtypes[0] {
                    try copy(bytes, of: tensor)
                } else if !bytes.isEmpty {
                    try writer.write(bytes, tensor: tensor.number, at: 0)
                }
            }
            try ledger?.copied(loaded)
            log.advance(tensor.output.byteCount)
        }
    }
}
