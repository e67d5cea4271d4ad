import Checkpoints
import Reporting
import SystemPackage
import TensorCore

/// Where a report goes, and as what: decided by the name of the file, before the work.
public struct ReportTarget: Sendable {
    public let path: FilePath
    public let format: ReportFormat
    private let options: WriteOptions
    private let mark: String?

    /// Takes the format from the extension.
    ///
    /// - Parameters:
    ///   - mark: that of reports which may be replaced; see `Report.mark`.
    ///   - options: `force` replaces anything.
    /// - Throws: `usage.report_format` when the extension is that of no format.
    public init(_ path: FilePath, replacing mark: String? = nil, options: WriteOptions) throws(OutputError) {
        guard let format = path.extension.flatMap({ ReportFormat(rawValue: $0.lowercased()) }) else {
            let known = ReportFormat.allCases.map { ".\($0.rawValue)" }.joined(separator: ", ")
            throw OutputError(
                .reportFormat,
                "the name \(path.string.escapingControlCharacters) does not tell the format of the report",
                hint: "end it in one of \(known)")
        }
        self.path = path
        self.format = format
        self.options = options
        self.mark = mark
    }

    /// Decides for several reports, each of which goes to a file of its own.
    ///
    /// - Throws: `usage.report_format`; `usage.same_report` when two names mean one file.
    public static func targets(
        _ paths: [FilePath], replacing mark: String? = nil, options: WriteOptions
    ) throws(OutputError) -> [ReportTarget] {
        var targets: [ReportTarget] = []
        for path in paths {
            if let other = targets.first(where: { isSamePlace($0.path, path) })?.path {
                let spelling = other == path ? "" : ", also as \(other.string.escapingControlCharacters)"
                throw OutputError(
                    .sameReport, "the report \(path.string.escapingControlCharacters) is given twice\(spelling)",
                    hint: "give every report a file of its own")
            }
            targets.append(try ReportTarget(path, replacing: mark, options: options))
        }
        return targets
    }

    /// Makes sure that the report may be written: a report with a mark replaces an older one of its kind, and nothing else is
    /// replaced without force.
    ///
    /// - Throws: `io.exists`, `io.not_a_file`, `io.is_directory`.
    public func check() throws {
        guard let mark, !options.force, fileExists(path) else {
            return try AtomicOutput.checkPlace(path, options: options)
        }
        try AtomicOutput.checkPlace(path, options: WriteOptions(force: true))
        let parts = try MappedFile(path).withUnsafeBytes { bytes in
            bytes.count < 1 << 24 ? String(decoding: bytes, as: UTF8.self).utf8.split(separator: Array(mark.utf8)) : []
        }
        guard parts.count > 1 else { throw IOError.exists(path, "exists already, and is no report of this kind") }
    }

    fileprivate func write(_ text: String) throws {
        try check()
        try makeFolder(path.removingLastComponent())
        try AtomicOutput.write(
            Array(text.utf8), to: path, options: WriteOptions(force: options.force || mark != nil, sync: options.sync))
    }
}

extension Report {
    /// Writes the report to a file, in the format of its name.
    ///
    /// - Throws: what `ReportTarget.check` throws; `IOError`.
    public func write(to target: ReportTarget) throws { try target.write(rendered(as: target.format)) }
}
