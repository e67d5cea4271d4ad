import Checkpoints
import Reporting
import SystemPackage
import TensorCore

extension RunReport {
    /// Writes the report to a file: as JSON when its extension is `json`, as a page of HTML otherwise.
    public func write(to path: FilePath, options: WriteOptions) throws {
        let text = path.extension?.lowercased() == "json" ? json.rendered() + "\n" : html
        try makeFolder(path.removingLastComponent())
        // A report tells of the latest run; there is nothing in an older one that a run could not make again.
        let output = try AtomicOutput(
            creating: path, byteCount: nil, options: WriteOptions(force: true, sync: options.sync))
        try output.write(Array(text.utf8), at: 0)
        try output.commit()
    }

    /// A self-contained page with the table and the facts of the run.
    private var html: String {
        func row(_ cells: [String], _ tag: String = "td") -> String {
            "<tr>" + cells.map { "<\(tag)>\($0.escapedForHTML)</\(tag)>" }.joined() + "</tr>\n"
        }
        let body = cells.map { row($0) }.joined()
        let table = tasks.isEmpty ? "" : "<table>\n\(row(titles, "th"))\(body)</table>\n"
        return """
            <!doctype html>
            <html lang="en"><meta charset="utf-8"><title>\(recipe.path.string.escapedForHTML)</title>
            <style>
            body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
            table { border-collapse: collapse; } th, td { padding: .25rem .75rem; text-align: right; }
            th:first-child, td:first-child { text-align: left; } tr:last-child td { font-weight: bold; }
            th { border-bottom: 1px solid; } pre { white-space: pre-wrap; }
            </style>
            <h1>\(recipe.mergeMethod.escapedForHTML) of \(recipe.models.count) experts</h1>
            \(table)<h2>Run</h2>
            <pre>\(json.rendered().escapedForHTML)</pre>
            </html>

            """
    }
}

extension String {
    fileprivate var escapedForHTML: String {
        var text = ""
        for character in self {
            switch character {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            default: text.append(character)
            }
        }
        return text
    }
}
