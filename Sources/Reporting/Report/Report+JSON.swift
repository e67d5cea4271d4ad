extension Report {
    /// The report as a JSON document: facts at the top level, tables as arrays of objects, matrices as
    /// `{"rows","columns","values"}`.
    public var json: JSONOutput {
        var members = provenance.map { ($0.key, $0.value.json) }
        for section in sections {
            switch section {
            case .facts(let facts): members += facts.map { ($0.key, $0.value.json) }
            case .table(let table): members += table.key.map { [($0, table.json)] } ?? []
            case .matrix(let matrix): members.append((matrix.key, matrix.json))
            case .series(let series): members += series.table.key.map { [($0, series.table.json)] } ?? []
            case .text: break
            case .warnings: members.append(("warnings", .strings(warnings.map(\.text))))
            }
        }
        return JSONOutput(nesting: members.map { ($0.split(separator: "."), $1) })
    }
}

extension Report.Table {
    /// An array with an object for each row.
    package var json: JSONOutput {
        let keys = columns.map { $0.key?.split(separator: ".") }
        return .array(
            rows.map { row in
                JSONOutput(
                    nesting: columns.indices.compactMap { place in
                        guard let key = keys[place], row[place] != .absent else { return nil }
                        return (key, row[place].json)
                    })
            })
    }
}

extension Report.Matrix {
    fileprivate var json: JSONOutput {
        [
            "rows": .strings(rows), "columns": .strings(columns),
            "values": .array(values.map { .array($0.map(JSONOutput.number)) }),
        ]
    }
}

extension Report.Value {
    fileprivate var json: JSONOutput {
        switch self {
        case .none, .absent: .null
        case .text(let text): .string(text)
        case .flag(let flag): .bool(flag)
        case .integer(let count): .integer(count)
        case .number(let number): .number(number)
        case .change(let first, let last): ["first": .number(first), "last": .number(last)]
        case .list(let values): .array(values.map(\.json))
        case .table(let table): table.json
        case .facts(let facts): .object(facts.map { .init($0.key, $0.value.json) })
        }
    }
}

extension JSONOutput {
    /// An object of values at the ends of paths; what begins alike becomes one object, at the place of the first.
    fileprivate init(nesting members: [(path: [Substring], value: JSONOutput)]) {
        var keys: [Substring] = []
        var groups: [Substring: [(path: [Substring], value: JSONOutput)]] = [:]
        for (path, value) in members {
            if groups[path[0]] == nil { keys.append(path[0]) }
            groups[path[0], default: []].append((Array(path.dropFirst()), value))
        }
        self = .object(
            keys.map { key in
                let group = groups[key] ?? []
                return Member(String(key), group[0].path.isEmpty ? group[0].value : JSONOutput(nesting: group))
            })
    }
}
