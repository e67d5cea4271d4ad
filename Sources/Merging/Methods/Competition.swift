import Glibc
import Kernels
import Synchronization

/// How the entries of each expert compare with one another: what magnitudes are clipped at, and which scores count.
///
/// Surveys a model or a tensor: two passes count magnitudes, two more count scores.
final class Competition: MergeSurvey {
    let scoring: Scoring
    private let elementCount: Int
    private let state: Mutex<State>

    /// How an entry is scored.
    struct Scoring: Sendable {
        let expertCount: Int
        let cross: CrossBalance
        let clipRatio: Double
        let ratio: Double

        /// exp(N u²) tanh(…) for one entry in every expert.
        ///
        /// - Shapes: `changes` and `scores` `[N]`.
        @inline(__always)
        func score(_ changes: UnsafePointer<Double>, _ limits: [Limits], into scores: UnsafeMutablePointer<Double>) {
            var sum = 0.0
            for expert in 0..<expertCount {
                let change = changes[expert]
                let unit = limits[expert].unit(change)
                scores[expert] = exp(Double(expertCount) * unit * unit)
                switch cross {
                case .raw: sum += change
                case .unit: sum += change == 0 ? 0 : change < 0 ? -unit : unit
                }
            }
            for expert in 0..<expertCount { scores[expert] *= tanh(changes[expert] * sum) }
        }

        /// A score as it is compared with others.
        static func rounded(_ score: Double) -> Float {
            let most = Double(Float.greatestFiniteMagnitude)
            return Float(min(max(score, -most), most))
        }
    }

    /// What the entries of one expert are measured by.
    struct Limits: Sendable {
        /// Magnitudes are brought between these.
        var least = 0.0
        var most = 0.0
        /// Scores count from the one, which is compared in F32, to the other.
        var lowestScore: Float = 0
        var highestScore = -Double.infinity

        /// Whether some magnitudes are larger than others.
        var isCompeting: Bool { most > least }

        func clipped(_ change: Double) -> Double {
            let magnitude = min(max(abs(change), least), most)
            return change == 0 ? 0 : change < 0 ? -magnitude : magnitude
        }

        func unit(_ change: Double) -> Double {
            isCompeting ? (min(max(abs(change), least), most) - least) / (most - least) : 0
        }

        func share(ofScore score: Double) -> Double {
            let lowest = Double(lowestScore)
            guard isCompeting, highestScore > lowest, Scoring.rounded(score) > lowestScore else { return 0 }
            return max(0, min(score, highestScore) - lowest) / (highestScore - lowest)
        }
    }

    private struct State {
        var limits: [Limits]
        /// For each expert those of its least and its largest magnitude.
        var magnitudes: [MagnitudeSelection]
        /// For each expert that of the least score that counts.
        var scores: [NumberSelection]
    }

    init(_ scoring: Scoring, elementCount: Int) {
        self.scoring = scoring
        self.elementCount = elementCount
        let count = Double(elementCount)
        let places = [Int(count * scoring.clipRatio), Int(count * (1 - scoring.clipRatio) - 1)]
        let magnitudes = (0..<scoring.expertCount).flatMap { _ in
            places.map { MagnitudeSelection(rank: max(1, elementCount - max(0, $0))) }
        }
        let lowest = max(0, min(Int(count * (1 - scoring.ratio)), elementCount - 1))
        state = Mutex(
            State(
                limits: Array(repeating: Limits(), count: scoring.expertCount), magnitudes: magnitudes,
                scores: Array(repeating: NumberSelection(places: [lowest]), count: scoring.expertCount)))
    }

    var limits: [Limits] { state.withLock(\.limits) }

    var passCount: Int { 4 }
    func needs(pass: Int) -> Bool { elementCount > 0 && (pass < 2 || limits.contains(where: \.isCompeting)) }
    var byteCount: Int { 2 * scoring.expertCount * MagnitudeSelection.byteCount }
    var scratchByteCount: Int {
        scoring.expertCount
            * (2 * MagnitudeSelection.binCount * MemoryLayout<UInt32>.stride
                + (2 * mergeBlockCapacity + 2) * MemoryLayout<Double>.stride)
    }

    func observe(_ chunk: MergeChunk, pass: Int) {
        switch (chunk.needsDouble, pass < 2) {
        case (true, true): observeMagnitudes(chunk, in: Double.self)
        case (true, false): observeScores(chunk, in: Double.self)
        case (false, true): observeMagnitudes(chunk, in: Float.self)
        case (false, false): observeScores(chunk, in: Float.self)
        }
    }

    private func observeMagnitudes<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type) {
        let counters = state.withLock { $0.magnitudes.map(\.counter) }
        let binCount = MagnitudeSelection.binCount
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: counters.count * binCount) { tables in
            tables.initialize(repeating: 0)
            forEachBlock(of: chunk, in: scalar) { changes, length in
                for place in counters.indices {
                    counters[place].count(
                        changes + place / 2 * mergeBlockCapacity, count: length,
                        into: tables.baseAddress! + place * binCount)
                }
            }
            state.withLock { state in
                for place in counters.indices { state.magnitudes[place].absorb(tables.baseAddress! + place * binCount) }
            }
        }
    }

    private func observeScores<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type) {
        let count = scoring.expertCount
        let (limits, counters) = state.withLock { ($0.limits, $0.scores.map(\.counter)) }
        var highest = [Double](repeating: -.infinity, count: count)
        let binCount = NumberSelection.counterCount(placeCount: 1)
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: count * binCount) { tables in
            tables.initialize(repeating: 0)
            withUnsafeTemporaryAllocation(of: Float.self, capacity: count * mergeBlockCapacity) { scores in
                forEachBlock(of: chunk, in: scalar) { changes, length in
                    fill(scores.baseAddress!, changes, length, limits, highest: &highest)
                    for expert in 0..<count {
                        counters[expert].count(
                            scores.baseAddress! + expert * mergeBlockCapacity, count: length,
                            into: tables.baseAddress! + expert * binCount)
                    }
                }
            }
            state.withLock { [highest] state in
                for expert in 0..<count {
                    state.scores[expert].absorb(tables.baseAddress! + expert * binCount)
                    state.limits[expert].highestScore = max(state.limits[expert].highestScore, highest[expert])
                }
            }
        }
    }

    /// Calls `body` with the task vectors of block after block, a row for each expert; 0 for what is not finite.
    private func forEachBlock<T: ElementwiseScalar>(
        of chunk: MergeChunk, in scalar: T.Type, _ body: (UnsafePointer<Double>, Int) -> Void
    ) {
        let count = scoring.expertCount
        withUnsafeTemporaryAllocation(of: T.self, capacity: 2 * mergeBlockCapacity) { memory in
            withUnsafeTemporaryAllocation(of: Double.self, capacity: count * mergeBlockCapacity) { rows in
                let (change, base) = (memory.baseAddress!, memory.baseAddress! + mergeBlockCapacity)
                chunk.forEachBlock { offset, length in
                    let block = MergeBlock(chunk: chunk, offset: offset, count: length, result: change, scratch: base)
                    block.readBase(into: base)
                    for expert in 0..<count {
                        block.readTaskVector(expert, base: base, into: change)
                        let row = rows.baseAddress! + expert * mergeBlockCapacity
                        for i in 0..<length { row[i] = change[i].isFinite ? Double(change[i]) : 0 }
                    }
                    body(UnsafePointer(rows.baseAddress!), length)
                }
            }
        }
    }

    /// The scores of a block, a row for each expert as the changes have it.
    private func fill(
        _ rounded: UnsafeMutablePointer<Float>, _ changes: UnsafePointer<Double>, _ length: Int, _ limits: [Limits],
        highest: inout [Double]
    ) {
        let count = scoring.expertCount
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * count) { memory in
            let (entry, scores) = (memory.baseAddress!, memory.baseAddress! + count)
            for i in 0..<length {
                for expert in 0..<count { entry[expert] = changes[expert * mergeBlockCapacity + i] }
                scoring.score(entry, limits, into: scores)
                for expert in 0..<count {
                    highest[expert] = max(highest[expert], scores[expert])
                    rounded[expert * mergeBlockCapacity + i] = Scoring.rounded(scores[expert])
                }
            }
        }
    }

    func finish(pass: Int) {
        state.withLock { state in
            if pass < 2 {
                for place in state.magnitudes.indices { state.magnitudes[place].finishPass() }
            } else {
                for expert in state.scores.indices { state.scores[expert].finishPass() }
            }
            for expert in state.limits.indices {
                if pass == 1 {
                    state.limits[expert].least = Double(state.magnitudes[2 * expert].result?.magnitude ?? 0)
                    state.limits[expert].most = Double(state.magnitudes[2 * expert + 1].result?.magnitude ?? 0)
                } else if pass == 3 {
                    // What is at the quantile scores nothing: where it is the only one of its entry it would stand for all.
                    state.limits[expert].lowestScore = state.scores[expert].values.first ?? 0
                }
            }
        }
    }
}
