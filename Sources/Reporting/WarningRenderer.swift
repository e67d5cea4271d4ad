public import TensorCore

/// Puts a warning into a line for people, with a second one for the place in a text, or into an event for programs.
public enum WarningRenderer {
    /// The lines, each ended by a newline; control characters are escaped.
    public static func text(_ warning: Warning) -> String {
        lines(warning).map { $0.escapingControlCharacters + "\n" }.joined()
    }

    /// The lines as they are.
    public static func lines(_ warning: Warning) -> [String] {
        let line = "warning: \(warning.text)"
        guard let file = warning.file else { return [line] }
        return [line, "  in \(file)" + (warning.position.map { ", \($0)" } ?? "")]
    }

    /// The same as an event among those of progress: `{"event":"warning","code","message"}`, with `file`, `line` and `column` of
    /// what stands in a text.
    public static func event(_ warning: Warning) -> JSONOutput {
        let event: JSONOutput = [
            "event": "warning", "code": .string(warning.code), "message": .string(warning.text),
        ]
        return event.adding("file", warning.file.map(JSONOutput.string))
            .adding("line", warning.position.map { .integer($0.line) })
            .adding("column", warning.position.map { .integer($0.column) })
    }
}
