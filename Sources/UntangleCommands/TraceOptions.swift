import ArgumentParser
import Checkpoints
import Reporting
import SystemPackage
import Work

/// Where the losses of all steps go.
struct TraceOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Write the loss of every step as CSV.", valueName: "file"))
    var trace: FilePath?

    /// Begins the file before the work, so that what cannot be written is found out early.
    ///
    /// - Parameter isTaken: whether a result goes to a place.
    /// - Returns: nil when no file was asked for.
    /// - Throws: a usage error for a file that is another output; what making a file throws.
    func begin(
        beside reports: [ReportTarget], options: WriteOptions, isTaken: (FilePath) -> Bool
    ) throws -> TraceFile? {
        guard let trace else { return nil }
        guard !isTaken(trace) else { throw UsageError("--trace \(trace.string) is where a result goes") }
        guard !reports.contains(where: { isSamePlace($0.path, trace) }) else {
            throw UsageError("--trace and --report are one file, \(trace.string)")
        }
        try makeFolder(trace.removingLastComponent())
        return TraceFile(output: try AtomicOutput(creating: trace, byteCount: nil, options: options))
    }
}

/// A file of losses that has been begun.
struct TraceFile {
    fileprivate let output: AtomicOutput

    /// Writes the losses and puts the file in its place.
    func commit(_ losses: Report.Series) throws {
        let report = Report(title: "Losses", sections: [.series(losses)])
        try output.write(Array(report.csv.utf8), at: 0)
        try output.commit()
    }
}
