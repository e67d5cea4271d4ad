import ArgumentParser
import Experts

/// How data is read that is no array.
struct DataFlags: ParsableArguments {
    @Flag(help: "Leave out pictures and lines that cannot be read, and say how many; otherwise the first is an error.")
    var skipBad = false

    @Option(
        help: ArgumentHelp(
            "The field of .jsonl lines, or the column of a .tsv with a heading, that holds the text (default: text).",
            valueName: "name"))
    var textField: String?

    var options: DataOptions { DataOptions(skipsBad: skipBad, textField: textField) }
}
