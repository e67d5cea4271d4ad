import TensorCore

extension Report {
    /// The report as Markdown: tables, and the document if the report has a mark.
    public var markdown: String {
        let tables = shownTables.map { table in
            func row(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |\n" }
            return row(table.columns.map(\.title.escapedForMarkdown))
                + row(table.columns.map { $0.alignment == .right ? "--:" : "---" })
                + table.rows.map { row($0.map(\.escapedForMarkdown)) }.joined()
        }
        // Strings of JSON hold no line that could end the block.
        let document = mark == nil ? [] : ["```json\n\(json.rendered())\n```\n"]
        return (["# \(title.escapingControlCharacters.escapedForMarkdown)\n"] + tables + document).joined(
            separator: "\n")
    }
}

extension String {
    /// The text with a backslash before what would be markup, so that names with underscores stay what they are.
    fileprivate var escapedForMarkdown: String {
        String(flatMap { "\\`*_{}[]<>#|~&!".contains($0) ? ["\\", $0] : [$0] })
    }
}
