import ArgumentParser
import Checkpoints
import Merging
import ModelFolders
import Recipes
import Reporting
import SystemPackage
import TensorCore
import Work
import Workflow

/// Merges checkpoints.
struct Merge: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Merge experts into one checkpoint.",
        usage: """
            untangle merge RECIPE OUTPUT [--set KEY=VALUE ...]
            untangle merge RECIPE... --output FOLDER/ [--set KEY=VALUE ...]
            untangle merge --method METHOD [--base BASE] EXPERT... --output OUTPUT [--set KEY=VALUE ...]
            untangle merge ... --output FOLDER/ --shard-size SIZE --part I/N, and then --join
            untangle merge --list-methods
            """,
        discussion: """
            A recipe has mergekit's keys. Tensors are streamed, arithmetic is F32 or wider and rounded once, and the \
            result does not depend on the number of threads. On the command line every expert has weight 1 unless --set \
            weight=... says otherwise.

            An output that ends in a slash becomes a folder as transformers has it: weights, configuration, tokenizer, model \
            card and recipe. Folders that are not there are made.

            Several recipes, or a recipe whose documents all have names and of which several are needed by no other, are merged in one \
            sweep: what they share is read once. FOLDER/ gets a folder for each, by the name of its file or document.

            A merge into a folder can be cut: --part 1/8 to --part 8/8, on as many machines with a shared disk and in any order, write the \
            shards, and --join, with the same arguments, makes them the folder that one machine would have written.

            Example:
              untangle merge --method ties --set density=0.2 \\
                --base Fixtures/suites/tiny/base.safetensors \\
                Fixtures/suites/tiny/expert_digits.safetensors \\
                Fixtures/suites/tiny/expert_latin_lower.safetensors \\
                --output merged.safetensors
            """)

    @Argument(help: "A recipe and the output; recipes, with --output; or, with --method, the experts.")
    var inputs: [String] = []

    @Option(help: ArgumentHelp("Merge the given experts with this method.", valueName: "method"))
    var method: String?

    @Option(
        help: ArgumentHelp("What the experts were fine-tuned from.", valueName: "checkpoint"), completion: .file())
    var base: String?

    @Option(
        help: ArgumentHelp("Where the result goes; a slash at its end makes it a folder.", valueName: "path"),
        completion: .file())
    var output: String?

    @OptionGroup var parameters: MergeParameterOptions

    @Option(
        help: ArgumentHelp(
            "The type of the merged tensors, also as recipes spell it: bfloat16 (default: that of the base).",
            valueName: "type"))
    var dtype: NumericType?

    @Option(help: "The format of the output, when its extension does not tell.")
    var format: FormatID?

    @Option(
        help: ArgumentHelp("Split safetensors into files of at most this much data, such as 5GB.", valueName: "size"))
    var shardSize: ByteSize?

    @Option(
        help: ArgumentHelp("Merge only the shards of this part into the folder, such as 3/8.", valueName: "i/n"),
        transform: { try MergePart(argument: $0) })
    var part: MergePart?

    @Flag(help: "Complete the folder when all of its parts are there.")
    var join = false

    @Flag(help: "Print what would be done and what it needs, and stop.")
    var dryRun = false

    @Flag(help: "Print the methods with their parameters, defaults and papers, and stop.")
    var listMethods = false

    @OptionGroup var recipes: RecipeOptions
    @OptionGroup var selection: SelectionOptions
    @OptionGroup var keeping: KeepOptions
    @OptionGroup var naming: MapOptions
    @OptionGroup var reading: InputOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard !listMethods else { return }
        guard part == nil || !join else { throw ValidationError("--join comes after the parts, not with --part") }
        if method != nil {
            guard !inputs.isEmpty else { throw ValidationError("--method needs experts to merge") }
            guard base != "", !inputs.contains("") else { throw ValidationError("a checkpoint has no name") }
            guard !recipes.strict, recipes.intermediateDir == nil else {
                throw ValidationError("--strict and --intermediate-dir belong to a recipe, not to --method")
            }
            guard output != nil || dryRun else {
                throw ValidationError("--method takes experts and needs --output PATH; a recipe goes without --method")
            }
        } else {
            guard lastIsOutput || (!inputs.isEmpty && (dryRun || output != nil)) else {
                throw ValidationError(
                    inputs.count > 1
                        ? "several recipes need --output FOLDER/"
                        : "give a recipe and an output, or --method METHOD with experts and --output PATH")
            }
            guard reading.subfolder == nil else {
                throw ValidationError(
                    "--subfolder belongs to --method; a recipe says model: { model: { path: PATH, subfolder: NAME } }")
            }
            guard base == nil else { throw ValidationError("--base belongs to --method; a recipe has base_model") }
        }
    }

    func run(in session: Session) throws -> ExitStatus {
        let reports = try reporting.targets(options: writing.writeOptions())
        if listMethods {
            try session.print(MethodList.report, to: reports)
            return .done
        }
        let started = ContinuousClock.now
        var job: MergeJob
        let output: String?
        if method == nil {
            let recipes = try readRecipes(session)
            guard recipes.books.count == 1 else { return try run(recipes, since: started, reports, in: session) }
            output = recipes.output
            job = try self.job(
                of: recipes.books[0].book, target: try output.map { try target($0) }, models: OpenedModels(session),
                in: session.context)
        } else {
            output = self.output
            job = try fromArguments(session, target: try output.map { try target($0) })
        }
        job.folder.overrides += readingOverrides
        let share = try part.map(job.share)
        if dryRun {
            if join { try job.checkParts() }
            warn(of: job, session)
            // A join links what the parts have written.
            let space = join ? nil : share.map(job.diskSpace) ?? job.diskSpace
            if let shortage = space?.shortage { session.warn(Warning(OutputWarning.space, shortage.message)) }
            try session.print(job.plan.report(space, share, after: session.warnings), to: reports)
            return .done
        }
        guard let output else { throw UsageError("there is no output") }
        if let part {
            let outcome = try job.run(part, in: session.context)
            outcome.report.warnings.forEach(session.warn)
            let duration = ContinuousClock.now - started
            let line =
                "\(output): part \(part), \(outcome.share.shardsText), \(ByteSize(outcome.written.byteCount)) "
                + (outcome.wasDone ? "(done before)" : "in \(duration.readable)")
            try session.print(
                report(
                    of: job.plan, outcome.report, outcome.written, to: output, in: duration, warnings: session.warnings,
                    share: outcome.share, and: [.facts([.init("part", .text(part.description))]), .text([line])]),
                to: reports)
            return .done
        }
        let outcome = try join ? job.join(in: session.context) : session.run(job)
        guard let written = outcome.written else { preconditionFailure("a merge with a target has written it") }
        outcome.report.warnings.forEach(session.warn)
        let duration = ContinuousClock.now - started
        let line =
            "\(output): \(job.plan.merged), \(ByteSize(written.byteCount)) in \(duration.readable), "
            + "working memory at most \(job.plan.summary.memoryText)"
        try session.print(
            report(
                of: job.plan, outcome.report, written, to: output, in: duration, warnings: session.warnings,
                and: (outcome.folder?.sections ?? []) + [.text([line] + (outcome.folder?.lines ?? []))]), to: reports)
        return .done
    }

    private func fromArguments(_ session: Session, target: OutputTarget?) throws -> MergeJob {
        let places = try recipes.models.places()
        let paths = try inputs.map { try locate($0, in: places, session) }
        let base = try base.map { try locate($0, in: places, session) }
        let experts = try zip(ModelNames.distinct(paths), paths).map { name, path in
            (name: name, store: try open(path, for: method, base: base, session))
        }
        return try MergeJob(
            method: method ?? "", base: try base.map { try open($0, for: method, session) }, experts: experts,
            parameters: try parameters.parameters(),
            selection: selection.selection, keepBase: keeping.keepBase, map: try naming.nameMap(),
            outputDType: dtype?.dtype, target: target, in: session.context)
    }

    private func locate(
        _ checkpoint: String, in places: CheckpointSource.Places, _ session: Session
    ) throws -> FilePath {
        try session.locate(CheckpointSource(checkpoint), subfolder: reading.subfolder, in: places)
    }

    /// Whether a recipe and an output are given, as `merge RECIPE OUTPUT` has them. No output is called as recipes are.
    var lastIsOutput: Bool {
        inputs.count == 2 && output == nil && !["yml", "yaml"].contains(FilePath(inputs[1]).extension?.lowercased())
    }

    /// Options of reading that a recipe does not have.
    var readingOverrides: [String] {
        reading.npyVoid.map { "--npy-void \($0.text)" } + [reading.root].compactMap { $0.map { "--root \($0)" } }
    }

    /// What a dry run warns of.
    func warn(of job: MergeJob, _ session: Session) {
        job.warnings.forEach(session.warn)
        guard !writing.force, let file = job.obstacle else { return }
        session.warn(
            Warning(
                OutputWarning.exists,
                "\(file.string.escapingControlCharacters) exists already; --force replaces it"
                    + (join ? " where the join makes another" : "")))
    }

    /// Where the result goes; finds out before the work what would keep it from being written.
    func target(_ output: String) throws -> OutputTarget { try target(try OutputPlace(argument: output)) }

    func target(_ place: OutputPlace) throws -> OutputTarget {
        let target = try OutputTarget(
            place, format: format, options: writing.writeOptions(shardByteCount: shardSize?.byteCount))
        // A dry run warns of a file that is there.
        if !target.isFolder {
            try AtomicOutput.checkPlace(place.path, options: dryRun ? WriteOptions(force: true) : target.options)
        }
        return target
    }

    private func open(
        _ path: FilePath, for method: String?, base: FilePath? = nil, _ session: Session
    ) throws -> TensorStore {
        try session.open(path, options: try readOptions(for: method, base: base, session))
    }

    /// What is told of every merge, and what of this one.
    func report(
        of plan: StackedMerge, _ report: MergeReport, _ written: WrittenCheckpoint, to output: String,
        in duration: Duration, warnings: [Warning], share: MergeJob.PartShare? = nil, and sections: [Report.Section]
    ) -> Report {
        Report(
            title: output,
            sections: [
                .facts([
                    .init("output", .text(output)), .init("files", .texts(written.files.map(\.string))),
                    .init("bytes", .integer(written.byteCount)), .init("method", .text(plan.method.name)),
                    .init("tensors", .integer(share?.tensorCount ?? plan.outputs.count)),
                    .init("parameters", .integer(share?.parameterCount ?? plan.summary.parameterCount)),
                ]),
                .table(
                    Report.Table(
                        "notes", [.init("tensor", nil), .init("text", nil)],
                        rows: report.notes.map { [.text($0.tensor.text), .text($0.text)] })),
                .facts([
                    .init("overflows", .integer(report.losses.overflowCount)),
                    .init("underflows", .integer(report.losses.underflowCount)),
                    .init("nan", .integer(report.nanCount)), .init("inf", .integer(report.infinityCount)),
                ]),
                .warnings,
                .facts([
                    .init("memory_bytes", .integer(plan.summary.workingByteCount)),
                    .init("memory_limit_bytes", .init(plan.summary.memoryLimit)),
                    .init("seconds", .number(duration.seconds)),
                ]),
            ] + sections, warnings: warnings)
    }
}

extension StackedMerge {
    /// How much is merged, and how.
    var merged: String {
        let count = outputs.count
        return "\(count == 1 ? "1 tensor" : "\(count.grouped) tensors"), \(summary.parameterCount.grouped) parameters "
            + "merged with \(method.name)"
    }
}
