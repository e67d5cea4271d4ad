import Kernels
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
        /// By tensor and number of the matrix.
        var remarks: [Int: [Int: MergeRemark]] = [:]
        /// For tensors in which a model holds NaN or infinities, how many every model holds.
        var inputs: [Int: [NonFiniteCount]] = [:]
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

    /// Takes a remark on a tensor, or on one matrix of a stack.
    func note(_ remark: MergeRemark, on tensor: Int, number: Int = 0) {
        state.withLock { $0.remarks[tensor, default: [:]][number] = remark }
    }

    /// Adds what was counted in a part of a tensor, in every model that is read.
    func add(_ counts: [NonFiniteCount], to tensor: Int) {
        guard counts.contains(where: { !$0.isZero }) else { return }
        state.withLock { state in
            var sums = state.inputs[tensor] ?? counts.map { _ in NonFiniteCount() }
            for model in counts.indices { sums[model] += counts[model] }
            state.inputs[tensor] = sums
        }
    }

    /// The models in which a tensor holds NaN or infinities, as far as it was read.
    func notFinite(in tensor: Int) -> [NonFiniteTensor] {
        let counts = state.withLock { $0.inputs[tensor] ?? [] }
        return zip(plan.tensors[tensor].readModels, counts).filter { !$1.isZero }.map { place, count in
            let (model, index) = (plan.models[place], plan.tensors[tensor].indices[place])
            return NonFiniteTensor(
                model: model.name, file: model.store.reader.location(of: index).file.string,
                tensor: model.storedName(of: index), count: count)
        }
    }

    func add(_ finding: TensorFinding, to tensor: Int) {
        guard !finding.losses.isZero || finding.nanCount + finding.infinityCount > 0 else { return }
        state.withLock { state in
            state.findings[tensor, default: TensorFinding(tensor: finding.tensor)].losses += finding.losses
            state.findings[tensor]?.nanCount += finding.nanCount
            state.findings[tensor]?.infinityCount += finding.infinityCount
        }
    }

    /// What was collected, in the order of the tensors.
    func report() -> MergeReport {
        let inputs = state.withLock { $0.inputs.keys.sorted() }.flatMap(notFinite)
        return state.withLock { state in
            MergeReport(
                warnings: plan.summary.warnings,
                notes: state.remarks.sorted { $0.key < $1.key }.compactMap { place, remarks in
                    MergeRemark(remarks, of: plan.outputs[place]).map {
                        TensorNote(tensor: plan.outputs[place].name, remark: $0)
                    }
                },
                findings: state.findings.sorted { $0.key < $1.key }.map(\.value), notFinite: inputs
            ).withWarnings
        }
    }
}

extension MergeReport {
    /// The report with lines about inputs that are not finite, and one for each kind of finding.
    var withWarnings: MergeReport {
        var report = self
        report.warnings += notFinite.warnings
        func warn(_ code: MergeWarning, _ count: Int, one: String, many: String) {
            guard count > 0 else { return }
            report.warnings.append(Warning(code, count == 1 ? "1 number \(one)" : "\(count) numbers \(many)"))
        }
        let overflow = "too large for the output type and became infinite"
        warn(.overflow, losses.overflowCount, one: "was \(overflow)", many: "were \(overflow)")
        let underflow = "too small for the output type and became zero"
        warn(.underflow, losses.underflowCount, one: "was \(underflow)", many: "were \(underflow)")
        warn(.nan, nanCount, one: "of the result is NaN", many: "of the result are NaN")
        warn(.infinity, infinityCount, one: "of the result is infinite", many: "of the result are infinite")
        for kind in MergeRemark.Kind.allCases {
            let tensors = notes.filter { $0.remark.kind == kind }.map(\.tensor)
            guard let first = tensors.first else { continue }
            report.warnings.append(kind.summary(count: tensors.count, first: first))
        }
        return report
    }
}
