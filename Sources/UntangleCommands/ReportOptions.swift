import ArgumentParser
import Checkpoints
import SystemPackage
import Work

/// Where else a command's result goes.
struct ReportOptions: ParsableArguments {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Write the result to a file as well: .html, .md, .csv or .json; repeatable.", valueName: "file"),
        completion: .file())
    var report: [FilePath] = []

    /// The files, of which it is made sure that they may be written.
    ///
    /// - Parameter mark: that of reports which may be replaced.
    /// - Throws: what `ReportTarget.targets` and `ReportTarget.check` throw.
    func targets(replacing mark: String? = nil, options: WriteOptions) throws -> [ReportTarget] {
        let targets = try ReportTarget.targets(report, replacing: mark, options: options)
        for target in targets { try target.check() }
        return targets
    }
}
