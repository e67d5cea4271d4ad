import TensorCore

/// How many threads the process computes with.
///
/// There is one level of parallelism: workers over chunks, tensors or shards of a batch. OpenBLAS itself is held to one
/// thread, whose setting is process-wide, so that results do not depend on the machine.
public struct ComputeBudget: Sendable, Hashable {
    public let threads: Int

    /// Sets how many threads compute, and holds OpenBLAS to one.
    ///
    /// - Parameter threads: at least 1; nil takes every core that the process may run on.
    public init(threads: Int? = nil) {
        self.threads = max(1, threads ?? availableCoreCount)
        holdOpenBLASToOneThread()
    }
}
