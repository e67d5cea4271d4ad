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
        /// Its cells stay as they are, as numbers must; the title may be cut.
        case whole
        /// Names, which are cut in the middle.
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
        let layout = TableLayout(
            columns, titles: titles.map(\.displayWidth), cells: cellWidths, limit: style.columns)
        if showsTitles { append(titles, nil, layout, style, to: &text) }
        for (place, row) in rows.enumerated() { append(row, colours[place], layout, style, to: &text) }
    }

    private func append(
        _ line: [String], _ colours: [TerminalColour?]?, _ layout: TableLayout, _ style: TextStyle,
        to text: inout String
    ) {
        // Padding is held back until something follows it.
        var pending = 0
        for (place, column) in layout.places.enumerated() {
            let width = layout.widths[column]
            let cell = line[column].cutInTheMiddle(to: width, mark: style.ellipsis)
            let space = String(repeating: " ", count: width - cell.displayWidth)
            let isRight = columns[column].alignment == .right
            if place > 0 { pending += layout.gap(before: column) }
            if let colour = colours?[column] {
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
