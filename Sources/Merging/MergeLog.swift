import Synchronization
import TensorCore

/// Collects what happens during a merge, from several threads.
final class MergeLog: Sendable {
    private let plan: MergePlan
    private let progress: @Sendable (Int) -> Void
    private let state = Mutex(State())

    private struct State {
        var doneByteCount = 0
        var findings: [Int: TensorFinding] = [:]
        var remarks: [Int: MergeRemark] = [:]
    }

    init(plan: MergePlan, progress: @escaping @Sendable (Int) -> Void) {
        self.plan = plan
        self.progress = progress
    }

    func advance(_ byteCount: Int) {
        state.withLock {
            $0.doneByteCount += byteCount
            progress($0.doneByteCount)
        }
    }

    func note(_ remark: MergeRemark, on tensor: Int) { state.withLock { $0.remarks[tensor] = remark } }

    func add(_ finding: TensorFinding, to tensor: Int) {
        guard finding.overflowCount + finding.nanCount + finding.infinityCount > 0 else { return }
        state.withLock { state in
            state.findings[tensor, default: TensorFinding(tensor: finding.tensor)].overflowCount +=
                finding.overflowCount
            state.findings[tensor]?.nanCount += finding.nanCount
            state.findings[tensor]?.infinityCount += finding.infinityCount
        }
    }

    /// What was collected, in the order of the tensors.
    func report() -> MergeReport {
        state.withLock { state in
            MergeReport(
                warnings: plan.summary.warnings,
                notes: state.remarks.sorted { $0.key < $1.key }.map { place, remark in
                    TensorNote(tensor: plan.outputs[place].name, remark: remark)
                },
                findings: state.findings.sorted { $0.key < $1.key }.map(\.value)
            ).withWarnings
        }
    }
}

extension MergeReport {
    /// The report with a line for each kind of finding.
    var withWarnings: MergeReport {
        var report = self
        func warn(_ count: Int, one: String, many: String) {
            if count > 0 { report.warnings.append(count == 1 ? "1 number \(one)" : "\(count) numbers \(many)") }
        }
        let overflow = "too large for the output type and became infinite"
        warn(overflowCount, one: "was \(overflow)", many: "were \(overflow)")
        warn(nanCount, one: "of the result is NaN", many: "of the result are NaN")
        warn(infinityCount, one: "of the result is infinite", many: "of the result are infinite")
        for kind in MergeRemark.Kind.allCases {
            let tensors = notes.filter { $0.remark.kind == kind }.map(\.tensor)
            if let first = tensors.first { report.warnings.append(kind.summary(count: tensors.count, first: first)) }
        }
        return report
    }
}
