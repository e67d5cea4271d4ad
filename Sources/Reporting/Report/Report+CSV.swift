extension Report {
    /// The report as comma-separated values: what documents have, with keys as titles.
    ///
    /// Fields are quoted as in RFC 4180, lines end in a newline. A single table stands by itself. Of several, each begins with a line
    /// that has only its key, and an empty line lies between them. Facts are together in the first, `facts`, with the columns
    /// `key` and `value`. What is nested in the rows of a table is a table of its own, whose first columns say to what it belongs.
    public var csv: String {
        let (facts, tables) = contents(of: sections)
        let rows = (provenance + facts).flatMap { $0.rows() }
        let sheets = (rows.isEmpty ? [] : [Sheet(name: "facts", titles: ["key", "value"], rows: rows)]) + tables
        if sheets.count == 1 { return sheets[0].text }
        return sheets.map { Sheet.line([$0.name]) + $0.text }.joined(separator: "\n")
    }

    private func contents(of sections: [Section]) -> (facts: [Fact], tables: [Sheet]) {
        var (facts, tables): ([Fact], [Sheet]) = ([], [])
        for section in sections {
            switch section {
            case .facts(let more): facts += more
            case .table(let table): tables += table.sheets()
            case .series(let series): tables += series.table.sheets()
            case .matrix(let matrix):
                guard let key = matrix.key else { break }
                tables.append(
                    Sheet(
                        name: key, titles: [""] + matrix.columns,
                        rows: zip(matrix.rows, matrix.values).map { [$0] + $1.map(\.description) }))
                guard !matrix.intervals.isEmpty else { break }
                tables.append(
                    Sheet(
                        name: key + ".intervals", titles: [""] + matrix.columns,
                        rows: zip(matrix.rows, matrix.intervals).map { name, row in
                            [name] + row.map { $0.map { "\($0.lowerBound);\($0.upperBound)" } ?? "" }
                        }))
            case .text, .bars, .scatter: break
            case .group(let sections):
                let more = contents(of: sections)
                facts += more.facts
                tables += more.tables
            case .reports(let key, let reports): tables += Table(key, of: reports).sheets()
            case .warnings:
                tables.append(
                    Sheet(name: "warnings", titles: ["code", "message"], rows: warnings.map { [$0.code, $0.text] }))
            }
        }
        return (facts, tables)
    }
}

/// One table of fields.
private struct Sheet {
    let name: String
    let titles: [String]
    var rows: [[String]]

    var text: String { ([titles] + rows).map(Self.line).joined() }

    static func line(_ fields: [String]) -> String { fields.map(quoted).joined(separator: ",") + "\n" }

    private static func quoted(_ field: String) -> String {
        guard field.utf8.contains(where: { [0x22, 0x2C, 0x0A, 0x0D].contains($0) }) else { return field }
        return "\"" + field.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}

extension Report.Table {
    /// The table, if it has a key, and those that are nested in it.
    ///
    /// - Parameters:
    ///   - outer: the key of the table around it.
    ///   - owner: titles and fields that say to which row of that table this one belongs.
    fileprivate func sheets(
        in outer: String? = nil, of owner: (titles: [String], fields: [String]) = ([], [])
    ) -> [Sheet] {
        guard let key else { return [] }
        let rows = Array(rows)
        let name = (outer.map { $0 + "." } ?? "") + key
        func isNested(_ place: Int) -> Bool { rows.contains { if case .table = $0[place] { true } else { false } } }
        let places = columns.indices.filter { columns[$0].key != nil }
        let (nested, flat) = (places.filter(isNested), places.filter { !isNested($0) })
        func fieldKeys(_ place: Int) -> [String] {
            let key = columns[place].key ?? ""
            if case .change = columns[place].kind { return [key + ".first", key + ".last"] }
            return [key]
        }
        let own = Sheet(
            name: name, titles: owner.titles + flat.flatMap(fieldKeys),
            rows: rows.map { row in
                owner.fields
                    + flat.flatMap { place in
                        let fields = row[place].fields
                        return fields.count < fieldKeys(place).count ? ["", ""] : fields
                    }
            })
        guard let first = flat.first else { return [own] }
        var sheets = [own]
        for place in nested {
            var gathered: [Sheet] = []
            for row in rows {
                guard case .table(var table) = row[place] else { continue }
                table.key = columns[place].key
                let parts = table.sheets(
                    in: name,
                    of: (
                        owner.titles + ["\(name).\(columns[first].key ?? "")"], owner.fields + row[first].fields
                    ))
                for part in parts {
                    if let index = gathered.firstIndex(where: { $0.name == part.name }) {
                        gathered[index].rows += part.rows
                    } else {
                        gathered.append(part)
                    }
                }
            }
            sheets += gathered
        }
        return sheets
    }
}

extension Report.Fact {
    /// Keys and values; facts within a fact have a row each: `totals.bytes`.
    ///
    /// - Parameter outer: the key of the fact around it, with a dot.
    fileprivate func rows(in outer: String = "") -> [[String]] {
        guard let key = column.key.map({ outer + $0 }), value != .absent else { return [] }
        switch value {
        case .facts(let facts): return facts.flatMap { $0.rows(in: key + ".") }
        case .change: return zip([key + ".first", key + ".last"], value.fields).map { [$0, $1] }
        default: return [[key] + value.fields]
        }
    }
}

extension Report.Value {
    /// What is written into the fields of a row.
    fileprivate var fields: [String] {
        switch self {
        case .none, .absent, .table: [""]
        case .text(let text): [text]
        case .flag(let flag): [flag ? "true" : "false"]
        case .integer(let count): ["\(count)"]
        case .number(let number): [number.description]
        case .change(let first, let last): [first.description, last.description]
        case .list(let values):
            [
                values.map { value in
                    if case .list(let inner) = value { return inner.flatMap(\.fields).joined(separator: " ") }
                    return value.fields.joined(separator: ";")
                }.joined(separator: ";")
            ]
        case .facts(let facts):
            [facts.map { "\($0.column.key ?? "")=" + $0.value.fields.joined(separator: ";") }.joined(separator: ";")]
        }
    }
}
