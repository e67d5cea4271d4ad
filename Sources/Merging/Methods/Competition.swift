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
    }

    /// What the entries of one expert are measured by.
    struct Limits: Sendable {
        /// Magnitudes are brought between these.
        var least = 0.0
        var most = 0.0
        /// Scores count from the one to the other.
        var lowestScore = 0.0
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
            guard isCompeting, highestScore > lowestScore, score > lowestScore else { return 0 }
            return (min(score, highestScore) - lowestScore) / (highestScore - lowestScore)
        }
    }

    private struct State {
        var limits: [Limits]
        /// For each expert those of its least and its largest magnitude, then that of its scores.
        var selections: [MagnitudeSelection]
    }

    init(_ scoring: Scoring, elementCount: Int) {
        self.scoring = scoring
        self.elementCount = elementCount
        let count = Double(elementCount)
        let places = [Int(count * scoring.clipRatio), Int(count * (1 - scoring.clipRatio) - 1)]
        let selections =
            elementCount == 0
            ? []
            : (0..<scoring.expertCount).flatMap { _ in
                places.map { MagnitudeSelection(rank: max(1, elementCount - max(0, $0))) }
            }
        state = Mutex(
            State(limits: Array(repeating: Limits(), count: scoring.expertCount), selections: selections))
    }

    var limits: [Limits] { state.withLock(\.limits) }

    var passCount: Int { 4 }
    func needs(pass: Int) -> Bool { elementCount > 0 && (pass < 2 || limits.contains(where: \.isCompeting)) }
    var byteCount: Int { 2 * scoring.expertCount * MagnitudeSelection.byteCount }
    var scratchByteCount: Int {
        scoring.expertCount
            * (2 * MagnitudeSelection.binCount * MemoryLayout<UInt32>.stride
                + (mergeBlockCapacity + 2) * MemoryLayout<Double>.stride)
    }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if chunk.needsDouble {
            observe(chunk, in: Double.self, isScoring: pass >= 2)
        } else {
            observe(chunk, in: Float.self, isScoring: pass >= 2)
        }
    }

    private func observe<T: ElementwiseScalar>(_ chunk: MergeChunk, in scalar: T.Type, isScoring: Bool) {
        let count = scoring.expertCount
        let (limits, counters) = state.withLock { ($0.limits, $0.selections.map(\.counter)) }
        var highest = [Double](repeating: -.infinity, count: count)
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: counters.count * MagnitudeSelection.binCount) {
            tables in
            tables.initialize(repeating: 0)
            let perExpert = counters.count / count
            forEachBlock(of: chunk, in: scalar) { changes, length in
                if isScoring { replaceByScores(changes, length, limits, highest: &highest) }
                for place in counters.indices {
                    counters[place].count(
                        changes + place / perExpert * mergeBlockCapacity, count: length,
                        into: tables.baseAddress! + place * MagnitudeSelection.binCount)
                }
            }
            state.withLock { [highest] state in
                for place in counters.indices {
                    state.selections[place].absorb(tables.baseAddress! + place * MagnitudeSelection.binCount)
                }
                for expert in 0..<count {
                    state.limits[expert].highestScore = max(state.limits[expert].highestScore, highest[expert])
                }
            }
        }
    }

    /// Calls `body` with the task vectors of block after block, a row for each expert; 0 for what is not finite.
    private func forEachBlock<T: ElementwiseScalar>(
        of chunk: MergeChunk, in scalar: T.Type, _ body: (UnsafeMutablePointer<Double>, Int) -> Void
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
                    body(rows.baseAddress!, length)
                }
            }
        }
    }

    /// Puts numbers whose magnitudes order as the scores do in the place of the changes.
    private func replaceByScores(
        _ changes: UnsafeMutablePointer<Double>, _ length: Int, _ limits: [Limits], highest: inout [Double]
    ) {
        let count = scoring.expertCount
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * count) { memory in
            let (entry, scores) = (memory.baseAddress!, memory.baseAddress! + count)
            for i in 0..<length {
                for expert in 0..<count { entry[expert] = changes[expert * mergeBlockCapacity + i] }
                scoring.score(entry, limits, into: scores)
                for expert in 0..<count {
                    highest[expert] = max(highest[expert], scores[expert])
                    changes[expert * mergeBlockCapacity + i] = Self.magnitude(inPlaceOf: scores[expert])
                }
            }
        }
    }

    /// Scores in F32 as magnitudes that order as they do: the upper half for what is not negative, the lower for what is. A bit is
    /// lost, and what is beyond 2^126.
    private static func magnitude(inPlaceOf score: Double) -> Double {
        let most = 0x1p126
        let score = Float(min(max(score, -most), most))
        let half = score.magnitude.bitPattern >> 1
        return Double(Float(bitPattern: score < 0 ? middle - 1 - half : middle + half))
    }

    private static let middle: UInt32 = 1 << 30

    /// The largest of the scores that share a magnitude. The one at the quantile has to score nothing: where it is the only one of its entry
    /// it would stand for all.
    private static func largestScore(ofKey key: UInt32) -> Double {
        key < middle
            ? -Double(Float(bitPattern: (middle - 1 - key) << 1))
            : Double(Float(bitPattern: (key - middle + 1) << 1)).nextDown
    }

    func finish(pass: Int) {
        state.withLock { state in
            for place in state.selections.indices { state.selections[place].finishPass() }
            let found = state.selections.compactMap(\.result)
            switch pass {
            case 1:
                for expert in state.limits.indices {
                    state.limits[expert].least = Double(found[2 * expert].magnitude)
                    state.limits[expert].most = Double(found[2 * expert + 1].magnitude)
                }
                let place = min(Int(Double(elementCount) * (1 - scoring.ratio)), elementCount - 1)
                state.selections = state.limits.map { _ in MagnitudeSelection(rank: elementCount - place) }
            case 3:
                for expert in state.limits.indices {
                    state.limits[expert].lowestScore = Self.largestScore(ofKey: found[expert].key)
                }
                state.selections = []
            default: break
            }
        }
    }
}
