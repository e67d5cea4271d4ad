public import TensorCore

/// Puts an error into at most three lines for people, or into one JSON document for scripts.
///
///     error: tensor "a" ends at byte 200 but the file has 100
///       in model.safetensors, tensor "a", at byte 7,312   [format.truncated]
///       hint: the download is probably cut short
///
/// Control characters of messages, names and paths are escaped: a file that a stranger sends does not drive the terminal.
public enum DiagnosticRenderer {
    /// The lines for people, each ended by a newline. Without a place, the code stands on the first line.
    public static func text(_ diagnostic: any Diagnostic) -> String {
        let code = "   [\(diagnostic.code)]"
        var place: [String] = []
        if let file = diagnostic.file { place.append("in \(file.escapingControlCharacters)") }
        if let tensor = diagnostic.tensor { place.append("tensor \"\(tensor.escapingControlCharacters)\"") }
        if let offset = diagnostic.byteOffset { place.append("at byte \(offset.grouped)") }

        var text = "error: \(diagnostic.message.escapingControlCharacters)"
        text += place.isEmpty ? code : "\n  \(place.joined(separator: ", "))\(code)"
        if let hint = diagnostic.hint { text += "\n  hint: \(hint.escapingControlCharacters)" }
        return text + "\n"
    }

    /// `{"error":{"code","message","file","tensor","offset","hint"}}`; what is not known is null.
    public static func json(_ diagnostic: any Diagnostic) -> JSONOutput {
        [
            "error": [
                "code": .string(diagnostic.code),
                "message": .string(diagnostic.message),
                "file": .optional(diagnostic.file),
                "tensor": .optional(diagnostic.tensor),
                "offset": diagnostic.byteOffset.flatMap(Int.init(exactly:)).map(JSONOutput.integer) ?? .null,
                "hint": .optional(diagnostic.hint),
            ]
        ]
    }
}
