import TensorCore

extension Report {
    /// The report as a self-contained page: tables, lines of text, curves, and the document if the report has a mark.
    ///
    /// Nothing in titles, cells or names is taken as markup.
    public var html: String {
        let document = mark == nil ? "" : "<pre>\(json.rendered().escapedForHTML)</pre>\n"
        return """
            <!doctype html>
            <html lang="en"><meta charset="utf-8"><title>\(title.escapedForHTML)</title>
            <style>
            body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
            table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .25rem .75rem; }
            th { border-bottom: 1px solid; text-align: left; } .right { text-align: right; }
            p, td, pre { white-space: pre-wrap; }
            </style>
            <h1>\(title.escapedForHTML)</h1>
            \(Self.html(of: [.text(summary)] + sections))\(document)</html>

            """
    }

    private static func html(of sections: [Section]) -> String {
        sections.map { section in
            switch section {
            case .facts(let facts): facts.shown.map(html) ?? ""
            case .table(let table): table.shown.map(html) ?? ""
            case .matrix(let matrix): html(of: matrix.shown)
            case .series(let series): series.html
            case .bars(let bars): bars.table.shown.map(html) ?? ""
            case .scatter(let scatter): scatter.table.shown.map(html) ?? ""
            case .text([]): ""
            case .text(let lines):
                "<p>\(lines.map(\.escapingControlCharacters.escapedForHTML).joined(separator: "\n"))</p>\n"
            case .group(let sections): html(of: sections)
            case .reports(_, let reports): reports.map { html(of: $0.sections) }.joined()
            case .warnings: ""
            }
        }.joined()
    }

    private static func html(of table: Reporting.Table) -> String {
        func row(_ cells: [String], _ tag: String) -> String {
            let html = zip(cells, table.columns).map { cell, column in
                let style = column.alignment == .right ? " class=\"right\"" : ""
                return "<\(tag)\(style)>\(cell.escapedForHTML)</\(tag)>"
            }
            return "<tr>\(html.joined())</tr>\n"
        }
        let titles = table.showsTitles ? row(table.columns.map(\.title), "th") : ""
        return "<table>\n\(titles)\(table.rows.map { row($0, "td") }.joined())</table>\n"
    }
}

extension Report.Series {
    /// A chart for each figure, with a curve for each name. Points that are not finite are left out.
    fileprivate var html: String {
        let (width, height) = (640.0, 160.0)
        return table.columns.indices.dropFirst(2).compactMap { place -> String? in
            var curves: [(name: String, points: [(x: Double, y: Double)])] = []
            for row in table.rows {
                let name = table.columns[0].kind.text(row[0])
                guard let x = row[1].double, let y = row[place].double, x.isFinite, y.isFinite else { continue }
                if curves.last?.name != name { curves.append((name, [])) }
                curves[curves.count - 1].points.append((x, y))
            }
            let points = curves.flatMap(\.points)
            guard let title = table.columns[place].title, let left = points.map(\.x).min(),
                let right = points.map(\.x).max(), let low = points.map(\.y).min(), let high = points.map(\.y).max()
            else { return nil }
            func scaled(_ value: Double, _ low: Double, _ high: Double, to length: Double) -> Double {
                high > low ? (value - low) / (high - low) * length : length / 2
            }
            let lines = curves.enumerated().map { number, curve in
                let points = curve.points.map { point in
                    "\(scaled(point.x, left, right, to: width).decimals(1)),"
                        + (height - scaled(point.y, low, high, to: height)).decimals(1)
                }
                // The golden angle keeps neighbours apart, however many there are.
                let colour = "hsl(\((number * 137) % 360) 70% 40%)"
                return "<polyline fill=\"none\" stroke=\"\(colour)\" points=\"\(points.joined(separator: " "))\">"
                    + "<title>\(curve.name.escapedForHTML)</title></polyline>\n"
            }
            return """
                <figure><figcaption>\(title.escapedForHTML), \(low.short()) to \(high.short())</figcaption>
                <svg viewBox="-2 -2 644 164" width="644" height="164">
                \(lines.joined())</svg></figure>

                """
        }.joined()
    }
}

extension Report.Value {
    fileprivate var double: Double? {
        switch self {
        case .integer(let count): Double(count)
        case .number(let number): number
        default: nil
        }
    }
}

extension String {
    fileprivate var escapedForHTML: String {
        var text = ""
        for character in unicodeScalars {
            switch character {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }
}
