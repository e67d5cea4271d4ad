import Kernels
import TensorCore

/// Counts NaN and infinities in what a rule reads of one model's chunk while it is in the cache, so that no input is read for
/// it. A block counts once, however often it is read.
struct InputTally {
    private let purpose: Purpose
    private var sums = NormSums()
    private var found = NonFiniteCount()
    /// The flat index up to which the chunk was looked at.
    private var end = 0
    private var lookedCount = 0

    enum Purpose {
        case counts
        /// Sums squares up as well, which costs twice as much.
        case sums
        /// Only notes what is read, where another merge looks at the same elements.
        case reading
    }

    /// Begins with a chunk.
    init(_ purpose: Purpose) { self.purpose = purpose }

    var count: NonFiniteCount { purpose == .sums ? sums.nonFinite : found }

    /// Whether all of a chunk of `count` elements was looked at.
    func isWhole(of count: Int) -> Bool { purpose != .reading && lookedCount == count }
    /// Whether something was read that nobody has looked at here.
    var isBlind: Bool { purpose == .reading && lookedCount > 0 }

    /// Reads a block, and looks at it.
    mutating func read<T: ElementwiseScalar>(
        _ source: MergeSource, from index: Int, count: Int, into row: UnsafeMutablePointer<T>
    ) {
        let isNew = index >= end
        if isNew, purpose == .sums {
            source.read(from: index, count: count, into: row, adding: &sums)
        } else {
            source.read(from: index, count: count, into: row)
            if isNew, purpose == .counts, source.hasNonFinite(from: index, count: count, in: row) {
                found += source.countNonFinite(from: index, count: count)
            }
        }
        if isNew { (end, lookedCount) = (index + count, lookedCount + count) }
    }

    /// What a chunk of `count` elements adds up to; nil when not all of them were looked at.
    func sums(of count: Int) -> NormSums? { purpose == .sums && lookedCount == count ? sums : nil }
}
