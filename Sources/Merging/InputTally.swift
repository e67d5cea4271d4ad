import Kernels
import TensorCore

/// Counts NaN and infinities in what a rule reads of a chunk while it is in the cache, so that no input is read for it. A
/// block counts once, however often it is read. Used by one thread.
final class InputTally {
    /// For every model, the base first, if there is one.
    private(set) var counts: [NonFiniteCount]
    /// For every model the flat index up to which it was looked at.
    private var ends: [Int]

    init(modelCount: Int) {
        counts = Array(repeating: NonFiniteCount(), count: modelCount)
        ends = Array(repeating: 0, count: modelCount)
    }

    func look(at source: MergeSource, model: Int, from index: Int, count: Int) {
        guard index >= ends[model] else { return }
        ends[model] = index + count
        counts[model] += source.countNonFinite(from: index, count: count)
    }
}
