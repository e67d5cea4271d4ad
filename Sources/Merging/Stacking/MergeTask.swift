import Checkpoints
import Synchronization
import TensorCore

/// A merge to carry out, by itself or together with others.
package struct MergeTask: Sendable {
    let merge: StackedMerge
    let writer: any CheckpointWriter
    let part: Set<Int>?
    let ledger: MergeLedger?

    /// Says where a merge goes.
    ///
    /// - Parameters:
    ///   - writer: made for `outputs` of the merge; the caller finishes it.
    ///   - part: the places among `outputs` of the tensors to merge; nil for all.
    ///   - ledger: told of all that is read and written.
    package init(
        of merge: StackedMerge, into writer: any CheckpointWriter, part: Set<Int>? = nil, ledger: MergeLedger? = nil
    ) {
        self.merge = merge
        self.writer = writer
        self.part = part
        self.ledger = ledger
    }

    /// What `execute` counts up to for the task.
    package var progressByteCount: Int { merge.progressByteCount(of: part) }

    /// Carries merges out in one sweep over their models: what several of them read is read once. Merges of slices go slice by slice.
    ///
    /// - Parameter progress: told, from any thread but one at a time, how many bytes are done of all tasks.
    /// - Returns: the report of each.
    /// - Throws: `MergeError`, and what readers and writers throw; then no task has a result.
    package static func execute(
        _ tasks: [MergeTask], progress: @escaping @Sendable (Int) -> Void
    ) throws -> [MergeReport] {
        let done = Mutex((bytes: tasks.map { _ in 0 }, total: 0))
        var firstTensors = tasks.map { _ in 0 }
        var doneByteCounts = tasks.map { _ in 0 }
        var reports = tasks.map { _ in [MergeReport]() }
        for step in 0..<(tasks.map(\.merge.plans.count).max() ?? 0) {
            let running = tasks.indices.filter { step < tasks[$0].merge.plans.count }
            let lanes = running.map { place in
                let (task, plan, before) = (tasks[place], tasks[place].merge.plans[step], doneByteCounts[place])
                return MergeLane(
                    plan: plan, part: plan.part(task.part, from: firstTensors[place]),
                    writer: WriterSection(of: task.writer, from: firstTensors[place]),
                    log: MergeLog(plan: plan) { count in
                        done.withLock { done in
                            done.total += before + count - done.bytes[place]
                            done.bytes[place] = before + count
                            progress(done.total)
                        }
                    }, ledger: task.ledger)
            }
            try MergeExecution(lanes: lanes).run()
            for (place, lane) in zip(running, lanes) {
                reports[place].append(lane.log.report())
                firstTensors[place] += lane.plan.outputs.count
                doneByteCounts[place] += lane.plan.progressByteCount(of: lane.part)
            }
        }
        return zip(tasks, reports).map { $0.merge.report(of: $1) }
    }
}

extension StackedMerge {
    /// The report of all slices.
    fileprivate func report(of slices: [MergeReport]) -> MergeReport {
        guard slices.count > 1 else { return slices[0] }
        var report = MergeReport(warnings: summary.warnings, notes: [], findings: [], notFinite: [])
        // A layer may be in the result several times.
        var seen: Set<NonFiniteTensor> = []
        for slice in slices {
            report.notes += slice.notes
            report.findings += slice.findings
            report.notFinite += slice.notFinite.filter { seen.insert($0).inserted }
        }
        return report.withWarnings
    }
}

/// The part of a writer's tensors that one of several merges makes.
private final class WriterSection: CheckpointWriter {
    private let writer: any CheckpointWriter
    private let firstTensor: Int

    init(of writer: any CheckpointWriter, from firstTensor: Int) {
        self.writer = writer
        self.firstTensor = firstTensor
    }

    func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        try writer.write(bytes, tensor: firstTensor + tensor, at: offset)
    }

    func finish() throws -> WrittenCheckpoint { preconditionFailure("a section is finished with its writer") }
}
