import TensorCore

/// Names that stand together and are to be made short, so that different ones stay different.
///
/// What all have at their beginning or end tells nothing: of `expert_digits` and `expert_greek` stay `…digits` and `…greek`, where that is
/// enough. Otherwise the middle goes, or more of the end that the names differ less in.
struct ShortNames {
    private let names: [String]
    private let mark: String
    private let width: (Character) -> Int
    /// What all names begin with, and what all end with.
    private let common: (start: String, end: String)

    /// Looks at names.
    ///
    /// - Parameters:
    ///   - mark: stands for what is left out.
    ///   - width: how many columns a character counts.
    init(_ names: [String], mark: String, counting width: @escaping (Character) -> Int = { String($0).displayWidth }) {
        (self.names, self.mark, self.width) = (names, mark, width)
        let first = names.first ?? ""
        // What is there once differs from nothing.
        guard names.contains(where: { $0 != first }) else {
            common = ("", "")
            return
        }
        let start = names.reduce(first) { String(zip($0, $1).prefix { $0 == $1 }.map(\.0)) }
        let end = names.reduce(first) {
            String(zip($0.reversed(), $1.reversed()).prefix { $0 == $1 }.map(\.0).reversed())
        }
        let shortest = names.map(\.count).min() ?? 0
        common = (start, String(end.suffix(shortest - start.count)))
    }

    /// Shares of the room that are given to the beginning of a name, the usual one first.
    private static let shares = [0.5, 0.75, 0.25, 0, 1]

    /// The names in at most so many columns each; nil where different ones would be the same.
    func cut(to columns: Int) -> [String]? {
        guard names.contains(where: { size($0) > columns }) else { return names }
        if let context = context(in: columns),
            let short = distinct({ size($0) > columns ? context.start + core($0) + context.end : $0 })
        {
            return short
        }
        for share in Self.shares {
            if let short = distinct({ cutCommon($0, to: columns, start: share) }) { return short }
        }
        for share in Self.shares {
            if let short = distinct({ cut($0, to: columns, start: share) }) { return short }
        }
        return nil
    }

    /// The fewest columns, from a number on, in which the names stay different, to within a step of four.
    func leastWidth(from columns: Int) -> Int {
        let widest = names.map(size).max() ?? 0
        return stride(from: columns, to: widest, by: 4).first { cut(to: $0) != nil } ?? max(columns, widest)
    }

    /// The names in so many columns, or in as many as they need to stay different.
    func distinct(to columns: Int) -> [String] { cut(to: columns) ?? cut(to: leastWidth(from: columns)) ?? names }

    private func size(_ name: String) -> Int { name.reduce(0) { $0 + width($1) } }

    /// The names as a closure makes them; nil where it makes one of two.
    private func distinct(_ short: (String) -> String) -> [String]? {
        var origins: [String: String] = [:]
        var result: [String] = []
        for name in names {
            let text = short(name)
            if let origin = origins.updateValue(name, forKey: text), origin != name { return nil }
            result.append(text)
        }
        return result
    }

    private func cut(_ name: String, to columns: Int, start: Double) -> String {
        name.cutInTheMiddle(to: columns, mark: mark, start: start, counting: width)
    }

    private func core(_ name: String) -> String {
        String(name.dropFirst(common.start.count).dropLast(common.end.count))
    }

    /// As many whole words of what all names have in common, with marks for the rest, as there is room for beside what differs; nil where
    /// even that has none.
    private func context(in columns: Int) -> (start: String, end: String)? {
        let longest = names.lazy.filter { size($0) > columns }.map { size(core($0)) }.max() ?? 0
        let marks = [common.start, common.end].map { $0.isEmpty ? "" : mark }
        let spare = columns - longest - marks.reduce(0) { $0 + $1.displayWidth }
        guard spare >= 0 else { return nil }
        let end = common.end.beginning(of: spare / 2, counting: width)
        let start = String(common.start.reversed()).beginning(of: spare - size(end), counting: width)
        return (
            (start.count < common.start.count ? marks[0] : "") + String(start.reversed()),
            end + (end.count < common.end.count ? marks[1] : "")
        )
    }

    /// Leaves out what all names have in common, and then more.
    private func cutCommon(_ name: String, to columns: Int, start: Double) -> String {
        let marks = [common.start, common.end].map { $0.isEmpty ? "" : mark }
        let room = columns - marks.reduce(0) { $0 + $1.displayWidth }
        guard size(name) > columns, room > 0 else { return name }
        return marks[0] + cut(core(name), to: room, start: start) + marks[1]
    }
}

extension String {
    /// The whole words at the beginning that have room in so many columns, without what joins them to the next.
    fileprivate func beginning(of columns: Int, counting width: (Character) -> Int) -> String {
        var (used, end) = (0, startIndex)
        for place in indices {
            if " _-./".contains(self[place]) { end = place }
            used += width(self[place])
            if used > columns { return String(self[..<end]) }
        }
        return self
    }
}

extension [String] {
    /// The texts on one line each, of at most so many columns, or of as many as they need to stay different from each other.
    func cut(to columns: Int) -> [String] {
        ShortNames(map(\.escapingControlCharacters), mark: "…", counting: \.drawnColumns).distinct(to: columns)
    }
}
