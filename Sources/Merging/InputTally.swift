import Kernels
import TensorCore

/// Counts NaN and infinities in what a rule reads of one model's chunk while it is in the cache, so that no input is read for
/// it. A block counts once, however often it is read.
struct InputTally {
    private let sumsUp: Bool
    private var sums = NormSums()
    private var found = NonFiniteCount()
    /// The flat index up to which the chunk was looked at.
    private var end = 0
    private var lookedCount = 0

    /// Begins with a chunk.
    ///
    /// - Parameter sumsUp: whether squares are summed up as well, which costs twice as much.
    init(sumsUp: Bool) { self.sumsUp = sumsUp }

    var count: NonFiniteCount { sumsUp ? sums.nonFinite : found }

    /// Reads a block, and looks at it.
    mutating func read<T: ElementwiseScalar>(
        _ source: MergeSource, from index: Int, count: Int, into row: UnsafeMutablePointer<T>
    ) {
        let isNew = index >= end
        if isNew, sumsUp {
            source.read(from: index, count: count, into: row, adding: &sums)
        } else {
            source.read(from: index, count: count, into: row)
            if isNew, source.hasNonFinite(from: index, count: count) {
                found += source.countNonFinite(from: index, count: count)
            }
        }
        if isNew { (end, lookedCount) = (index + count, lookedCount + count) }
    }

    /// What a chunk of `count` elements adds up to; nil when not all of them were looked at.
    func sums(of count: Int) -> NormSums? { sumsUp && lookedCount == count ? sums : nil }
}
