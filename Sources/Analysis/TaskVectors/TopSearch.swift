import Kernels
import Synchronization
import TensorCore

/// Finds the magnitude that the largest entries of every task vector reach, over the whole model, in the pass that measures.
///
/// A sample foretells a bracket of magnitudes for every expert. The pass counts what is above and keeps what lies inside, so that
/// the magnitude is exact afterwards. Where the sample misled, or more lies inside than there is memory for, another pass follows
/// with the bracket that is known by then: one of 2^12 parts of the last.
struct TopSearch: Sendable {
    /// Which of the magnitudes is looked for; 1 is the largest.
    private let rank: Int
    private let entryCount: Int
    private(set) var brackets: [MagnitudeBracket]

    /// Entries of each expert that are sampled, and how many neighbours are read together: those of one cache line.
    private static let sampleCount = 1 << 19
    private static let runCount = 16
    /// Bytes of magnitudes that are kept.
    private static let keptByteCount = 64 << 20

    /// Samples the task vectors.
    ///
    /// - Parameter share: the share of entries that are looked for, more than 0 and up to 1.
    init(_ set: TaskVectorSet, share: Double, threads: Int) throws {
        let count = set.parameterCount
        entryCount = count
        rank = max(1, Int(share * Double(count)))
        guard count > 0 else {
            brackets = set.names.map { _ in .everything }
            return
        }
        let samples = try Self.sample(set, threads: threads)
        brackets = parallelMap(count: samples.count, threads: threads) { [rank] expert in
            let sample = samples[expert]
            let bracket = MagnitudeBracket(sample: sample, rank: rank, of: count)
            // A sample of everything leaves no doubt.
            return sample.count == count ? MagnitudeBracket(keys: bracket.pivot..<bracket.pivot + 1) : bracket
        }
    }

    /// Keys of evenly spread runs of entries, of every expert.
    private static func sample(_ set: TaskVectorSet, threads: Int) throws -> [[UInt32]] {
        let step = max(runCount, (set.parameterCount + sampleCount - 1) / sampleCount * runCount)
        var origins: [Int] = []
        var origin = 0
        for tensor in set.tensors {
            origins.append(origin)
            origin += tensor.elementCount
        }
        let starts = origins
        let parts = try set.mapChunks(threads: threads) { tensor, range in
            let origin = starts[tensor.tensor]
            let runs = stride(
                from: (origin + range.lowerBound) / step * step, to: origin + range.upperBound, by: step
            ).map { (start: Int) in (start - origin..<start - origin + runCount).clamped(to: range) }
            return set.names.indices.map { tensor.taskVector(of: $0, runs).map(\.magnitudeKey) }
        }
        return set.names.indices.map { expert in parts.flatMap { $0.result[expert] } }
    }

    /// What a pass finds out, told by several threads.
    final class Pass: Sendable {
        let brackets: [MagnitudeBracket]
        private let found: Mutex<Found>

        struct Found {
            /// Of every expert, kept entries above its bracket, and those inside in parts of equal numbers of keys.
            var above: [Int]
            var inside: [[Int]]
            var keptByteCount = 0
            var isComplete: Bool { keptByteCount <= TopSearch.keptByteCount }
        }

        fileprivate init(_ brackets: [MagnitudeBracket]) {
            self.brackets = brackets
            found = Mutex(
                Found(
                    above: brackets.map { _ in 0 },
                    inside: brackets.map { [Int](repeating: 0, count: ($0.keys.count - 1) >> $0.partShift + 1) }))
        }

        /// Notes keys of all experts, place by place.
        ///
        /// - Returns: whether there is memory for keeping them.
        func note(_ keys: [UInt32]) -> Bool {
            found.withLock { found in
                found.keptByteCount += 4 * keys.count
                for (expert, bracket) in brackets.enumerated() {
                    let (low, shift) = (bracket.keys.lowerBound, bracket.partShift)
                    var above = 0
                    found.inside[expert].withUnsafeMutableBufferPointer { inside in
                        for place in stride(from: expert, to: keys.count, by: brackets.count) {
                            let key = keys[place]
                            if key >= bracket.upper {
                                above += 1
                            } else if key >= low {
                                inside[Int((key - low) >> shift)] += 1
                            }
                        }
                    }
                    found.above[expert] += above
                }
                return found.isComplete
            }
        }

        fileprivate func result() -> Found { found.withLock { $0 } }
    }

    func pass() -> Pass { Pass(brackets) }

    /// Ends a pass.
    ///
    /// - Parameter candidates: of parts of the model, together the whole.
    /// - Returns: the magnitudes, as `magnitudeKey`; nil when another pass is needed. Those of entries that did not move are none.
    mutating func finish(_ pass: Pass, _ candidates: [TopCandidates]) -> [UInt32]? {
        guard rank <= entryCount else { return brackets.map { _ in .max } }
        let found = pass.result()
        var limits = [UInt32?](repeating: nil, count: brackets.count)
        for expert in brackets.indices {
            let bracket = brackets[expert]
            var place = rank - found.above[expert] - candidates.reduce(0) { $0 + $1.above[expert] }
            let equalCount = candidates.reduce(0) { $0 + $1.equal[expert] }
            var inside = found.inside[expert]
            inside[Int((bracket.pivot - bracket.keys.lowerBound) >> bracket.partShift)] += equalCount
            var part = inside.count - 1
            while part >= 0, place > inside[part] {
                place -= inside[part]
                part -= 1
            }
            guard place > 0, part >= 0 else {
                brackets[expert] = .everything
                continue
            }
            let low = bracket.keys.lowerBound + UInt32(part) << bracket.partShift
            let keys = low..<min(bracket.upper, low + 1 << bracket.partShift)
            if keys.count == 1 {
                limits[expert] = low
            } else if found.isComplete {
                limits[expert] = candidates.key(of: expert, rank: place, in: keys, pivot: bracket.pivot, equalCount)
            }
            brackets[expert] = MagnitudeBracket(keys: limits[expert].map { $0..<$0 + 1 } ?? keys)
        }
        guard found.isComplete, !limits.contains(nil) else { return nil }
        return limits.map { max(1, $0 ?? 1) }
    }
}

extension MagnitudeBracket {
    /// Keys are counted in at most 2^12 parts of 2^shift, few enough for a cache.
    fileprivate var partShift: UInt32 { UInt32(max(0, 52 - (keys.count - 1).leadingZeroBitCount)) }
}

extension [TopCandidates] {
    /// The key of a rank among those of an expert that lie in a range.
    ///
    /// - Parameter equalCount: entries that equal the pivot and are not kept.
    fileprivate func key(
        of expert: Int, rank: Int, in keys: Range<UInt32>, pivot: UInt32, _ equalCount: Int
    ) -> UInt32 {
        var inside: [UInt32] = []
        for part in self {
            for piece in part.kept {
                for place in stride(from: expert, to: piece.count, by: part.above.count)
                where keys.contains(piece[place]) {
                    inside.append(piece[place])
                }
            }
        }
        let larger = inside.filter { $0 > pivot }
        let pivotCount = keys.contains(pivot) ? equalCount + inside.count { $0 == pivot } : 0
        if rank <= larger.count { return larger.sorted(by: >)[rank - 1] }
        if rank <= larger.count + pivotCount { return pivot }
        return inside.filter { $0 < pivot }.sorted(by: >)[rank - larger.count - pivotCount - 1]
    }
}
