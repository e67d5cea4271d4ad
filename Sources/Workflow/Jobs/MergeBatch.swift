import Checkpoints
import Merging
import Reporting
import SystemPackage
import TensorCore
import Work

/// Merges that are carried out in one sweep: what several of them read of their models is read once.
///
/// Each result is that of the merge by itself, byte for byte.
public struct MergeBatch: Job {
    /// At least one; no two with one target.
    public let jobs: [MergeJob]

    /// Puts merges together. Only models that were opened once for all of them are read once.
    public init(_ jobs: [MergeJob]) { self.jobs = jobs }

    /// The room that all results need and their disk has.
    public var diskSpace: DiskSpace? {
        let spaces = jobs.compactMap(\.diskSpace)
        guard spaces.count > 1, let path = jobs.lazy.compactMap(\.target?.path).first else { return spaces.first }
        return DiskSpace(needed: spaces.reduce(0) { $0 + $1.neededByteCount }, at: path)
    }

    /// Merges.
    ///
    /// - Returns: what each job has made.
    /// - Throws: as `MergeJob.run`; then no result appears, unless the last steps of another one fail.
    public func run(in context: Context) throws -> [MergeJob.Outcome] {
        for target in jobs.compactMap(\.target) { try target.requireNoPart(of: jobs.flatMap(\.inputs).map(\.files)) }
        try diskSpace?.require()
        let remarks = try jobs.map { try $0.statisticsWarnings(in: context) }
        var destinations: [MergeDestination] = []
        for job in jobs { destinations.append(try job.destination(besides: destinations.compactMap(\.ledger))) }
        let tasks = zip(jobs, destinations).map { job, destination in
            MergeTask(of: job.plan, into: destination.writer, ledger: destination.ledger)
        }
        let reports = try destinations[...].named { try MergeTask.execute(tasks, with: context.progress) }
        return try zip(zip(jobs, remarks), zip(destinations, reports)).map { work, result in
            var outcome = try result.0.named { try result.0.finish(result.1) }
            outcome.report.warnings = work.0.warnings + work.1 + outcome.report.warnings
            return outcome
        }
    }
}

extension ArraySlice<MergeDestination> {
    /// Does work that writes to all of them.
    fileprivate func named<Result>(_ work: () throws -> Result) throws -> Result {
        guard let first else { return try work() }
        return try first.named { try dropFirst().named(work) }
    }
}

extension MergeTask {
    /// Carries merges out, with progress.
    static func execute(_ tasks: [MergeTask], with progress: any ProgressSink) throws -> [MergeReport] {
        progress.begin("merging", total: tasks.reduce(0) { $0 + $1.progressByteCount }, unit: .bytes)
        defer { progress.end() }
        let done = DoneBytes()
        return try execute(tasks) { progress.advance(by: done.advance(to: $0)) }
    }
}
