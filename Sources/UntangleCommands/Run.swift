import ArgumentParser
import Checkpoints
import Recipes
import Reporting
import SystemPackage
import TensorCore
import Work
import Workflow

/// Carries out a whole recipe.
struct Run: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Resolve, merge, distil, measure and write, as one recipe says.",
        discussion: """
            Prints what is worth knowing first, in sentences, and a table: for each task the accuracy of base, expert, merged model without and with Resolving \
            Interference, and the interference before and after. Resolving and merging are skipped where an earlier run \
            has done them with the same inputs and settings; --force does them again, but for experts that --resume takes as \
            done.

            --engine slurm does the same on a cluster with a shared disk: what the experts have in common, each expert, the \
            merge and the measuring are tasks of their own, which --job names. --engine print prints the script that submits them.

            Example:
              untangle run Fixtures/demo.yaml
            """)

    @Argument(help: "A recipe in YAML.")
    var recipe: FilePath

    @Option(
        help: ArgumentHelp(
            "Carry out one entry and nothing else: documents for those that the recipe builds upon, teachers for the base's outputs "
                + "that all experts are held to, expert/NAME, merge or measure.", valueName: "entry"),
        transform: RunEntry.init(argument:))
    var job: RunEntry?

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var reading: RecipeOptions
    @OptionGroup var resuming: ResumeOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws { try cluster.check(job) }

    func run(in session: Session) throws -> ExitStatus {
        let book = try reading.book(recipe, in: session)
        if let resolve = book.final.resolve, book.final.resolvedFolder == nil {
            let wanted =
                resuming.resumption.keepsState || resolve.saveEvery != nil
                ? "states" : job != nil || cluster.engine != .local ? "what entries make" : nil
            if let wanted {
                throw UsageError(
                    "there is no folder to keep \(wanted) in, because the recipe writes no adapted experts",
                    hint: "add output: FILE to the recipe, or output: FOLDER to its resolve")
            }
        }
        var run = RunJob(book.final, write: writing.writeOptions())
        run.resumption = resuming.resumption
        run.reports = reporting.report
        let context = session.context
        var documents = run.write
        // What is made before it, an entry does not make again.
        if job != nil, job != .documents { documents.force = false }
        let merges = try IntermediateMerges(of: book, write: documents, in: context)
        let all = (book.intermediates.isEmpty ? [] : [RunEntry.documents]) + run.entries
        if cluster.engine != .local { return try submit(run, all, after: merges, session) }
        if let job {
            guard all.contains(job) else {
                throw UsageError(
                    "the recipe has no entry \(job)",
                    hint: "the entries are \(all.map(\.description).joined(separator: ", "))")
            }
            guard try job == .documents || merges.areFinished(in: context) else {
                throw InputError.notReady(
                    "the result of a document that the recipe builds upon", madeBy: RunEntry.documents,
                    replacing: merges.haveOutputs)
            }
        }
        let documentsDone = try merges.carryOut(in: session) { [run] in
            try run.check(after: merges, unfinished: $0, in: context)
        }
        if job == .documents {
            try tell(of: book.intermediates, merged: documentsDone, session)
            return .done
        }
        switch job {
        case .teachers, .expert, .merge:
            // The recipe's report is about what was measured; one that is asked for here is about the entry.
            let targets = try reporting.targets(options: writing.writeOptions())
            run.reports = []
            let report = try run.run(job, in: context)
            session.progress.end()
            try print(report, of: job, to: targets, session)
        case .documents, .measure, nil:
            let report = try run.run(job, in: context)
            session.progress.end()
            // A run that had nothing left to do knows less than the report of the run that did it.
            let targets = try run.reportTargets().filter {
                report.didWork || job == .measure || run.isOutdated($0.path)
            }
            try session.print(report.report, to: targets)
        }
        return .done
    }

    /// Tells what came of the documents that the recipe builds upon.
    private func tell(of documents: [Recipe], merged: [RunJob], _ session: Session) throws {
        let done = Set(merged.compactMap(\.recipe.output?.path))
        let outputs = documents.compactMap(\.output?.path)
        if session.json {
            let rows = outputs.map {
                ["output": .string($0.string), "skipped": .bool(!done.contains($0))] as JSONOutput
            }
            return try session.print(["documents": .array(rows)] as JSONOutput)
        }
        for output in outputs {
            let note = done.contains(output) ? "merged" : "done before"
            try session.print("\(output.string.escapingControlCharacters): \(note)\n")
        }
    }

    /// Tells what came of an entry that measures nothing.
    private func print(
        _ report: RunReport, of entry: RunEntry?, to targets: [ReportTarget], _ session: Session
    ) throws {
        let (expert, output) = (report.adapted.first, report.recipe.output?.path)
        if entry == .teachers, let teachers = report.teachers {
            try session.print(teachers.report, to: targets)
        } else if case .expert = entry, let expert {
            try session.print(expert.report, to: targets)
        } else if let output {
            let note = report.mergeWasDone ? "done before" : "merged in \(report.duration.readable)"
            try session.print(
                Report(
                    title: output.string,
                    sections: [
                        .facts([
                            .init("output", .text(output.string)), .init("skipped", .flag(report.mergeWasDone)),
                        ]), .text(["\(output): \(note)"]),
                    ]), to: targets)
        }
    }

    // MARK: - Clusters

    private func submit(
        _ run: RunJob, _ all: [RunEntry], after merges: IntermediateMerges, _ session: Session
    ) throws -> ExitStatus {
        let context = session.context
        let documents = try merges.unfinished(in: context)
        if !documents.isEmpty { try run.check(after: merges, unfinished: documents, in: context) }
        let entries = try documents.isEmpty ? run.unfinishedEntries(in: context) : all
        return try cluster.carryOut(
            SlurmScript(
                entries, of: all, workingFolder: ThisProcess.workingFolder, folder: run.clusterFolder,
                options: cluster.sbatch
            ) {
                [ThisProcess.executable.string, "run", recipe.string, "--job", $0.description]
                    + options(for: $0, of: all)
            }, in: session)
    }

    /// What was asked of the whole, as far as it concerns one entry.
    private func options(for entry: RunEntry, of all: [RunEntry]) -> [String] {
        var options = reading.typed + writing.typed + shared.typed + resuming.typed
        // What the last one prints is the result.
        if entry == all.last { options += reporting.typed + (shared.json ? ["--json"] : []) }
        return options
    }
}
