import Kernels
import Synchronization

/// Counts of one pass of a selection, added up by several threads.
final class MagnitudeCounts: Sendable {
    private let counts = Mutex([UInt64](repeating: 0, count: MagnitudeSelection.binCount))

    func add(_ tensor: LoadedTaskVector, _ range: Range<Int>, _ expert: Int, _ counter: MagnitudeSelection.Counter) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: MagnitudeSelection.binCount) { partial in
            partial.initialize(repeating: 0)
            tensor.forEachBlock(of: expert, range) { _, count, values in
                counter.count(values, count: count, into: partial.baseAddress!)
            }
            counts.withLock { counts in
                for bin in counts.indices { counts[bin] &+= UInt64(partial[bin]) }
            }
        }
    }

    /// Hands the counts to the selection and ends its pass.
    func finish(_ selection: inout MagnitudeSelection) {
        counts.withLock { selection.absorb($0) }
        selection.finishPass()
    }
}
