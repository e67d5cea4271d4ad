import ArgumentParser
import Checkpoints
import TensorCore

/// Which tensors a command works on.
struct SelectionOptions: ParsableArguments {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Take only tensors whose whole name matches the shell pattern (*, ?, [...]); repeatable.", valueName: "glob"
        ))
    var only: [String] = []

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp("Leave out tensors whose name matches the pattern; repeatable.", valueName: "glob"))
    var exclude: [String] = []

    var selection: TensorSelection { TensorSelection(only: only, exclude: exclude) }

    /// Explains an empty result that patterns have caused; nil when there was nothing to select from or something was left.
    func warning(selected: Int, of total: Int) -> Warning? {
        guard selected == 0, total > 0, !(only.isEmpty && exclude.isEmpty) else { return nil }
        return Warning(WeightsWarning.nothingSelected, "no tensor of \(total) matches the patterns")
    }
}
