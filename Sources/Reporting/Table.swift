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
        let fit: Fit

        public init(_ title: String, _ alignment: Alignment = .left) { self.init(title, alignment, fit: .whole) }

        init(_ title: String, _ alignment: Alignment, fit: Fit) {
            self.title = title.escapingControlCharacters
            self.alignment = alignment
            self.fit = fit
        }
    }

    public enum Alignment: Sendable {
        /// For names and other text.
        case left
        /// For numbers and sizes.
        case right
    }

    /// What becomes of a column where lines are longer than a terminal is wide.
    enum Fit: Sendable {
        /// Its cells stay as they are, as numbers must; the title may be broken into lines.
        case whole
        /// Names, which are cut as far as they can be told apart.
        case cut
        /// A gauge, which stands close to its figures, and is left out.
        case leftOut
    }

    /// A text, and the colour behind it.
    struct Cell {
        let text: String
        let colour: TerminalColour?

        init(_ text: String, _ colour: TerminalColour? = nil) {
            self.text = text
            self.colour = colour
        }
    }

    public let columns: [Column]
    public private(set) var rows: [[String]] = []
    /// By rows, those of their cells; most tables have none.
    private var colours: [Int: [TerminalColour?]] = [:]
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

    /// Adds a row whose cells may have colours.
    ///
    /// - Precondition: there are as many cells as columns.
    mutating func append(_ cells: [Cell]) {
        if cells.contains(where: { $0.colour != nil }) { colours[rows.count] = cells.map(\.colour) }
        append(cells.map(\.text))
    }

    /// The lines of the table, each ended by a newline, with two spaces between columns.
    public func rendered() -> String {
        var text = ""
        append(to: &text, in: .plain)
        return text
    }

    /// Adds the lines to a text.
    func append(to text: inout String, in style: TextStyle) {
        let titles = showsTitles ? columns.map(\.title) : columns.map { _ in "" }
        var cellWidths = columns.map { _ in 0 }
        for row in rows {
            for column in columns.indices { cellWidths[column] = max(cellWidths[column], row[column].displayWidth) }
        }
        func names(of column: Int) -> ShortNames { ShortNames(rows.map { $0[column] }, mark: style.ellipsis) }
        let layout = TableLayout(columns, titles: titles, cells: cellWidths, limit: style.columns) {
            names(of: $0).leastWidth(from: $1)
        }
        var short: [Int: [String]] = [:]
        for column in columns.indices where layout.widths[column] < cellWidths[column] {
            short[column] = names(of: column).distinct(to: layout.widths[column])
        }
        for (number, block) in layout.blocks.enumerated() {
            if number > 0 { text += "\n" }
            if showsTitles { append(titles, block, layout, to: &text) }
            for (place, row) in rows.enumerated() {
                append(block, layout, to: &text) { (short[$0]?[place] ?? row[$0], colours[place]?[$0]) }
            }
        }
    }

    /// Adds titles, whose last lines stand beside each other.
    private func append(_ titles: [String], _ block: [Int], _ layout: TableLayout, to text: inout String) {
        let lines = block.map { titles[$0].titleLines(in: layout.widths[$0]) }
        let count = lines.map(\.count).max() ?? 0
        for number in 0..<count {
            let parts = Dictionary(
                uniqueKeysWithValues: zip(block, lines).map { column, lines in
                    let place = number - (count - lines.count)
                    return (column, place < 0 ? "" : lines[place])
                })
            append(block, layout, to: &text) { (parts[$0] ?? "", nil) }
        }
    }

    private func append(
        _ block: [Int], _ layout: TableLayout, to text: inout String,
        _ cell: (_ column: Int) -> (text: String, colour: TerminalColour?)
    ) {
        // Padding is held back until something follows it.
        var pending = 0
        for (place, column) in block.enumerated() {
            let (cell, colour) = cell(column)
            let space = String(repeating: " ", count: max(0, layout.widths[column] - cell.displayWidth))
            let isRight = columns[column].alignment == .right
            if place > 0 { pending += layout.gap(before: column) }
            if let colour {
                text += String(repeating: " ", count: pending) + colour.painting(isRight ? space + cell : cell + space)
                pending = 0
                continue
            }
            if isRight { pending += space.utf8.count }
            if !cell.isEmpty {
                text += String(repeating: " ", count: pending)
                text += cell
                pending = 0
            }
            if !isRight { pending += space.utf8.count }
        }
        text += "\n"
    }
}
