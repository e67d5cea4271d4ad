/// Which columns of a table are shown, and how wide, so that its lines fit a terminal where they can.
///
/// Titles break between words first, then names lose what they can spare, then gauges are left out, then names get as short as they can be
/// told apart, then titles break anywhere. What has no room even then is a block of columns of its own below, behind the names again.
/// Numbers never give way: where a single column of them is too wide, lines are longer than the terminal.
struct TableLayout {
    /// The columns that are shown, in blocks that stand below each other.
    private(set) var blocks: [[Int]]
    /// By columns, also those that are not shown.
    private(set) var widths: [Int]
    private let columns: [Table.Column]

    /// How much of names stays while there are gauges, and at least.
    private static let (comfortable, least) = (24, 12)
    /// The least that titles are broken to.
    private static let leastTitle = 8

    /// Lays a table out.
    ///
    /// - Parameters:
    ///   - titles: of the columns; empty where none is shown.
    ///   - cells: the width of the widest cell of each column.
    ///   - limit: how long lines may be; nil for as long as they get.
    ///   - leastWidth: in how many columns, from a number on, the cells of a column of names stay different.
    init(
        _ columns: [Table.Column], titles: [String], cells: [Int], limit: Int?,
        leastWidth: (_ column: Int, _ from: Int) -> Int
    ) {
        self.columns = columns
        blocks = [Array(columns.indices)]
        widths = zip(titles, cells).map { max($0.displayWidth, $1) }
        guard let limit, length > limit else { return }
        func titled(_ width: (String) -> Int) -> [Int] { zip(titles, cells).map { max(width($0), $1) } }
        let others = columns.indices.filter { columns[$0].fit == .whole }
        narrow(others, to: titled(\.widthOnTwoLines), limit)
        guard length > limit else { return }
        let natural = widths
        let names = columns.indices.filter { columns[$0].fit == .cut }
        func shrunk(to least: Int) -> [Int: Int] {
            Dictionary(uniqueKeysWithValues: names.map { ($0, max(leastWidth($0, least), titles[$0].widthOnTwoLines)) })
        }
        shrink(names, to: shrunk(to: Self.comfortable), limit)
        guard length > limit else { return }
        blocks = [columns.indices.filter { columns[$0].fit != .leftOut }]
        widths = natural
        shrink(names, to: shrunk(to: Self.least), limit)
        guard length > limit else { return }
        narrow(others, to: titled { min($0.displayWidth, Self.leastTitle) }, limit)
        if length > limit { breakUp(limit) }
    }

    /// The spaces in front of a column that is not the first.
    func gap(before column: Int) -> Int { columns[column].fit == .leftOut ? 1 : 2 }

    private var length: Int { length(of: blocks[0]) }

    private func length(of places: [Int]) -> Int {
        places.reduce(0) { $0 + widths[$1] } + places.dropFirst().reduce(0) { $0 + gap(before: $1) }
    }

    /// Makes columns narrower, one after the other, no more than is needed and none narrower than its least width.
    private mutating func narrow(_ places: [Int], to least: [Int], _ limit: Int) {
        for place in places {
            widths[place] = max(min(least[place], widths[place]), widths[place] - max(0, length - limit))
        }
    }

    /// Makes the widest of some columns narrower, no more than is needed and none narrower than its least width.
    private mutating func shrink(_ names: [Int], to least: [Int: Int], _ limit: Int) {
        let natural = widths
        func width(_ name: Int, _ cap: Int) -> Int { min(natural[name], max(cap, least[name] ?? 0)) }
        let others = length - names.reduce(0) { $0 + natural[$1] }
        var range = 0...(names.map { natural[$0] }.max() ?? 0)
        while range.lowerBound < range.upperBound {
            let middle = (range.lowerBound + range.upperBound + 1) / 2
            let total = names.reduce(others) { $0 + width($1, middle) }
            range = total <= limit ? middle...range.upperBound : range.lowerBound...(middle - 1)
        }
        for name in names { widths[name] = width(name, range.lowerBound) }
    }

    /// Puts columns into blocks, each behind the names that rows begin with.
    private mutating func breakUp(_ limit: Int) {
        let places = blocks[0]
        let heads = Array(places.prefix { columns[$0].fit == .cut })
        // Lines without a name belong to none.
        guard !heads.isEmpty else { return }
        var found: [[Int]] = []
        var block = heads
        for place in places.dropFirst(heads.count) {
            if block.count > heads.count, length(of: block + [place]) > limit {
                found.append(block)
                block = heads
            }
            block.append(place)
        }
        blocks = found + [block]
    }
}

extension String {
    /// How wide a title is on two lines that break between words.
    fileprivate var widthOnTwoLines: Int {
        let words = split(separator: " ").map { String($0).displayWidth }
        return words.indices.map { place in
            let lines = [words[..<place], words[place...]].filter { !$0.isEmpty }
            return lines.map { $0.reduce(0, +) + $0.count - 1 }.max() ?? 0
        }.min() ?? displayWidth
    }

    /// The lines of a title in so many columns: broken between words, then behind what joins words, then anywhere.
    func titleLines(in columns: Int) -> [String] {
        guard displayWidth > columns else { return [self] }
        var lines: [String] = []
        var line = ""
        for word in split(separator: " ") {
            if !line.isEmpty, line.displayWidth + 1 + String(word).displayWidth <= columns {
                line += " " + word
                continue
            }
            if !line.isEmpty { lines.append(line) }
            line = ""
            for part in word.parts {
                if line.displayWidth + part.displayWidth <= columns {
                    line += part
                    continue
                }
                if !line.isEmpty { lines.append(line) }
                line = part
                while line.displayWidth > columns, case let start = line.prefix(columns: columns), !start.isEmpty {
                    lines.append(start)
                    line = String(line.dropFirst(start.count))
                }
            }
        }
        return lines + [line]
    }
}

extension Substring {
    /// The word in parts that each end in what joins words.
    fileprivate var parts: [String] {
        reduce(into: [""]) { parts, character in
            parts[parts.count - 1].append(character)
            if "_-./".contains(character) { parts.append("") }
        }.filter { !$0.isEmpty }
    }
}
