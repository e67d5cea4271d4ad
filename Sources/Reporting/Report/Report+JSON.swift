extension Report {
    /// The report as a JSON document: facts at the top level, tables as arrays of objects, matrices as
    /// `{"rows","columns","values"}`.
    public var json: JSONOutput {
        let facts = documentFacts
        return KeyTree(facts.map(\.column.key)).object(facts.map(\.value))
    }

    /// All that documents have.
    fileprivate var documentFacts: [Fact] { provenance + facts(of: sections) }

    private func facts(of sections: [Section]) -> [Fact] {
        sections.flatMap { section -> [Fact] in
            switch section {
            case .facts(let facts): facts
            case .table(let table): [Fact(table.key, .table(table))]
            case .matrix(let matrix): [Fact(matrix.key, matrix.value)]
            case .series(let series): [Fact(series.table.key, .table(series.table))]
            case .text, .bars, .scatter: []
            case .group(let sections): facts(of: sections)
            case .reports(let key, let reports): [Fact(key, .table(Table(key, of: reports)))]
            case .warnings: [Fact("warnings", .texts(warnings.map(\.text)))]
            }
        }
    }
}

extension Report.Table {
    /// Reports as a table for documents, with a row for each, and a column for everything that documents have of any of them.
    init(_ key: String, of reports: [Report]) {
        let facts = reports.map(\.documentFacts)
        var places: [String: Int] = [:]
        var columns: [Report.Column] = []
        for key in facts.joined().compactMap(\.column.key) where places[key] == nil {
            places[key] = columns.count
            columns.append(.init(key, nil))
        }
        self.init(
            key, columns,
            rows: facts.map { facts in
                var row = [Report.Value](repeating: .absent, count: columns.count)
                for fact in facts { if let place = fact.column.key.flatMap({ places[$0] }) { row[place] = fact.value } }
                return row
            })
    }
}

extension Report.Matrix {
    /// The matrix as a part of a document.
    public var value: Report.Value {
        .facts([
            .init("rows", .texts(rows)), .init("columns", .texts(columns)),
            .init("values", .list(values.map(Report.Value.numbers))),
            .init(
                "intervals",
                intervals.isEmpty
                    ? .absent
                    : .list(
                        intervals.map { row in
                            .list(row.map { $0.map { .numbers([$0.lowerBound, $0.upperBound]) } ?? .none })
                        })),
        ])
    }
}

extension Report.Value {
    /// The value as a part of a document.
    var json: JSONOutput {
        switch self {
        case .none, .absent: .null
        case .text(let text): .string(text)
        case .flag(let flag): .bool(flag)
        case .integer(let count): .integer(count)
        case .number(let number): .number(number)
        case .change(let first, let last): ["first": .number(first), "last": .number(last)]
        case .list(let values): .array(values.map(\.json))
        case .table(let table): .rows(table)
        case .facts(let facts):
            .object(
                facts.compactMap { fact in
                    guard let key = fact.column.key, fact.value != .absent else { return nil }
                    return .init(key, fact.value.json)
                })
        }
    }
}
