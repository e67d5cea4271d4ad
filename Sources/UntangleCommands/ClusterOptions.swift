import ArgumentParser
import Reporting
import TensorCore
import Work
import Workflow

/// Where entries of work are carried out.
struct ClusterOptions: ParsableArguments {
    enum Engine: String, CaseIterable, ExpressibleByArgument {
        case local, slurm, print
    }

    @Option(help: "Where to work: here, on a cluster with Slurm, or nowhere: print the script that submits the tasks.")
    var engine = Engine.local

    // Options begin with dashes.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Options for sbatch, as in --sbatch '--partition=long --mem=16G --cpus-per-task=8'.", valueName: "options"))
    var sbatch = ""

    @Flag(help: "With --engine slurm: print the numbers of the jobs, and do not wait for them.")
    var noWait = false

    func validate() throws {
        guard engine != .local || (sbatch.isEmpty && !noWait) else {
            throw ValidationError("--sbatch and --no-wait belong to --engine slurm")
        }
        guard !sbatch.utf8.contains(where: { $0 < 0x20 }) else {
            throw ValidationError("the options of --sbatch go on one line")
        }
    }

    /// Makes sure that one entry is carried out here.
    func check(_ job: (some WorkEntry)?) throws {
        guard engine == .local || job == nil else {
            throw ValidationError("--job carries out an entry here; --engine \(engine.rawValue) hands all to Slurm")
        }
    }

    /// Prints the script or submits its tasks, waits for them if that is wanted, and prints what the last one printed.
    ///
    /// - Throws: `cluster.*`; `IOError`.
    func carryOut(_ script: SlurmScript, in session: Session) throws -> ExitStatus {
        if engine == .print {
            if session.json {
                try session.print(["script": .string(script.text)] as JSONOutput)
            } else {
                try session.print(script.text)
            }
            return .done
        }
        guard !script.tasks.isEmpty else {
            try session.print(session.json ? "{}\n" : "nothing is left to do\n")
            return .done
        }
        let slurm = try SlurmRun(script)
        if slurm.wasSubmitted {
            session.warn(
                Warning(
                    RunWarning.submittedBefore,
                    "the tasks of an earlier submission have not ended yet, and none was added"))
        }
        guard !noWait else {
            let jobs = Report.Table(
                "jobs", [.init("stage", nil), .init("job", nil)],
                rows: slurm.submitted.map { [.text($0.stage), .text($0.job)] })
            try session.print(
                Report(
                    title: "Jobs",
                    sections: [.table(jobs), .text(slurm.submitted.map { "\($0.stage) \($0.job)" })]))
            return .done
        }
        let result = try slurm.wait(in: session.context)
        session.progress.end()
        try session.print(result)
        return .done
    }
}

extension WorkEntry {
    /// Reads the argument of `--job`.
    init(argument: String) throws {
        guard let entry = Self(argument) else { throw ValidationError("give \(Self.forms)") }
        self = entry
    }
}

// What was asked of the whole is asked of every task, in words that a person could type.

extension SharedOptions {
    var typed: [String] {
        (threads.map { ["--threads", "\($0.count)"] } ?? []) + (memory.map { ["--memory", "\($0.byteCount)B"] } ?? [])
            + (quiet ? ["--quiet"] : []) + (progress == .auto ? [] : ["--progress", progress.rawValue])
    }
}

extension OutputOptions {
    var typed: [String] { (force ? ["--force"] : []) + (noSync ? ["--no-sync"] : []) }
}

extension ModelOptions {
    var typed: [String] { modelsDir.map { ["--models-dir", $0.string] } ?? [] }
}

extension RecipeOptions {
    var typed: [String] {
        (strict ? ["--strict"] : []) + models.typed + (intermediateDir.map { ["--intermediate-dir", $0.string] } ?? [])
    }
}

extension ResumeOptions {
    var typed: [String] { (saveEvery.map { ["--save-every", "\($0)"] } ?? []) + (resume ? ["--resume"] : []) }
}

extension ReportOptions {
    var typed: [String] { report.flatMap { ["--report", $0.string] } }
}
