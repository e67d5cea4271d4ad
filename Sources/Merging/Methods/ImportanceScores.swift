import Kernels
import Synchronization
import TensorCore

/// The importance of every entry of a tensor, and the least that counts.
final class ImportanceScores: MergeSurvey {
    private let rowLength: Int
    private let elementCount: Int
    private let state: Mutex<State>

    private struct State {
        /// Of rows that lie in several chunks, by chunk.
        var pieces: [Int: [Int: RowSums]] = [:]
        /// Of such rows.
        var sums: [Int: RowSums] = [:]
        /// K of every row.
        var divergences: [Double] = []
        /// A quarter, half and three quarters of the scores.
        var quartiles: NumberSelection
        var threshold = Float.infinity

        mutating func makeRoom(rowCount: Int) {
            if divergences.isEmpty { divergences = Array(repeating: 0, count: rowCount) }
        }
    }

    /// Σ exp(v − largest) of a row of both models, then Σ p ln(p / q).
    fileprivate struct RowSums {
        var model = ExponentialSum()
        var base = ExponentialSum()
        var divergence = 0.0

        mutating func add(_ other: RowSums) {
            model.add(other.model)
            base.add(other.base)
        }
    }

    init(rowLength: Int, elementCount: Int) {
        self.rowLength = rowLength
        self.elementCount = elementCount
        // In F32, as there.
        let places = [0.25, 0.5, 0.75].map { (share: Float) in
            max(0, min(elementCount - 1, Int(share * Float(elementCount - 1))))
        }
        state = Mutex(State(quartiles: NumberSelection(places: places)))
    }

    /// Rows, sums and divergences, with upper halves of scores; divergences and upper halves of rows that are not whole in a chunk; lower halves.
    var passCount: Int { 4 }
    var byteCount: Int {
        // At most two rows of a chunk are not whole, unless all are long.
        let cutRowCount = min(rowCount, 2 * (elementCount / MergeChunk.capacity + 1))
        return 8 * rowCount + 4 * cutRowCount * MemoryLayout<RowSums>.stride
            + NumberSelection.byteCount(placeCount: 3)
    }
    var scratchByteCount: Int {
        let row = hasShortRows ? rowLength : 0
        return (2 * max(mergeBlockCapacity, row) + mergeBlockCapacity + 3 * row) * MemoryLayout<Double>.stride
            + 8 * min(rowCount, MergeChunk.capacity / rowLength + 2)
            + NumberSelection.counterCount(placeCount: 3) * MemoryLayout<UInt32>.stride
    }

    private var rowCount: Int { elementCount / rowLength }

    func needs(pass: Int) -> Bool { elementCount > 0 }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if chunk.needsDouble {
            observe(chunk, pass: pass, in: Double.self)
        } else {
            observe(chunk, pass: pass, in: Float.self)
        }
    }

    private func observe<T: ElementwiseScalar>(_ chunk: MergeChunk, pass: Int, in scalar: T.Type) {
        let capacity = hasShortRows ? max(mergeBlockCapacity, rowLength) : mergeBlockCapacity
        withUnsafeTemporaryAllocation(of: T.self, capacity: 2 * capacity) { memory in
            guard let base = memory.baseAddress else { return }
            let model = base + capacity
            func read(_ elements: Range<Int>) {
                let block = MergeBlock(
                    chunk: chunk, offset: elements.lowerBound - chunk.range.lowerBound, count: elements.count,
                    result: base, scratch: model)
                block.readBase(into: base)
                block.readExpert(0, into: model)
            }
            let (rows, rest) = parts(of: chunk.range)
            switch pass {
            case 0:
                observeWhole(rows, base: base, model: model, read)
                for part in rest { observePieces(part, chunk.number, pass: pass, base: base, model: model, read) }
            case 1: for part in rest { observePieces(part, chunk.number, pass: pass, base: base, model: model, read) }
            case 2: observeScores(rest, base: base, model: model, read)
            default: observeScores([chunk.range], base: base, model: model, read)
            }
        }
    }

    // MARK: - Rows

    /// Rows of which the exponentials of both models are kept; longer ones, and those that lie in several chunks, take two passes.
    private static let longestShortRow = 1 << 14
    private var hasShortRows: Bool { rowLength <= Self.longestShortRow }

    /// The rows that lie in a range as a whole and are short, and the other elements.
    private func parts(of range: Range<Int>) -> (rows: Range<Int>, rest: [Range<Int>]) {
        let (first, end) = ((range.lowerBound + rowLength - 1) / rowLength, range.upperBound / rowLength)
        guard hasShortRows, first < end else { return (first..<first, [range]) }
        let rest = [range.lowerBound..<first * rowLength, end * rowLength..<range.upperBound]
        return (first..<end, rest.filter { !$0.isEmpty })
    }

    /// Divergences of whole rows, and the upper halves of their scores while they are in the cache.
    private func observeWhole<T: ElementwiseScalar>(
        _ rows: Range<Int>, base: UnsafePointer<T>, model: UnsafePointer<T>, _ read: (Range<Int>) -> Void
    ) {
        guard !rows.isEmpty else { return }
        let rowsAtOnce = max(1, mergeBlockCapacity / rowLength)
        let counter = state.withLock(\.quartiles.counter)
        var found: [Double] = []
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 3 * rowLength) { space in
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: counter.count) { counts in
                guard let space = space.baseAddress, let counts = counts.baseAddress else { return }
                counts.initialize(repeating: 0, count: counter.count)
                for start in stride(from: rows.lowerBound, to: rows.upperBound, by: rowsAtOnce) {
                    let end = min(start + rowsAtOnce, rows.upperBound)
                    read(start * rowLength..<end * rowLength)
                    for row in 0..<end - start {
                        let (x, y) = (model + row * rowLength, base + row * rowLength)
                        let divergence = T.rowDivergence(of: x, from: y, count: rowLength, space: space)
                        found.append(divergence)
                        (space + 2 * rowLength).withMemoryRebound(to: Float.self, capacity: rowLength) { scores in
                            T.scaledDistance(x, y, count: rowLength, scale: divergence, into: scores)
                            counter.count(scores, count: rowLength, into: counts)
                        }
                    }
                }
                state.withLock { [found] state in
                    state.makeRoom(rowCount: rowCount)
                    state.divergences.replaceSubrange(rows, with: found)
                    state.quartiles.absorb(counts)
                }
            }
        }
    }

    /// Sums, then divergences, of parts of rows.
    private func observePieces<T: ElementwiseScalar>(
        _ range: Range<Int>, _ number: Int, pass: Int, base: UnsafePointer<T>, model: UnsafePointer<T>,
        _ read: (Range<Int>) -> Void
    ) {
        let known = pass == 0 ? [:] : state.withLock { $0.sums }
        var found: [Int: RowSums] = [:]
        for block in chunkRanges(of: range, by: mergeBlockCapacity) {
            read(block)
            var start = block.lowerBound
            while start < block.upperBound {
                let row = start / rowLength
                let end = min(block.upperBound, (row + 1) * rowLength)
                let (x, y) = (model + (start - block.lowerBound), base + (start - block.lowerBound))
                if pass == 0 {
                    found[row, default: RowSums()].model.add(x, count: end - start)
                    found[row, default: RowSums()].base.add(y, count: end - start)
                } else if let sums = known[row] {
                    found[row, default: RowSums()].divergence += divergence(
                        of: x, from: y, count: end - start, sums: sums.model, sums.base)
                }
                start = end
            }
        }
        state.withLock { [found] state in
            state.makeRoom(rowCount: rowCount)
            for (row, sums) in found { state.pieces[row, default: [:]][number] = sums }
        }
    }

    // MARK: - Scores

    private func observeScores<T: ElementwiseScalar>(
        _ ranges: [Range<Int>], base: UnsafePointer<T>, model: UnsafePointer<T>, _ read: (Range<Int>) -> Void
    ) {
        guard !ranges.isEmpty else { return }
        let (divergences, counter) = state.withLock { ($0.divergences, $0.quartiles.counter) }
        withUnsafeTemporaryAllocation(of: Float.self, capacity: mergeBlockCapacity) { scores in
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: counter.count) { counts in
                guard let scores = scores.baseAddress, let counts = counts.baseAddress else { return }
                counts.initialize(repeating: 0, count: counter.count)
                for block in ranges.flatMap({ chunkRanges(of: $0, by: mergeBlockCapacity) }) {
                    read(block)
                    fill(scores, from: block.lowerBound, count: block.count, base: base, model: model, divergences)
                    counter.count(scores, count: block.count, into: counts)
                }
                state.withLock { $0.quartiles.absorb(counts) }
            }
        }
    }

    /// The scores of a run of entries.
    func fill<T: ElementwiseScalar>(
        _ scores: UnsafeMutablePointer<Float>, from start: Int, count: Int, base: UnsafePointer<T>,
        model: UnsafePointer<T>, _ divergences: [Double]
    ) {
        var place = 0
        while place < count {
            let row = (start + place) / rowLength
            let end = min(count, (row + 1) * rowLength - start)
            T.scaledDistance(
                model + place, base + place, count: end - place, scale: divergences[row], into: scores + place)
            place = end
        }
    }

    func finish(pass: Int) {
        state.withLock { state in
            switch pass {
            case 0, 1:
                for (row, pieces) in state.pieces {
                    for (_, piece) in pieces.sorted(by: { $0.key < $1.key }) {
                        if pass == 0 {
                            state.sums[row, default: RowSums()].add(piece)
                        } else {
                            state.divergences[row] += piece.divergence
                        }
                    }
                }
                state.pieces = [:]
                if pass == 1 { state.sums = [:] }
            default:
                state.quartiles.finishPass()
                if pass == 3 {
                    let quartiles = state.quartiles.values
                    state.threshold = quartiles[1] + 1.5 * (quartiles[2] - quartiles[0])
                }
            }
        }
    }

    /// K of every row and the least score that counts, after all passes.
    var result: (divergences: [Double], threshold: Float) {
        state.withLock { ($0.divergences, $0.threshold) }
    }
}
