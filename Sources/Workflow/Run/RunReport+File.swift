import Checkpoints
import Reporting
import SystemPackage
import TensorCore

extension RunReport {
    /// Writes the report to a file: as JSON when its extension is `json`, as a page of HTML otherwise.
    ///
    /// - Throws: what `checkReplaceable` throws; `IOError`.
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
    /// - Throws: `io.exists` when another file is there and `options.force` is not set; `io.not_a_file`, `io.is_directory`.
    static func checkReplaceable(_ path: FilePath, options: WriteOptions) throws {
        try AtomicOutput.checkPlace(path, options: WriteOptions(force: true))
        guard !options.force, fileExists(path) else { return }
        // A key of the JSON document, which the page contains as well.
        let mark = Array("total_interference".utf8)
        let isReport = try MappedFile(path).withUnsafeBytes { bytes in
            bytes.count < 1 << 24 && String(decoding: bytes, as: UTF8.self).utf8.split(separator: mark).count > 1
        }
        guard isReport else {
            throw IOError(
                kind: .exists, message: "\(path.string) exists already, and is no report of a run",
                file: path.string, hint: "use --force to replace it")
        }
    }

    private var html: String {
        HTMLPage(
            title: "\(recipe.mergeMethod) of \(recipe.models.count) experts", tables: tasks.isEmpty ? [] : [table],
            details: json.rendered()
        ).rendered()
    }
}
