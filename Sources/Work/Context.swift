import Checkpoints
import Kernels
import Reporting
import SystemPackage
import TensorCore

/// What work is done with: its share of the machine, and whom it tells of progress and of what should be known.
public struct Context {
    public var budget: ComputeBudget
    /// Bytes of working memory; nil sets no bound.
    public var memory: Int?
    public var progress: any ProgressSink
    /// Told, as soon as it is known, what the user should know although the work goes on.
    public var warn: (Warning) -> Void

    public init(
        budget: ComputeBudget = ComputeBudget(), memory: Int? = nil, progress: any ProgressSink = SilentProgress(),
        warn: @escaping (Warning) -> Void = { _ in }
    ) {
        self.budget = budget
        self.memory = memory
        self.progress = progress
        self.warn = warn
    }

    /// How many threads may work at once within the memory; at least one.
    ///
    /// - Parameter byteCount: the memory that each of them takes, besides mapped input.
    public func workers(each byteCount: Int) -> Int {
        guard byteCount > 0, let memory else { return budget.threads }
        return max(1, min(budget.threads, memory / byteCount))
    }

    /// How inputs are opened.
    ///
    /// - Parameter base: what .skein files among them are stored against, where they do not say.
    public func reading(sharedBase base: FilePath? = nil) -> ReadOptions {
        ReadOptions(sharedBase: base, threads: budget.threads, memoryByteCount: memory)
    }
}
