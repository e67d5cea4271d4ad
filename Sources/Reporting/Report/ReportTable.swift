extension Report {
    /// Rows of values.
    public struct Table: Sendable, Hashable {
        /// Documents leave out what has none.
        public var key: String?
        public var columns: [Column]
        /// As many values as there are columns, in each row.
        public var rows: Rows
        /// Means or totals, below the rows; for people, documents have them as facts.
        public var footer: [Value]?

        /// Makes a table of rows that are there.
        public init(_ key: String?, _ columns: [Column], rows: [[Value]], footer: [Value]? = nil) {
            self.init(key, columns, rows: Rows(rows), footer: footer)
        }

        /// Makes a table of rows that may be many.
        public init(_ key: String?, _ columns: [Column], rows: Rows, footer: [Value]? = nil) {
            self.key = key
            self.columns = columns
            self.rows = rows
            self.footer = footer
        }

        /// The table for documents alone.
        public var forDocuments: Table {
            var table = self
            for index in columns.indices { table.columns[index].title = nil }
            return table
        }

        /// The table as it is shown to people; nil when no column has a title. Where all titles are empty, none is shown.
        var shown: Reporting.Table? {
            let places = columns.indices.filter { columns[$0].title != nil }
            guard !places.isEmpty else { return nil }
            var table = Reporting.Table(places.map { .init(columns[$0].title ?? "", columns[$0].kind.alignment) })
            table.showsTitles = places.contains { columns[$0].title != "" }
            func append(_ row: [Value]) { table.append(places.map { columns[$0].kind.text(row[$0]) }) }
            rows.forEach(append)
            footer.map(append)
            return table
        }
    }

    /// What the values of a column are.
    public struct Column: Sendable, Hashable {
        /// In documents; nil leaves the column out. Dots lead into objects of JSON: `accuracy.base`.
        public var key: String?
        /// For people; nil leaves the column out.
        public var title: String?
        public var kind: Kind

        public init(_ key: String?, _ title: String?, _ kind: Kind = .text) {
            self.key = key
            self.title = title
            self.kind = kind
        }
    }
}

extension Report.Matrix {
    /// The matrix as it is shown to people.
    var shown: Table {
        var table = Table([.init(title)] + columns.map { .init($0, kind.alignment) })
        for (name, row) in zip(rows, values) { table.append([name] + row.map { kind.text(.number($0)) }) }
        return table
    }
}

extension Report.Bars {
    /// The figures as they are shown to people.
    var table: Report.Table {
        let columns = groups.flatMap { group -> [Report.Column] in
            [.init(nil, group.name, kind)] + (group.intervals.isEmpty ? [] : [.init(nil, "95 %", kind)])
        }
        return Report.Table(
            nil, [.init(nil, title)] + columns,
            rows: labels.indices.map { place in
                [.text(labels[place])]
                    + groups.flatMap { group -> [Report.Value] in
                        [.init(group.values[place])]
                            + (group.intervals.isEmpty ? [] : [.init(interval: group.intervals[place])])
                    }
            })
    }
}

extension Report.Scatter {
    /// The figures as they are shown to people.
    var table: Report.Table {
        let hasIntervals = points.contains { $0.interval != nil }
        return Report.Table(
            nil, [.init(nil, title), x, y] + (hasIntervals ? [.init(nil, "95 %", y.kind)] : []),
            rows: points.map { point in
                [.text(point.name), .number(point.x), .number(point.y)]
                    + (hasIntervals ? [.init(interval: point.interval)] : [])
            })
    }
}

extension Report.Value {
    /// Both ends of an interval.
    fileprivate init(interval: ClosedRange<Double>?) {
        self = interval.map { .numbers([$0.lowerBound, $0.upperBound]) } ?? .none
    }
}

extension [Report.Fact] {
    /// The facts that have a title as a list with their values on the right; nil when none has one.
    var shown: Table? {
        let facts = filter { $0.column.title != nil }
        guard !facts.isEmpty else { return nil }
        var table = Table([.init(""), .init("", .right)])
        table.showsTitles = false
        for fact in facts { table.append([fact.column.title ?? "", fact.column.kind.text(fact.value)]) }
        return table
    }
}
