import TensorCore

extension Report {
    /// The report as plain text, for pipes and files.
    public var text: String { text(in: .plain) }

    /// The report for a terminal: aligned tables and lines of text, with an empty line between sections.
    ///
    /// Bars, heat maps and colours are those that the style has. Where lines would be longer than its columns, titles break, names are
    /// shortened and columns go below each other; lines of text are left to the terminal.
    public func text(in style: TextStyle) -> String {
        var text = ""
        Self.append([.text(summary)] + sections, between: "\n", style, to: &text)
        return text
    }

    /// Adds what the sections become to one text, of which there is no second copy; those for documents alone become nothing.
    private static func append(
        _ sections: [Section], between separator: String, _ style: TextStyle, to text: inout String
    ) {
        let origin = text.utf8.count
        var end = origin
        for section in sections {
            let start = end
            if start > origin { text += separator }
            let separated = text.utf8.count
            switch section {
            case .facts(let facts): facts.shown?.append(to: &text, in: style)
            case .table(let table): table.shown(in: style)?.append(to: &text, in: style)
            case .matrix(let matrix) where matrix.isForPages: break
            case .matrix(let matrix):
                append([.text(matrix.caption.map { [$0] } ?? [])], between: "", style, to: &text)
                matrix.shown(in: style).append(to: &text, in: style)
            case .text(let lines): for line in lines { text += line.escapingControlCharacters + "\n" }
            case .group(let sections): append(sections, between: "", style, to: &text)
            case .reports(_, let reports): append(reports.flatMap(\.sections), between: separator, style, to: &text)
            case .bars(let bars) where !bars.isForPages:
                append([.text([bars.caption]), .table(bars.table)], between: "", style, to: &text)
            case .series, .bars, .scatter, .warnings: break
            }
            if text.utf8.count == separated { text.removeLast(separated - start) }
            end = text.utf8.count
        }
    }
}
