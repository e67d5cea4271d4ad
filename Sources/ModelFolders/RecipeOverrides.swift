import Checkpoints
import Merging
import TensorCore
import Work

/// What the command line says over a recipe, for the record that a folder keeps of its making.
package enum RecipeOverrides {
    /// The options, as they are typed in a shell.
    package static func options(
        settings: [String: ParameterValue] = [:], selection: TensorSelection, keepBase: [String] = [],
        outputDType: DType? = nil
    ) -> [String] {
        let set = settings.sorted { $0.key < $1.key }.map { ("--set", "\($0.key)=\($0.value.argument)") }
        let dtype = outputDType.map { [("--dtype", $0.rawValue)] } ?? []
        let patterns = selection.only.map { ("--only", $0) } + selection.exclude.map { ("--exclude", $0) }
        let kept = keepBase.map { ("--keep-base", $0) }
        return (set + dtype + patterns + kept).map { "\($0) \($1.quotedForShell)" }
    }

    /// A recipe with a comment that lists the options; byte for byte as it is when there are none.
    static func noted(_ options: [String], above recipe: String) -> String {
        guard !options.isEmpty else { return recipe }
        let comment =
            ["# Carried out by untangle merge with these options, which go before what the recipe says:"]
            + options.map { "#   \($0)" }
        return comment.joined(separator: "\n") + "\n\n" + recipe
    }
}
