import TensorCore

extension Report {
    /// The report for a terminal: aligned tables and lines of text, with an empty line between sections.
    public var text: String {
        sections.compactMap { section in
            switch section {
            case .table(let table): table.shown?.rendered()
            case .matrix(let matrix): matrix.shown.rendered()
            case .text(let lines): lines.map { $0.escapingControlCharacters + "\n" }.joined()
            case .facts, .series, .warnings: nil
            }
        }.joined(separator: "\n")
    }
}
