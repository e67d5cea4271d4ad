/// Which columns of a table are shown, and how wide, so that its lines fit a terminal where they can.
///
/// Names give way first, then gauges, then names again, then the titles above numbers. Numbers never do: where even that is not
/// enough, lines are longer than the terminal.
struct TableLayout {
    /// The columns that are shown.
    private(set) var places: [Int]
    /// By columns, also those that are not shown.
    private(set) var widths: [Int]
    private let columns: [Table.Column]

    /// How much of names stays while there are gauges, and at least.
    private static let (comfortable, least) = (24, 12)
    /// How much of titles stays.
    private static let leastTitle = 6

    /// Lays a table out.
    ///
    /// - Parameters:
    ///   - titles: the width of each title, 0 where none is shown.
    ///   - cells: that of the widest cell of each column.
    ///   - limit: how long lines may be; nil for as long as they get.
    init(_ columns: [Table.Column], titles: [Int], cells: [Int], limit: Int?) {
        self.columns = columns
        places = Array(columns.indices)
        widths = zip(titles, cells).map(max)
        guard let limit else { return }
        let natural = widths
        let names = places.filter { columns[$0].fit == .cut }
        shrink(names, to: Self.comfortable, limit)
        guard length > limit else { return }
        places.removeAll { columns[$0].fit == .leftOut }
        widths = natural
        shrink(names, to: Self.least, limit)
        guard length > limit else { return }
        let least = zip(widths, cells).map { width, cells in min(width, max(cells, Self.leastTitle)) }
        for place in places where columns[place].fit == .whole {
            widths[place] = max(least[place], widths[place] - max(0, length - limit))
        }
    }

    /// The spaces in front of a column that is not the first.
    func gap(before column: Int) -> Int { columns[column].fit == .leftOut ? 1 : 2 }

    private var length: Int {
        places.reduce(0) { $0 + widths[$1] } + places.dropFirst().reduce(0) { $0 + gap(before: $1) }
    }

    /// Makes the widest of some columns narrower, no more than is needed and none narrower than a least width.
    private mutating func shrink(_ names: [Int], to least: Int, _ limit: Int) {
        let others = length - names.reduce(0) { $0 + widths[$1] }
        func total(_ cap: Int) -> Int { names.reduce(others) { $0 + min(widths[$1], cap) } }
        var range = least...max(least, names.map { widths[$0] }.max() ?? 0)
        while range.lowerBound < range.upperBound {
            let middle = (range.lowerBound + range.upperBound + 1) / 2
            range = total(middle) <= limit ? middle...range.upperBound : range.lowerBound...(middle - 1)
        }
        for name in names { widths[name] = min(widths[name], range.lowerBound) }
    }
}
