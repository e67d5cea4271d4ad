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
        var shown: Reporting.Table? { shown(in: .plain) }

        /// The table with its gauges, as far as a terminal has them.
        func shown(in style: TextStyle) -> Reporting.Table? {
            let places = columns.indices.filter { columns[$0].title != nil }
            guard !places.isEmpty else { return nil }
            let gauges = places.map { place in
                // A share is one of a whole, which is the full length.
                let whole: [Double?] = columns[place].kind == .share ? [1] : []
                return columns[place].gauge.flatMap { gauge in
                    DrawnGauge(gauge, rows.map { $0[place].figure } + whole, in: style)
                }
            }
            var table = Reporting.Table(
                zip(places, gauges).flatMap { place, gauge -> [Reporting.Table.Column] in
                    let column = columns[place]
                    let fit: Reporting.Table.Fit = column.kind == .text && column.mayBeCut ? .cut : .whole
                    return [.init(column.title ?? "", column.kind.alignment, fit: fit)] + (gauge?.columns ?? [])
                })
            table.showsTitles = places.contains { columns[$0].title != "" }
            for row in rows {
                table.append(
                    zip(places, gauges).flatMap { place, gauge -> [Reporting.Table.Cell] in
                        let text = columns[place].kind.text(row[place])
                        return gauge?.cells(text, row[place].figure) ?? [.init(text)]
                    })
            }
            // Means and totals are no figures among others.
            if let footer {
                table.append(
                    zip(places, gauges).flatMap { place, gauge -> [Reporting.Table.Cell] in
                        [.init(columns[place].kind.text(footer[place]))] + (gauge?.columns.map { _ in .init("") } ?? [])
                    })
            }
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
        /// What a terminal draws for its figures.
        public var gauge: Gauge?
        /// Whether a terminal that is too narrow gets texts without their middle: not what is to be copied, as digests are.
        public var mayBeCut = true

        public init(_ key: String?, _ title: String?, _ kind: Kind = .text, gauge: Gauge? = nil) {
            self.key = key
            self.title = title
            self.kind = kind
            self.gauge = gauge
        }
    }
}

extension Report.Matrix {
    /// The matrix as it is shown to people.
    var shown: Table { shown(in: .plain) }

    /// The matrix as a heat map, as far as a terminal has one. Where it has no room for the names of the columns, these are the numbers of
    /// the rows.
    func shown(in style: TextStyle) -> Table {
        let gauge = DrawnGauge(.heat(scale), values.lazy.joined().map(Optional.some), in: style)
        let isNumbered = rows == columns && style.columns.map { width > $0 } ?? false
        let titles = isNumbered ? columns.indices.map { String($0 + 1) } : columns
        var heads: [Table.Column] = isNumbered ? [.init("", .right, fit: .cut)] : []
        heads.append(.init(title, .left, fit: .cut))
        for title in titles { heads += [.init(title, kind.alignment)] + (gauge?.columns ?? []) }
        var table = Table(heads)
        for (number, row) in zip(texts, values).enumerated() {
            var cells: [Table.Cell] = isNumbered ? [.init(String(number + 1))] : []
            cells.append(.init(rows[number]))
            for (text, figure) in zip(row.0, row.1) { cells += gauge?.cells(text, figure) ?? [.init(text)] }
            table.append(cells)
        }
        return table
    }

    /// How wide the matrix is with all names, without gauges.
    private var width: Int {
        let texts = texts
        return columns.indices.reduce((rows + [title]).map(\.displayWidth).max() ?? 0) { width, column in
            width + 2 + (texts.map { $0[column] } + [columns[column]]).map(\.displayWidth).max()!
        }
    }

    /// The figures as people read them.
    var texts: [[String]] { values.map { $0.map { kind.text($0.isNaN ? .none : .number($0)) } } }
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
                            + (group.intervals.isEmpty ? [] : [.interval(group.intervals[place])])
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
                    + (hasIntervals ? [.interval(point.interval)] : [])
            })
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
