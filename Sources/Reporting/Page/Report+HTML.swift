extension Report {
    /// The report as one self-contained page: the summary, every section with its pictures and their figures as tables, where the
    /// figures come from, and the document if the report has a mark.
    ///
    /// It has no scripts and fetches nothing. Nothing in titles, cells or names is taken as markup.
    public var html: String {
        var page = Markup()
        page.add("html", ["lang": "en"]) { page in
            page.add("head") { page in
                page.add("meta", ["charset": "utf-8"])
                page.add("meta", ["name": "viewport", "content": "width=device-width, initial-scale=1"])
                page.add("meta", ["name": "color-scheme", "content": "light dark"])
                page.add("title", title)
                // Else a browser asks the server of the page for one.
                page.add("link", ["rel": "icon", "href": "data:,"])
                page.add("style", lines: PageStyle.page)
                page.add("style", ["id": "pictures"], lines: PageStyle.pictures)
            }
            page.add("body") { page in
                page.add("header") { page in
                    page.add("h1", title)
                    page.add("div", ["class": "summary"]) { page in for line in summary { page.add("p", line) } }
                }
                page.add("main") { page in page.add(sections, of: self) }
                addEnd(to: &page)
            }
        }
        return "<!doctype html>\n" + page.text
    }

    private func addEnd(to page: inout Markup) {
        guard origin != nil || mark != nil else { return }
        page.add("footer") { page in
            if let origin { page.add(origin) }
            guard mark != nil else { return }
            page.add("details") { page in
                page.add("summary", "The same as a JSON document")
                page.add("pre", lines: json.rendered())
            }
        }
    }
}

extension Markup {
    /// Adds sections in their order.
    fileprivate mutating func add(_ sections: [Report.Section], of report: Report) {
        for section in sections {
            switch section {
            case .facts(let facts): add(facts)
            case .table(let table): add(table, about: table.key ?? report.title)
            case .matrix(let matrix):
                addFigure(matrix.caption ?? matrix.title, matrix.figures) { Report.Matrix.HeatMap(matrix) }
            case .series(let series):
                for figure in Report.SeriesFigure.figures(of: series) { add(figure, of: series) }
            case .bars(let bars): addFigure(bars.caption, bars.table) { Report.Bars.BarChart(bars) }
            case .scatter(let scatter):
                addFigure(scatter.caption, scatter.table) { Report.Scatter.ScatterPlot(scatter) }
            case .text([]): break
            case .text(let lines): add("p", ["class": "lines"], lines: lines.joined(separator: "\n"))
            case .group(let sections): add(sections, of: report)
            case .reports(_, let reports): for report in reports { add(report.sections, of: report) }
            case .warnings where report.warnings.isEmpty: break
            case .warnings:
                add("ul", ["class": "warnings"]) { page in
                    for warning in report.warnings { page.add("li", warning.text) }
                }
            }
        }
    }

    private mutating func add(_ figure: Report.SeriesFigure, of series: Report.Series) {
        let (table, placeCount) = figure.table
        let note =
            table.rows.count < placeCount
            ? "\(table.rows.count) of \(placeCount.grouped) places; the picture has all, and so have .csv and .json reports."
            : nil
        addFigure(figure.caption(of: series), table, note: note) { Report.SeriesFigure.CurveChart(figure) }
    }

    /// Adds a picture under its caption, and its figures below as a table. Where there is nothing to draw, the table is all.
    private mutating func addFigure(
        _ caption: String, _ table: Report.Table, note: String? = nil, _ drawing: () -> (some Drawing)?
    ) {
        add("figure") { page in
            page.add("figcaption", caption)
            if let drawing = drawing() {
                page.addScrolling("plot", about: caption) { $0.add(drawing, caption: caption) }
            }
            page.add(table, about: caption)
            if let note { page.add("p", ["class": "note"], note) }
        }
    }

    /// Adds a part that scrolls by itself where it has no room, also by the keyboard.
    private mutating func addScrolling(_ style: String, about subject: String, content: (inout Markup) -> Void) {
        let about = Attribute(subject.cut(to: 200))
        add("div", ["class": .init(style), "tabindex": "0", "role": "region", "aria-label": about], content: content)
    }

    private mutating func add(_ facts: [Report.Fact]) {
        let facts = facts.filter { $0.column.title != nil }
        guard !facts.isEmpty else { return }
        addScrolling("rows", about: "facts") { page in
            page.add("table") { page in
                for fact in facts {
                    page.addRow([fact.column.title ?? "", fact.column.kind.text(fact.value)], [.left, .right])
                }
            }
        }
    }

    /// Adds the columns of a table that have a title.
    fileprivate mutating func add(_ table: Report.Table, about subject: String) {
        let places = table.columns.indices.filter { table.columns[$0].title != nil }
        guard !places.isEmpty else { return }
        let titles = places.map { table.columns[$0].title ?? "" }
        let alignments = places.map { table.columns[$0].kind.alignment }
        func cells(_ row: [Report.Value]) -> [String] { places.map { table.columns[$0].kind.text(row[$0]) } }
        let isWide = places.count > Self.mostPrintedColumns
        addScrolling("rows", about: subject) { page in
            page.add("table", ["class": isWide ? "wide" : nil]) { page in
                if titles.contains(where: { !$0.isEmpty }) {
                    page.add("thead") { $0.addRow(titles, alignments, ofTitles: true) }
                }
                page.add("tbody") { page in for row in table.rows { page.addRow(cells(row), alignments) } }
                if let footer = table.footer { page.add("tfoot") { $0.addRow(cells(footer), alignments) } }
            }
        }
    }

    /// The columns of figures that have room on paper at the usual size.
    private static let mostPrintedColumns = 9

    /// The columns of letters in a cell that is not broken into lines.
    private static let widestCell = 48

    private mutating func addRow(_ cells: [String], _ alignments: [Table.Alignment], ofTitles: Bool = false) {
        let titles = ofTitles ? cells.cut(to: Self.widestCell) : []
        add("tr") { page in
            for (place, (cell, alignment)) in zip(cells, alignments).enumerated() {
                let side: Attribute? = alignment == .right ? "right" : nil
                if ofTitles {
                    let shown = titles[place]
                    page.add("th", ["class": side, "title": shown == cell ? nil : .init(cell)], shown)
                } else {
                    page.add("td", ["class": cell.displayWidth > Self.widestCell ? "long" : side], cell)
                }
            }
        }
    }

    /// Adds where figures come from.
    fileprivate mutating func add(_ origin: Report.Origin) {
        add("h2", "Where these figures come from")
        add("pre", lines: origin.command)
        if let recipe = origin.recipe {
            add("h3", "Recipe")
            add("pre", lines: recipe)
        }
        if !origin.inputs.isEmpty {
            add("h3", "Inputs")
            add(
                Report.Table(
                    nil, [.init(nil, "file"), .init(nil, "size", .bytes), .init(nil, "digest")],
                    rows: origin.inputs.map { [.text($0.path), .integer($0.byteCount), .text($0.digest)] }),
                about: "inputs")
        }
        if !origin.versions.isEmpty {
            add("p", ["class": "note"], origin.versions.map { "\($0.name) \($0.version)" }.joined(separator: ", "))
        }
    }
}

extension Report.Matrix {
    /// The figures as they are shown to people, with what they lie in where that is known.
    fileprivate var figures: Report.Table {
        let cells = values.indices.map { row in
            values[row].indices.map { column -> Report.Value in
                let figure: Report.Value = values[row][column].isNaN ? .none : .number(values[row][column])
                guard !intervals.isEmpty else { return figure }
                let ends = intervals[row][column].map { [$0.lowerBound, $0.upperBound].map { kind.text(.number($0)) } }
                return .text(kind.text(figure) + (ends.map { " (\($0.joined(separator: " to ")))" } ?? ""))
            }
        }
        return Report.Table(
            nil, [.init(nil, title)] + columns.map { .init(nil, $0, intervals.isEmpty ? kind : .text) },
            rows: zip(rows, cells).map { [.text($0)] + $1 })
    }
}
