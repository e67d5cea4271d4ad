import Kernels
import Synchronization

/// Keeps the largest entries of each expert's task vector, over one tensor or over the whole model.
///
/// Two passes find the magnitude of the last entry that is kept. Of the entries that have just this magnitude, either all
/// stay, or as many as are wanted in the order of memory; then two more passes find where the last of them lies.
final class MagnitudeTrim: MergeSurvey {
    /// What happens to entries of the very magnitude of the last one kept.
    enum Ties { case all, firstInTensor }

    private let ties: Ties
    /// How many entries each expert keeps; nil keeps all.
    private let keepCounts: [Int?]
    private let state: Mutex<State>

    private struct State {
        var selections: [MagnitudeSelection?]
        var cuts: [Cut]
        /// For each expert whose equal magnitudes must be told apart: how many lie in each chunk, later in which chunk and
        /// after how many more the last kept one comes.
        var equalCounts: [[Int: Int]]
        var search: [Search?]
    }

    private struct Search {
        var chunk: Int
        var remaining: Int
    }

    /// Which entries of an expert stay: those above the key, and those that equal it up to a flat index.
    struct Cut: Sendable {
        var key: UInt32 = 0
        var lastEqualIndex = Int.max
        var isKeepingAll = true
    }

    /// - Parameters:
    ///   - elementCount: n, the entries that the shares in `densities` refer to.
    ///   - ties: with `all`, what is looked for is the (int(density · n) + 1)-th largest magnitude, as in the authors' code.
    init(densities: [Double], elementCount: Int, ties: Ties) {
        self.ties = ties
        keepCounts = densities.map { density in
            guard density < 1, elementCount > 0 else { return nil }
            let share = Int(density * Double(elementCount))
            return min(elementCount, ties == .all ? share + 1 : max(1, share))
        }
        state = Mutex(
            State(
                selections: keepCounts.map { $0.map { MagnitudeSelection(rank: $0) } },
                cuts: keepCounts.map { Cut(isKeepingAll: $0 == nil) },
                equalCounts: Array(repeating: [:], count: densities.count),
                search: Array(repeating: nil, count: densities.count)))
    }

    /// The last two passes read only what they need, nothing at all when no equal magnitudes must be told apart.
    var passCount: Int { ties == .all ? 2 : 4 }

    var byteCount: Int { keepCounts.count { $0 != nil } * MagnitudeSelection.binCount * 8 }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if chunk.needsDouble {
            observe(chunk, pass: pass, in: Double.self)
        } else {
            observe(chunk, pass: pass, in: Float.self)
        }
    }

    func finish(pass: Int) {
        state.withLock { state in
            for expert in keepCounts.indices {
                guard let keepCount = keepCounts[expert] else { continue }
                switch pass {
                case 0: state.selections[expert]?.finishPass()
                case 1:
                    state.selections[expert]?.finishPass()
                    guard let found = state.selections[expert]?.result else { continue }
                    state.selections[expert] = nil
                    state.cuts[expert].key = found.key
                    let wanted = keepCount - found.largerCount
                    if ties == .firstInTensor, wanted < found.equalCount {
                        state.search[expert] = Search(chunk: -1, remaining: wanted)
                    }
                case 2: Self.locateChunk(expert, in: &state)
                default: state.search[expert] = nil
                }
            }
        }
    }

    private static func locateChunk(_ expert: Int, in state: inout State) {
        guard var search = state.search[expert] else { return }
        for (chunk, count) in state.equalCounts[expert].sorted(by: { $0.key < $1.key }) {
            search.chunk = chunk
            if search.remaining <= count { break }
            search.remaining -= count
        }
        state.search[expert] = search
        state.equalCounts[expert] = [:]
    }

    private func observe<T: ElementwiseScalar>(_ chunk: MergeChunk, pass: Int, in scalar: T.Type) {
        let reader = TaskVectorReader<T>(chunk)
        for expert in keepCounts.indices where keepCounts[expert] != nil {
            switch pass {
            case 0, 1: countMagnitudes(expert, reader)
            case 2: countEqual(expert, reader)
            default: findLastEqual(expert, reader)
            }
        }
    }

    private func countMagnitudes<T>(_ expert: Int, _ reader: TaskVectorReader<T>) {
        guard let counter = state.withLock({ $0.selections[expert]?.counter }) else { return }
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: MagnitudeSelection.binCount) { counts in
            counts.initialize(repeating: 0)
            reader.forEachBlock(of: expert) { _, count, values in
                counter.count(values, count: count, into: counts.baseAddress!)
            }
            state.withLock { $0.selections[expert]?.absorb(counts.baseAddress!) }
        }
    }

    private func countEqual<T>(_ expert: Int, _ reader: TaskVectorReader<T>) {
        guard let key = state.withLock({ $0.search[expert] == nil ? nil : $0.cuts[expert].key }) else { return }
        var equal = 0
        reader.forEachBlock(of: expert) { _, count, values in
            // The difference of two keys is below 2^31, so only zero minus 1 has the upper bit.
            var blockEqual: UInt32 = 0
            for i in 0..<count { blockEqual &+= ((values[i].magnitudeKey ^ key) &- 1) >> 31 }
            equal += Int(blockEqual)
        }
        state.withLock { $0.equalCounts[expert][reader.chunk.number] = equal }
    }

    private func findLastEqual<T>(_ expert: Int, _ reader: TaskVectorReader<T>) {
        let (search, key) = state.withLock { ($0.search[expert], $0.cuts[expert].key) }
        guard let search, search.chunk == reader.chunk.number else { return }
        var remaining = search.remaining
        var last = Int.max
        reader.forEachBlock(of: expert) { start, count, values in
            guard remaining > 0 else { return }
            for i in 0..<count where values[i].magnitudeKey == key {
                remaining -= 1
                if remaining == 0 {
                    last = start + i
                    return
                }
            }
        }
        state.withLock { $0.cuts[expert].lastEqualIndex = last }
    }

    /// Reads the trimmed and weighted task vectors w_i τ̂_i of a block, one row for each expert.
    @inline(__always)
    func readVotes<T>(
        of block: MergeBlock<T>, base: UnsafePointer<T>, weights: [Double], into votes: [UnsafeMutablePointer<T>]
    ) {
        let cuts = state.withLock { $0.cuts }
        for expert in weights.indices {
            let vote = votes[expert]
            block.readExpert(expert, into: vote)
            subtract(base, from: vote, count: block.count)
            let weight = T(weights[expert])
            let cut = cuts[expert]
            // Up to `keptEqualCount` entries of the block may equal the key.
            let keptEqualCount =
                cut.lastEqualIndex == Int.max
                ? block.count : min(max(cut.lastEqualIndex + 1 - block.start, 0), block.count)
            if cut.isKeepingAll {
                for i in 0..<block.count { vote[i] = weight * vote[i] }
            } else {
                keep(vote, from: cut.key, weight: weight, in: 0..<keptEqualCount)
                keep(vote, from: cut.key + 1, weight: weight, in: keptEqualCount..<block.count)
            }
        }
    }
}

/// Multiplies by the weight what reaches a magnitude, and clears the rest.
@inline(__always)
private func keep<T: ElementwiseScalar>(_ x: UnsafeMutablePointer<T>, from key: UInt32, weight: T, in range: Range<Int>)
{
    for i in range {
        let stays = isAtLeast(x[i].magnitudeKey, key)
        x[i] = (weight * x[i]).masked(by: stays)
    }
}

/// Reads the task vectors of a chunk block by block.
struct TaskVectorReader<T: ElementwiseScalar> {
    let chunk: MergeChunk

    init(_ chunk: MergeChunk) { self.chunk = chunk }

    /// Calls `body` with the flat index of the first element, the length and the values θ_i − θ₀ of every block.
    @inline(__always)
    func forEachBlock(of expert: Int, _ body: (_ start: Int, _ count: Int, _ values: UnsafePointer<T>) -> Void) {
        withUnsafeTemporaryAllocation(of: T.self, capacity: 2 * mergeBlockCapacity) { memory in
            let values = memory.baseAddress!
            let base = values + mergeBlockCapacity
            chunk.forEachBlock { offset, count in
                let block = MergeBlock(chunk: chunk, offset: offset, count: count, result: values, scratch: base)
                block.readExpert(expert, into: values)
                block.readBase(into: base)
                subtract(base, from: values, count: count)
                body(block.start, count, values)
            }
        }
    }
}
