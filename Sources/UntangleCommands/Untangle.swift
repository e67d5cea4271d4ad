import ArgumentParser
import Work

/// The root command.
struct Untangle: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "untangle",
        abstract: "Inspect, convert and merge machine-learning checkpoints.",
        discussion: """
            Reads safetensors, PyTorch, GGUF, NumPy and Skein files, sharded checkpoints, model folders and the cache of the \
            Hugging Face hub. Results go to standard output, \
            everything else to standard error; --json makes the result one JSON document.

            Example:
              untangle inspect Fixtures/suites/tiny/base.safetensors --stats
            """,
        version: ToolVersion.current,
        subcommands: [
            Inspect.self, Convert.self, Edit.self, Verify.self, Diff.self, Vectors.self, InterferenceCommand.self,
            Resolve.self, Stats.self, Merge.self, LoRA.self, Distill.self, Evaluate.self, Run.self, Compare.self,
            Tokenize.self,
        ])
}
