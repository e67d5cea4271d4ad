// SCE: selects the entries in which the experts differ most, weighs experts by the size of their changes, elects signs.
//
//     select     the int(select_topk · v) entries with the largest variance over the experts; v of them vary at all
//     calculate  c_i = mean of the squared selected entries of τ_i, divided by Σ c_i; 1/N each where Σ c_i < 10⁻⁶
//     erase      entries whose sign is not that of the sum over the experts
//     θ = θ₀ + λ Σ c_i τ̂_i / max(Σ c_i of what is left, 10⁻⁶)
//
// Wan et al. 2024, "FuseChat", arXiv:2408.07990, as mergekit 0.1.5 does it, tensor by tensor; 1 selects all, 0 none. The changes of
// fine-tuned language models are mostly so small that the 10⁻⁶ makes all weights the same. Of equal variances the first in
// memory are selected; variances are compared in F32. Passes over the inputs: one to weigh and one to merge; with a selection
// below 1 two before them, to count and to select.

import Kernels
import Synchronization
import TensorCore

struct SCE: MergeMethod {
    private static let selectTopk = ParameterKey(
        "select_topk", default: 1.0, range: 0...1,
        help: "Share of the entries that vary between experts which is selected.")

    let info = MethodInfo(
        name: "sce", summary: "Changes in which the experts differ most, weighted by size, with elected signs.",
        paper: "Wan et al. 2024, arXiv:2408.07990", needsBase: true,
        parameters: [selectTopk, ParameterKey.lambda])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            let share = try arguments[Self.selectTopk]
            let lambda = try arguments[.lambda]
            rules.append(
                .surveyed { _ in
                    let selection = VarianceSelection(
                        share: share, expertCount: arguments.expertCount, elementCount: tensor.elementCount)
                    return SelectiveSum(selection: selection, lambda: lambda)
                })
        }
        return MergeAssignment(rules: rules)
    }
}

/// Which entries are selected, and what each expert weighs.
final class VarianceSelection: MergeSurvey {
    private let share: Double
    private let expertCount: Int
    private let elementCount: Int
    /// The search as it is when all entries vary: what it costs at most.
    private let largestSearch: LargestEntries
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
        largestSearch = Self.search(share: share, of: elementCount, elementCount: elementCount)
    }

    private static func search(share: Double, of count: Int, elementCount: Int) -> LargestEntries {
        // In F32, as a tensor times a number is in PyTorch: of 100 entries 0.29 are 29, in F64 28.
        let wanted = min(count, Int(Float(count) * Float(share)))
        return LargestEntries(
            counts: [share < 1 ? wanted : nil], elementCount: elementCount, equals: .firstInTensor)
    }

    private var isSelecting: Bool { share < 1 }

    /// Counting, selecting, weighing.
    var passCount: Int { largestSearch.passCount + (isSelecting ? 2 : 1) }
    var readingCount: Int { largestSearch.readingCount + (isSelecting ? 2 : 1) }
    var byteCount: Int { largestSearch.byteCount }
    var scratchByteCount: Int {
        largestSearch.scratchByteCount + (expertCount + 3) * mergeBlockCapacity * MemoryLayout<Double>.stride
    }

    func needs(pass: Int) -> Bool {
        pass == 0 || pass == passCount - 1 || state.withLock { $0.entries }?.isSearching == true
    }

    /// What each expert weighs, after all passes.
    var weights: [Double] { state.withLock { $0.weights } }

    /// Which variances are selected.
    var cut: MagnitudeCut { state.withLock { $0.entries }?.cuts[0] ?? .all }

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
            var unvarying = 0
            VarianceStream<T>.with(self, chunk) { stream in
                chunk.forEachBlock { offset, count in
                    let variances = stream.read(0, from: offset, count: count)
                    var zeros: UInt32 = 0
                    for i in 0..<count { zeros &+= variances[i].zeroBit }
                    unvarying += Int(zeros)
                }
            }
            state.withLock { [unvarying] in $0.varyingCount += chunk.count - unvarying }
        } else if let entries = state.withLock({ $0.entries }) {
            VarianceStream<T>.with(self, chunk) { entries.observe(&$0) }
        }
    }

    private func addSquares<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type) {
        var squares = [Double](repeating: 0, count: expertCount)
        let cut = cut
        VarianceStream<T>.with(self, chunk) { stream in
            chunk.forEachBlock { offset, count in
                let variances = stream.read(0, from: offset, count: count)
                let start = chunk.range.lowerBound + offset
                for (expert, taskVector) in stream.taskVectors.enumerated() {
                    if isSelecting { cut.keep(taskVector, by: variances, from: start, count: count) }
                    squares[expert] += innerProduct(taskVector, taskVector, count: count)
                }
            }
        }
        state.withLock { [squares] in $0.squares[chunk.number] = squares }
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
                state.entries = Self.search(share: share, of: state.varyingCount, elementCount: elementCount)
            }
        } else {
            state.withLock { $0.entries }?.finishPass()
        }
    }

    /// Reads the task vectors of a block, and their variance where there is a selection.
    @inline(__always)
    func read<T>(
        _ block: MergeBlock<T>, base: UnsafePointer<T>, into taskVectors: [UnsafeMutablePointer<T>],
        variances: UnsafeMutablePointer<T>, mean: UnsafeMutablePointer<T>
    ) {
        for (expert, taskVector) in taskVectors.enumerated() {
            block.readTaskVector(expert, base: base, into: taskVector)
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
}

/// The variances of a chunk's task vectors, read block by block into the same memory.
private struct VarianceStream<Scalar: ElementwiseScalar>: NumberStreams {
    let chunk: MergeChunk
    private let selection: VarianceSelection
    private let memory: UnsafeMutablePointer<Scalar>
    /// What the last block was made of.
    let taskVectors: [UnsafeMutablePointer<Scalar>]

    static func with<R>(
        _ selection: VarianceSelection, _ chunk: MergeChunk, _ body: (inout VarianceStream) throws -> R
    ) rethrows -> R {
        let rowCount = chunk.experts.count + 3
        return try withUnsafeTemporaryAllocation(of: Scalar.self, capacity: rowCount * mergeBlockCapacity) { memory in
            let memory = memory.baseAddress!
            var stream = VarianceStream(
                chunk: chunk, selection: selection, memory: memory,
                taskVectors: chunk.experts.indices.map { memory + ($0 + 3) * mergeBlockCapacity })
            return try body(&stream)
        }
    }

    mutating func read(_ stream: Int, from offset: Int, count: Int) -> UnsafePointer<Scalar> {
        let block = MergeBlock(
            chunk: chunk, offset: offset, count: count, result: memory, scratch: memory + mergeBlockCapacity)
        block.readBase(into: block.row(0))
        selection.read(block, base: block.row(0), into: taskVectors, variances: memory, mean: block.row(1))
        return UnsafePointer(memory)
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
        let cut = selection.cut
        if !cut.isKeepingAll {
            for taskVector in taskVectors { cut.keep(taskVector, by: variances, from: block.start, count: count) }
        }
        sumUp(taskVectors, into: sum, count: count)
        block.result.update(repeating: 0, count: count)
        divisor.update(repeating: 0, count: count)
        for (expert, weight) in selection.weights.enumerated() {
            addAgreeing(
                taskVectors[expert], sum: sum, times: T(weight), weight: T(weight), to: block.result, divisor,
                count: count)
        }
        for i in 0..<count { block.result[i] = block.result[i] / (divisor[i] < 1e-6 ? 1e-6 : divisor[i]) }
        scale(block.result, by: T(lambda), addingTo: base, unlessNaN: sum, count: count)
    }
}
