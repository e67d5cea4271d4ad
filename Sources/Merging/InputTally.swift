import Kernels
import TensorCore

/// Counts NaN and infinities in what a rule reads of one model's chunk while it is in the cache, so that no input is read for
/// it. A block counts once, however often it is read.
struct InputTally {
    private(set) var count = NonFiniteCount()
    /// The flat index up to which the chunk was looked at.
    private var end = 0

    init() {}

    mutating func look(at source: MergeSource, from index: Int, count: Int) {
        guard index >= end else { return }
        end = index + count
        if source.hasNonFinite(from: index, count: count) {
            self.count += source.countNonFinite(from: index, count: count)
        }
    }
}
