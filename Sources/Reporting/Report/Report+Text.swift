import TensorCore

extension Report {
    /// The report for a terminal: aligned tables and lines of text, with an empty line between sections.
    public var text: String {
        var text = ""
        Self.append([.text(summary)] + sections, between: "\n", to: &text)
        return text
    }

    /// Adds what the sections become to one text, of which there is no second copy; those for documents alone become nothing.
    private static func append(_ sections: [Section], between separator: String, to text: inout String) {
        let origin = text.utf8.count
        var end = origin
        for section in sections {
            let start = end
            if start > origin { text += separator }
            let separated = text.utf8.count
            switch section {
            case .facts(let facts): facts.shown?.append(to: &text)
            case .table(let table): table.shown?.append(to: &text)
            case .matrix(let matrix): matrix.shown.append(to: &text)
            case .text(let lines): for line in lines { text += line.escapingControlCharacters + "\n" }
            case .group(let sections): append(sections, between: "", to: &text)
            case .reports(_, let reports): append(reports.flatMap(\.sections), between: separator, to: &text)
            case .series, .bars, .scatter, .warnings: break
            }
            if text.utf8.count == separated { text.removeLast(separated - start) }
            end = text.utf8.count
        }
    }
}
