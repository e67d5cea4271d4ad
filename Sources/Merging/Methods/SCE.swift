// SCE: selects the entries in which the experts differ most, weighs experts by the size of their changes, elects signs.
//
//     select     the int(select_topk · v) entries with the largest variance over the experts; v of them vary at all
//     calculate  c_i = mean of the squared selected entries of τ_i, divided by Σ c_i; 1/N each where Σ c_i < 10⁻⁶
//     erase      entries whose sign is not that of the sum over the experts
//     θ = θ₀ + λ Σ c_i τ̂_i / max(Σ c_i of what is left, 10⁻⁶)
//
// Wan et al. 2024, "FuseChat", arXiv:2408.07990, as mergekit 0.1.5 does it, tensor by tensor; 1 selects all, 0 none. The changes of
// fine-tuned language models are mostly so small that the 10⁻⁶ makes all weights the same. Of equal variances the first in
// memory are selected; variances are compared in F32. Passes: one to weigh and count, with a selection below 1 five more, one
// to merge.

import Kernels
import Synchronization
import TensorCore

struct SCE: MergeMethod {
    let info = MethodInfo(
        name: "sce", summary: "Changes in which the experts differ most, weighted by size, with elected signs.",
        paper: "Wan et al. 2024, arXiv:2408.07990", needsBase: true,
        parameters: [
            ParameterSpec(
                "select_topk", .number, default: .number(1), range: 0...1,
                help: "Share of the entries that vary between experts which is selected."),
            .lambda,
        ])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            let share = try arguments.number("select_topk")
            let survey = VarianceSelection(
                share: share, expertCount: arguments.expertCount, elementCount: tensor.elementCount)
            rules.append(.elementwise(SelectiveSum(selection: survey, lambda: try arguments.number("lambda"))))
        }
        return MergeAssignment(rules: rules)
    }
}

/// Which entries are selected, and what each expert weighs.
final class VarianceSelection: MergeSurvey {
    private let share: Double
    private let expertCount: Int
    private let elementCount: Int
    private let state = Mutex(State())

    private struct State {
        /// Made once it is known how many entries vary.
        var entries: LargestEntries?
        var varyingCount = 0
        /// By chunk, for each expert the sum of squares of the selected entries.
        var squares: [Int: [Double]] = [:]
        var weights: [Double] = []
    }

    init(share: Double, expertCount: Int, elementCount: Int) {
        self.share = share
        self.expertCount = expertCount
        self.elementCount = elementCount
    }

    private var isSelecting: Bool { share < 1 }

    /// Counting, selecting, weighing.
    var passCount: Int { isSelecting ? LargestEntries.passCount + 2 : 1 }
    var byteCount: Int { isSelecting ? MagnitudeSelection.binCount * 8 : 0 }

    /// What each expert weighs, after all passes.
    var weights: [Double] { state.withLock { $0.weights } }

    /// Which variances are selected.
    var cut: LargestEntries.Cut { state.withLock { $0.entries }?.cuts[0] ?? .all }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if chunk.needsDouble {
            observe(chunk, pass: pass, in: Double.self)
        } else {
            observe(chunk, pass: pass, in: Float.self)
        }
    }

    private func observe<T: ElementwiseScalar>(_ chunk: MergeChunk, pass: Int, in scalar: T.Type) {
        if pass == passCount - 1 {
            addSquares(chunk, in: T.self)
        } else if pass == 0 {
            var varying = 0
            forEachBlock(of: chunk, in: T.self) { _, count, variances, _ in
                for i in 0..<count where variances[i] != 0 { varying += 1 }
            }
            state.withLock { $0.varyingCount += varying }
        } else if let entries = state.withLock({ $0.entries }) {
            entries.observe(chunk.number, pass: pass - 1, stream: 0) { body in
                forEachBlock(of: chunk, in: T.self) { start, count, variances, _ in body(start, count, variances) }
            }
        }
    }

    private func addSquares<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type) {
        var squares = [Double](repeating: 0, count: expertCount)
        let cut = cut
        forEachBlock(of: chunk, in: T.self) { start, count, variances, taskVectors in
            keep(cut, variances: variances, start: start, of: taskVectors, count: count)
            for expert in taskVectors.indices {
                squares[expert] += innerProduct(taskVectors[expert], taskVectors[expert], count: count)
            }
        }
        state.withLock { $0.squares[chunk.number] = squares }
    }

    func finish(pass: Int) {
        if pass == passCount - 1 {
            state.withLock { state in
                var sums = [Double](repeating: 0, count: expertCount)
                for (_, squares) in state.squares.sorted(by: { $0.key < $1.key }) {
                    for expert in sums.indices { sums[expert] += squares[expert] }
                }
                let means = sums.map { $0 / Double(max(elementCount, 1)) }
                let total = means.reduce(0, +)
                state.weights = means.map { total < 1e-6 ? 1 / Double(expertCount) : $0 / total }
                state.squares = [:]
            }
        } else if pass == 0 {
            state.withLock { state in
                state.entries = LargestEntries(counts: [Int(Double(state.varyingCount) * share)])
            }
        } else {
            state.withLock { $0.entries }?.finish(pass: pass - 1)
        }
    }

    /// Calls `body` with every block's first flat index, length, variances and task vectors.
    private func forEachBlock<T: ElementwiseScalar>(
        of chunk: MergeChunk, in scalar: T.Type,
        _ body: (Int, Int, UnsafePointer<T>, [UnsafeMutablePointer<T>]) -> Void
    ) {
        withUnsafeTemporaryAllocation(of: T.self, capacity: (expertCount + 3) * mergeBlockCapacity) { memory in
            let variances = memory.baseAddress!
            chunk.forEachBlock { offset, count in
                let block = MergeBlock(
                    chunk: chunk, offset: offset, count: count, result: variances,
                    scratch: variances + mergeBlockCapacity)
                let taskVectors = (0..<expertCount).map { block.row(2 + $0) }
                block.readBase(into: block.row(0))
                read(block, base: block.row(0), into: taskVectors, variances: variances, mean: block.row(1))
                body(block.start, count, variances, taskVectors)
            }
        }
    }

    /// Reads the task vectors of a block, and their variance where there is a selection.
    @inline(__always)
    func read<T>(
        _ block: MergeBlock<T>, base: UnsafePointer<T>, into taskVectors: [UnsafeMutablePointer<T>],
        variances: UnsafeMutablePointer<T>, mean: UnsafeMutablePointer<T>
    ) {
        for (expert, taskVector) in taskVectors.enumerated() {
            block.readExpert(expert, into: taskVector)
            subtract(base, from: taskVector, count: block.count)
        }
        guard isSelecting else { return }
        sumUp(taskVectors, into: mean, count: block.count)
        divide(mean, by: T(expertCount), count: block.count)
        variances.update(repeating: 0, count: block.count)
        for taskVector in taskVectors {
            for i in 0..<block.count {
                let distance = taskVector[i] - mean[i]
                variances[i] += distance * distance
            }
        }
        divide(variances, by: T(expertCount), count: block.count)
    }

    /// Sets the entries to zero that are not selected.
    @inline(__always)
    func keep<T: ElementwiseScalar>(
        _ cut: LargestEntries.Cut, variances: UnsafePointer<T>, start: Int, of taskVectors: [UnsafeMutablePointer<T>],
        count: Int
    ) {
        guard isSelecting else { return }
        for taskVector in taskVectors {
            for i in 0..<count {
                taskVector[i] = cut.contains(variances[i].magnitudeKey, at: start + i) ? taskVector[i] : 0
            }
        }
    }
}

/// θ₀ + the weighted mean of the selected entries that agree with the sign of their sum.
struct SelectiveSum: ElementwiseRule {
    let selection: VarianceSelection
    let lambda: Double

    var survey: (any MergeSurvey)? { selection }
    func scratchRowCount(expertCount: Int) -> Int { expertCount + 4 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let count = block.count
        let (base, sum, variances, divisor) = (block.row(0), block.row(1), block.row(2), block.row(3))
        let taskVectors = (0..<block.expertCount).map { block.row(4 + $0) }
        block.readBase(into: base)
        selection.read(block, base: base, into: taskVectors, variances: variances, mean: sum)
        selection.keep(selection.cut, variances: variances, start: block.start, of: taskVectors, count: count)
        sumUp(taskVectors, into: sum, count: count)
        block.result.update(repeating: 0, count: count)
        divisor.update(repeating: 0, count: count)
        for (expert, weight) in selection.weights.enumerated() {
            let taskVector = taskVectors[expert]
            let weight = T(weight)
            for i in 0..<count {
                let agrees = sum[i] >= 0 ? taskVector[i] > 0 : taskVector[i] < 0
                block.result[i] += agrees ? weight * taskVector[i] : 0
                divisor[i] += agrees ? weight : 0
            }
        }
        let lambda = T(lambda)
        for i in 0..<count {
            let change = lambda * block.result[i] / (divisor[i] < 1e-6 ? 1e-6 : divisor[i])
            // NaN has no sign and would be lost in the election.
            block.result[i] = sum[i] == sum[i] ? base[i] + change : sum[i]
        }
    }
}
