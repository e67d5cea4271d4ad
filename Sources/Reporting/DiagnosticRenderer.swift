public import TensorCore

/// Puts an error into at most three lines for people, or into one JSON document for scripts.
///
///     error: tensor "a" ends at byte 200 but the file has 100
///       in model.safetensors, tensor "a", at byte 7,312   [format.truncated]
///       hint: the download is probably cut short
///
/// Details, where an error has them, go before these lines as a table.
///
/// Control characters of messages, names and paths are escaped: a file that a stranger sends does not drive the terminal.
public enum DiagnosticRenderer {
    /// The rows of details that are shown to people; JSON has all.
    private static let shownRowCount = 40

    /// The details of an error as a table, empty when there are none.
    private static func table(_ details: DiagnosticTable?) -> String {
        guard let details, !details.rows.isEmpty else { return "" }
        var table = Table(details.columns.map { Table.Column($0) })
        for row in details.rows.prefix(shownRowCount) { table.append(row) }
        let rest = details.rows.count - shownRowCount
        return table.rendered() + (rest > 0 ? "and \(rest.grouped) more; --json lists all\n" : "")
    }

    /// The lines for people, each ended by a newline. Without a place, the code stands on the first line.
    public static func text(_ diagnostic: any Diagnostic) -> String {
        let code = "   [\(diagnostic.code)]"
        var place: [String] = []
        if let file = diagnostic.file { place.append("in \(file.escapingControlCharacters)") }
        if let tensor = diagnostic.tensor { place.append("tensor \"\(tensor.escapingControlCharacters)\"") }
        if let offset = diagnostic.byteOffset { place.append("at byte \(offset.grouped)") }
        if let position = diagnostic.position { place.append("\(position)") }

        var text = "error: \(diagnostic.message.escapingControlCharacters)"
        text += place.isEmpty ? code : "\n  \(place.joined(separator: ", "))\(code)"
        if let hint = diagnostic.hint { text += "\n  hint: \(hint.escapingControlCharacters)" }
        return table(diagnostic.details) + text + "\n"
    }

    /// `{"error":{"code","message","file","tensor","offset","hint"}}`; what is not known is null. An error in a text also has
    /// `line` and `column`, and one with details `details`, an array of objects with the titles of the columns as keys.
    public static func json(_ diagnostic: any Diagnostic) -> JSONOutput { ["error": members(diagnostic)] }

    /// The same as an event among those of progress: `{"event":"error","code","message",...}`.
    public static func event(_ diagnostic: any Diagnostic) -> JSONOutput {
        (["event": "error"] as JSONOutput).adding(contentsOf: members(diagnostic))
    }

    private static func members(_ diagnostic: any Diagnostic) -> JSONOutput {
        Report.Value.facts(facts(diagnostic)).json
    }

    /// What documents have of an error, under the same keys for every error.
    public static func facts(_ diagnostic: any Diagnostic) -> [Report.Fact] {
        let details = diagnostic.details.map { details in
            Report.Table(
                nil, details.columns.map { .init($0, nil) }, rows: details.rows.map { $0.map(Report.Value.text) })
        }
        return [
            .init("code", .text(diagnostic.code)), .init("message", .text(diagnostic.message)),
            .init("file", .init(diagnostic.file)), .init("tensor", .init(diagnostic.tensor)),
            .init("offset", .init(diagnostic.byteOffset.flatMap(Int.init(exactly:)))),
            .init("hint", .init(diagnostic.hint)),
            .init("line", diagnostic.position.map { .integer($0.line) } ?? .absent),
            .init("column", diagnostic.position.map { .integer($0.column) } ?? .absent),
            .init("details", details.map(Report.Value.table) ?? .absent),
        ]
    }
}
