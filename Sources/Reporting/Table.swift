import TensorCore

/// Rows of text in aligned columns, for people.
///
/// Column widths follow what a terminal shows, not byte or character counts. Titles and cells are one line each: control
/// characters are escaped. No line ends in spaces.
public struct Table: Sendable {
    /// A column with its title and the side its cells are set against.
    public struct Column: Sendable {
        public let title: String
        public let alignment: Alignment

        public init(_ title: String, _ alignment: Alignment = .left) {
            self.title = title.escapingControlCharacters
            self.alignment = alignment
        }
    }

    public enum Alignment: Sendable {
        /// For names and other text.
        case left
        /// For numbers and sizes.
        case right
    }

    public let columns: [Column]
    public private(set) var rows: [[String]] = []
    /// Whether the titles are printed above the rows.
    public var showsTitles = true

    public init(_ columns: [Column]) { self.columns = columns }

    /// Adds a row; missing cells at its end are empty.
    ///
    /// - Precondition: there are no more cells than columns.
    public mutating func append(_ cells: [String]) {
        precondition(cells.count <= columns.count, "a row has more cells than the table has columns")
        let padding = repeatElement("", count: columns.count - cells.count)
        rows.append(cells.map(\.escapingControlCharacters) + padding)
    }

    /// The lines of the table, each ended by a newline, with two spaces between columns.
    public func rendered() -> String {
        var text = ""
        append(to: &text)
        return text
    }

    /// Adds the lines to a text.
    func append(to text: inout String) {
        let titles = showsTitles ? [columns.map(\.title)] : []
        var widths = columns.map { _ in 0 }
        for line in [titles, rows].joined() {
            for column in columns.indices { widths[column] = max(widths[column], line[column].displayWidth) }
        }
        for line in [titles, rows].joined() {
            // Padding is held back until something follows it.
            var pending = 0
            for (column, cell) in zip(columns.indices, line) {
                let space = widths[column] - cell.displayWidth
                if columns[column].alignment == .right { pending += space }
                if !cell.isEmpty {
                    text += String(repeating: " ", count: pending)
                    text += cell
                    pending = 0
                }
                if columns[column].alignment == .left { pending += space }
                pending += 2
            }
            text += "\n"
        }
    }
}
