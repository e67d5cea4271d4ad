/// A self-contained page of HTML with tables and one block of plain text.
public struct HTMLPage: Sendable {
    public let title: String
    public let tables: [Table]
    /// Shown as it is, below the tables; nil shows nothing.
    public let details: String?

    public init(title: String, tables: [Table], details: String? = nil) {
        self.title = title
        self.tables = tables
        self.details = details
    }

    /// The page as text. Nothing in titles, cells or details is taken as markup.
    public func rendered() -> String {
        let body = tables.map(Self.html).joined()
        let details = details.map { "<pre>\($0.escapedForHTML)</pre>\n" } ?? ""
        return """
            <!doctype html>
            <html lang="en"><meta charset="utf-8"><title>\(title.escapedForHTML)</title>
            <style>
            body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
            table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .25rem .75rem; }
            th { border-bottom: 1px solid; text-align: left; } .right { text-align: right; }
            pre { white-space: pre-wrap; }
            </style>
            <h1>\(title.escapedForHTML)</h1>
            \(body)\(details)</html>

            """
    }

    private static func html(of table: Table) -> String {
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
