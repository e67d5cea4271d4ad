import Checkpoints
import Glibc
import Reporting
import SystemPackage
import TensorCore
import Work

/// Entries of work on their way through Slurm.
public struct SlurmRun {
    /// An array of tasks that Slurm has taken.
    public struct Submitted: Sendable, Hashable {
        public let stage: String
        public let job: String
    }

    public let script: SlurmScript
    public let submitted: [Submitted]
    /// Whether an earlier process had submitted them, and they have not ended yet.
    public let wasSubmitted: Bool

    /// Submits, unless tasks of an earlier submission are still there; then it takes up those.
    ///
    /// - Throws: `cluster.unavailable`, `cluster.submission`; `IOError`.
    public init(_ script: SlurmScript) throws {
        self.script = script
        let earlier = Self.jobs(in: script.folder)
        let file = script.folder.appending("submit.sh")
        if !earlier.isEmpty, try Self.states(of: earlier).values.contains(where: { !$0.hasEnded }) {
            guard Self.text(of: file).contains(script.mark) else {
                throw ClusterError(
                    .submission, "tasks that were submitted with other options have not ended yet", file: file,
                    hint: "wait for them, or take them back: scancel \(earlier.map(\.job).joined(separator: " "))")
            }
            (submitted, wasSubmitted) = (earlier, true)
            return
        }
        guard ShellCommand.run(["sbatch", "--version"])?.status == 0 else {
            throw ClusterError(
                .unavailable, "there is no sbatch on this machine",
                hint: "run this where jobs are submitted, or see --engine print")
        }
        try makeFolder(script.folder)
        try AtomicOutput.write(Array(script.text.utf8), to: file, options: WriteOptions(force: true, sync: false))
        let outcome = ShellCommand.run(["bash", file.string])
        guard let outcome, outcome.status == 0 else {
            throw ClusterError(
                .submission,
                "Slurm did not take the tasks: \(Self.lastLine(of: outcome?.errors ?? "there is no bash"))",
                file: file, hint: "see --sbatch")
        }
        (submitted, wasSubmitted) = (Self.jobs(in: script.folder), false)
    }

    /// Waits until all tasks have ended.
    ///
    /// - Returns: what the last of them printed.
    /// - Throws: `cluster.task_failed` with the log of the first that failed; `cluster.unavailable`.
    public func wait(in context: Context) throws -> String {
        let tasks = try known()
        let jobs = submitted.map(\.job).joined(separator: ", ")
        context.progress.begin("waiting for Slurm's jobs \(jobs)", total: tasks.count, unit: .items("tasks"))
        defer { context.progress.end() }
        var (done, pause) = (0, Self.shortestPause)
        while true {
            let states = try Self.states(of: submitted)
            let ended = tasks.filter { states[$0.id]?.hasEnded ?? true }
            context.progress.advance(by: ended.count - done)
            done = ended.count
            if done == tasks.count { return try finish(tasks, states) }
            let running = tasks.count { states[$0.id]?.name == "RUNNING" }
            context.progress.remark("\(running) running, \(tasks.count - done - running) waiting")
            usleep(UInt32(pause * 1e6))
            pause = min(pause * 1.5, Self.longestPause)
        }
    }

    /// Seconds between two questions to the scheduler: soon for short work, seldom for long.
    private static let shortestPause = 0.3
    private static let longestPause = 15.0

    // MARK: - Tasks

    /// A task as Slurm knows it.
    private struct TaskID: Hashable {
        let job: String
        let number: String
    }

    private struct State {
        let name: String
        private static let ended: Set<String> = [
            "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
            "REVOKED", "TIMEOUT",
        ]
        var hasEnded: Bool { Self.ended.contains(name) }
    }

    private func known() throws -> [(id: TaskID, task: SlurmScript.Task)] {
        let jobs = Dictionary(submitted.map { ($0.stage, $0.job) }, uniquingKeysWith: { $1 })
        return script.tasks.compactMap { task in
            jobs[task.stage].map { (TaskID(job: $0, number: "\(task.number)"), task) }
        }
    }

    /// Those of the latest submission, which the script has noted.
    private static func jobs(in folder: FilePath) -> [Submitted] {
        text(of: folder.appending("jobs")).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            return words.count == 2 ? Submitted(stage: words[0], job: words[1]) : nil
        }
    }

    /// What Slurm says of the tasks; those that ended long ago are not among them.
    private static func states(of jobs: [Submitted]) throws -> [TaskID: State] {
        let query = [
            "squeue", "--noheader", "--array", "--states=all", "--format=%F %K %T",
            "--jobs=\(jobs.map(\.job).joined(separator: ","))",
        ]
        for attempt in 1... {
            guard let answer = ShellCommand.run(query) else { break }
            if answer.status == 0 {
                var states: [TaskID: State] = [:]
                for line in answer.output.split(separator: "\n") {
                    let words = line.split(separator: " ").map(String.init)
                    if words.count == 3 { states[TaskID(job: words[0], number: words[1])] = State(name: words[2]) }
                }
                return states
            }
            if answer.errors.contains("Invalid job id") { return [:] }
            // A controller that is being restarted.
            guard attempt < 10 else {
                throw ClusterError(.unavailable, "Slurm does not answer: \(lastLine(of: answer.errors))")
            }
            sleep(3)
        }
        throw ClusterError(
            .unavailable, "there is no squeue on this machine", hint: "run this where jobs are submitted")
    }

    private func finish(
        _ tasks: [(id: TaskID, task: SlurmScript.Task)], _ states: [TaskID: State]
    ) throws -> String {
        var failed: [(task: SlurmScript.Task, how: String, status: Int32?)] = []
        // What they have noted, a shared disk may show late.
        let deadline = ContinuousClock.now + .seconds(10)
        for (id, task) in tasks {
            let isExpected = ["COMPLETED", "FAILED"].contains(states[id]?.name)
            let status = status(of: task, until: isExpected ? deadline : nil)
            if status == "0" { continue }
            // What never began waited for something that failed.
            if status.isEmpty, !failed.isEmpty { continue }
            let code = Int32(status)
            let state = states[id].map { " (\($0.name.lowercased()))" } ?? ""
            failed.append((task, code.map { "ended with status \($0)" } ?? "was ended by Slurm\(state)", code))
        }
        guard let first = failed.first else {
            return Self.text(of: file(tasks.last?.task, "out"))
        }
        let log = file(first.task, "log")
        let reason = Self.reason(in: Self.text(of: log))
        let others = failed.count > 1 ? "; \(failed.count - 1) more failed" : ""
        let command = first.task.command
        let again = "the same command" + (command.contains("--force") ? " without --force" : "")
        let savesAlone = command.contains("--save-every") && !command.contains("--resume")
        throw ClusterError(
            .taskFailed, "task \(first.task.entry) \(first.how)\(others)" + (reason.map { ": \($0)" } ?? ""), file: log,
            hint: "\(again) goes on with what is not finished"
                + (savesAlone ? ", with --resume from what was saved" : ""),
            severity: first.status.flatMap(DiagnosticSeverity.init) ?? .resources)
    }

    /// What a task has noted of its end: its exit status, `running` when it was killed, nothing when it never began.
    ///
    /// - Parameter deadline: how long to wait for an exit status that it must have noted.
    private func status(of task: SlurmScript.Task, until deadline: ContinuousClock.Instant?) -> String {
        while true {
            let text = Self.text(of: file(task, "status"))
            let status = text.split(separator: "\n").first.map(String.init) ?? ""
            guard Int32(status) == nil, let deadline else { return status }
            guard ContinuousClock.now < deadline else { return "" }
            usleep(200_000)
        }
    }

    private func file(_ task: SlurmScript.Task?, _ ending: String) -> FilePath {
        script.folder.appending("\(task?.name ?? "").\(ending)")
    }

    // MARK: - Texts

    private static func text(of path: FilePath) -> String {
        guard let file = try? MappedFile(path) else { return "" }
        return file.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    /// The last error in a log, or its last line.
    private static func reason(in log: String) -> String? {
        let lines = log.split(separator: "\n").map(String.init)
        if let error = lines.last(where: { $0.hasPrefix("error: ") }) { return String(error.dropFirst(7)) }
        // A task that prints a document tells of an error with another one.
        let document = lines.lastIndex { $0.hasPrefix("{") }.map { lines[$0...].joined(separator: "\n") }
        let error = document.flatMap { try? JSONDocument.parse(Array($0.utf8), file: FilePath()) }?["error"]
        return error?["message"]?.string ?? lines.last
    }

    private static func lastLine(of text: String) -> String { text.split(separator: "\n").last.map(String.init) ?? "" }
}
