import Checkpoints
import Kernels
import Reporting
import TensorCore

/// What one run of a command has at hand: its streams, its progress and its share of the machine.
final class Session {
    /// Whether the result is a JSON document.
    let json: Bool
    /// Where long work reports; shows a bar, lines or nothing as the user and the terminal want it.
    let progress: TerminalProgress
    private let output: StandardOutput
    private let options: SharedOptions

    init(_ options: SharedOptions, output: StandardOutput) {
        self.options = options
        self.output = output
        json = options.json
        let style: TerminalProgress.Style =
            options.quiet ? .silent : StandardError.isTerminal ? .bar(columns: StandardError.columns) : .lines
        progress = TerminalProgress(style: style, write: { StandardError.write($0) })
    }

    /// The threads to compute with. Made on first use: commands that only read a header need not ask.
    private(set) lazy var budget = ComputeBudget(threads: options.threads?.count)

    /// How many bytes of working memory the command may use.
    private(set) lazy var memoryByteCount = options.memory?.byteCount ?? AvailableMemory.byteCount / 2

    /// How many tensors may be worked on at once: as many as there are threads when data is mapped, fewer when it must be
    /// decoded whole and tensors of the largest size would not all fit.
    ///
    /// - Parameter share: into how many equal parts the working memory is divided, one of which is for this reader.
    func workers(decoding indices: some Sequence<Int>, of reader: any CheckpointReader, share: Int = 1) -> Int {
        let decoded = indices.lazy.filter { !reader.canReadRanges(of: $0) }.map { reader.descriptors[$0].byteCount }
        guard let largest = decoded.max(), largest > 0 else { return budget.threads }
        return max(1, min(budget.threads, memoryByteCount / share / largest))
    }

    /// Adds text to the result.
    func print(_ text: String) throws { try output.write(text) }

    /// Prints the result as JSON.
    func print(_ document: JSONOutput) throws { try output.write(document.rendered() + "\n") }

    /// Tells on standard error what the user should know although the work goes on.
    func warn(_ message: String) {
        warnings.append(message)
        progress.print("warning: \(message.escapingControlCharacters)\n")
    }

    /// What was warned of so far, for results in JSON that tell it, too.
    private(set) var warnings: [String] = []
}
