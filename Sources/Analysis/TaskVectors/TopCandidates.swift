import Kernels

/// Which entries may be among the largest of their task vectors, before that is known.
///
/// Every expert has a bracket that the magnitude in question probably lies in. Entries above the bracket, and those equal to its
/// pivot, are counted; where an expert has another entry inside of its bracket, the magnitudes of all experts are kept.
struct TopCandidates: Sendable {
    /// Of every expert, entries above the bracket and entries that equal the pivot, where nothing is kept.
    private(set) var above: [Int]
    private(set) var equal: [Int]
    /// Of every pair.
    private(set) var pairs: [Pair]
    /// The keys of all experts, place by place, in pieces.
    private(set) var kept: [[UInt32]] = []

    /// Entries of two experts in one place, by whether they are above the bracket or equal the pivot.
    struct Pair: Sendable {
        var aboveAbove = 0
        var aboveEqual = 0
        var equalAbove = 0
        var equalEqual = 0
    }

    init(expertCount: Int) {
        above = Array(repeating: 0, count: expertCount)
        equal = above
        pairs = Array(repeating: Pair(), count: expertCount * (expertCount - 1) / 2)
    }

    /// Counts a block.
    ///
    /// - Parameters:
    ///   - planes: of every expert, without what is kept.
    ///   - keys: what is kept.
    ///   - search: told about what is kept.
    mutating func add(_ planes: [BitPlanes], kept keys: [UInt32], wordCount: Int, to search: TopSearch.Pass) {
        if !keys.isEmpty {
            if !search.note(keys) { kept = [] } else { kept.append(keys) }
        }
        for (expert, plane) in planes.enumerated() {
            above[expert] += BitPlanes.countCommon(plane.top, plane.top, wordCount: wordCount)
            equal[expert] += BitPlanes.countCommon(plane.pivot, plane.pivot, wordCount: wordCount)
        }
    }

    /// Counts a pair of experts in a block, after `add`.
    ///
    /// - Parameter hasPivots: whether any entry of the two equals its pivot.
    mutating func add(_ pair: Int, _ a: BitPlanes, _ b: BitPlanes, above: Int, hasPivots: Bool, wordCount: Int) {
        pairs[pair].aboveAbove += above
        guard hasPivots else { return }
        pairs[pair].aboveEqual += BitPlanes.countCommon(a.top, b.pivot, wordCount: wordCount)
        pairs[pair].equalAbove += BitPlanes.countCommon(a.pivot, b.top, wordCount: wordCount)
        pairs[pair].equalEqual += BitPlanes.countCommon(a.pivot, b.pivot, wordCount: wordCount)
    }

    mutating func add(_ other: TopCandidates) {
        for expert in above.indices {
            above[expert] += other.above[expert]
            equal[expert] += other.equal[expert]
        }
        for pair in pairs.indices {
            pairs[pair].aboveAbove += other.pairs[pair].aboveAbove
            pairs[pair].aboveEqual += other.pairs[pair].aboveEqual
            pairs[pair].equalAbove += other.pairs[pair].equalAbove
            pairs[pair].equalEqual += other.pairs[pair].equalEqual
        }
        kept += other.kept
    }

    /// Entries of every expert, and of every pair in one place, whose keys are at least the limits.
    func counts(from limits: [UInt32], _ brackets: [MagnitudeBracket]) -> (experts: [Int], pairs: [Int]) {
        let takesPivot = zip(limits, brackets).map { $0 <= $1.pivot }
        var experts = above.indices.map { above[$0] + (takesPivot[$0] ? equal[$0] : 0) }
        var common: [Int] = []
        for a in above.indices {
            for b in above.indices.dropFirst(a + 1) {
                let pair = pairs[common.count]
                common.append(
                    pair.aboveAbove + (takesPivot[b] ? pair.aboveEqual : 0) + (takesPivot[a] ? pair.equalAbove : 0)
                        + (takesPivot[a] && takesPivot[b] ? pair.equalEqual : 0))
            }
        }
        limits.withUnsafeBufferPointer { limits in
            for keys in kept {
                keys.withUnsafeBufferPointer { Self.count($0, limits, experts: &experts, pairs: &common) }
            }
        }
        return (experts, common)
    }

    private static func count(
        _ keys: UnsafeBufferPointer<UInt32>, _ limits: UnsafeBufferPointer<UInt32>, experts: inout [Int],
        pairs: inout [Int]
    ) {
        for first in stride(from: 0, to: keys.count, by: limits.count) {
            var origin = 0
            for a in 0..<limits.count {
                if keys[first &+ a] >= limits[a] {
                    experts[a] += 1
                    for b in a &+ 1..<max(limits.count, a &+ 1) where keys[first &+ b] >= limits[b] {
                        pairs[origin &+ b &- a &- 1] += 1
                    }
                }
                origin += limits.count - a - 1
            }
        }
    }
}
