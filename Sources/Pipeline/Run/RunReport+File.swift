import Checkpoints
import Reporting
import SystemPackage
import TensorCore

extension RunReport {
    /// Writes the report to a file: as JSON when its extension is `json`, as a page of HTML otherwise.
    public func write(to path: FilePath, options: WriteOptions) throws {
        let text = path.extension?.lowercased() == "json" ? json.rendered() + "\n" : html
        try Self.checkReplaceable(path, options: options)
        try makeFolder(path.removingLastComponent())
        let output = try AtomicOutput(
            creating: path, byteCount: nil, options: WriteOptions(force: true, sync: options.sync))
        try output.write(Array(text.utf8), at: 0)
        try output.commit()
    }

    /// Makes sure that a report may stand at a path: a report tells of the latest run and replaces an older one, and nothing
    /// else.
    ///
    /// - Throws: `io.exists` when another file is there and `options.force` is not set.
    static func checkReplaceable(_ path: FilePath, options: WriteOptions) throws {
        guard !options.force, fileExists(path), !CheckpointFormat.isFolder(path) else { return }
        // A key of the JSON document, which the page contains as well.
        let mark = Array("total_interference".utf8)
        let isReport = try MappedFile(path).withUnsafeBytes { bytes in
            bytes.count < 1 << 24 && String(decoding: bytes, as: UTF8.self).utf8.split(separator: mark).count > 1
        }
        guard isReport else {
            throw IOError(
                code: "io.exists", message: "\(path.string) exists already, and is no report of a run",
                file: path.string, hint: "use --force to replace it")
        }
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
