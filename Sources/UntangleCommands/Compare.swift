import ArgumentParser
import Experts
import Interference
import Recipes
import Reporting
import SystemPackage
import TensorCore
import Work
import Workflow

/// Measures many merges side by side.
struct Compare: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure many merges side by side.",
        discussion: """
            Takes several recipes, or recipes with lists: merge_method: [ties, tsv_m], lambda: [0.2, 0.3, 0.4] under \
            parameters, and under resolve a list of none and one section or several. Every combination is merged in memory \
            and measured on the data of the models. Inputs are opened and experts measured once, adapted experts are shared, \
            and what is finished is kept for the next time.

            Rows are sorted, the best first, with a 95 % interval (bootstrap over the inputs). "~ best" marks merges whose \
            difference from the best lies inside the noise. With auxiliary inputs, which need no labels and belong to no \
            task, a coefficient is chosen for each method, and the table says what that costs against the best one.

            --engine slurm does the same on a cluster with a shared disk: what experts have in common, each expert and each \
            merge are tasks of their own, which --job names. --engine print prints the script that submits them.

            Example:
              untangle compare Fixtures/compare.yaml
            """)

    @Argument(help: "Recipes in YAML.")
    var recipes: [FilePath]

    @Option(help: "What rows are sorted by (default: accuracy where all data has labels, else interference).")
    var sort: CompareOrder?

    @Option(
        help: ArgumentHelp(
            """
            Unlabelled inputs to choose coefficients by: a file or folder, "shapes", "noise" or "tokens" (default: those of the first recipe \
            that resolves).
            """,
            valueName: "data"))
    var auxiliary: String?

    @Option(
        help: ArgumentHelp(
            "Where adapted experts and finished figures are kept (default: NAME.compare beside the output of the first recipe, or beside the recipe).",
            valueName: "folder"), completion: .directory)
    var keep: FilePath?

    @Flag(help: "Turn warnings about the recipes into errors.")
    var strict = false

    @Option(
        help: ArgumentHelp(
            "Carry out one entry and nothing else: teachers/NUMBER, expert/NUMBER/NAME, merge/NUMBER or table. Merges are numbered "
                + "in the order of the recipes and their lists.", valueName: "entry"),
        transform: CompareEntry.init(argument:))
    var job: CompareEntry?

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var models: ModelOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws { try cluster.check(job) }

    func run(in session: Session) throws -> ExitStatus {
        let modelsFolder = try models.folder()
        let reports = try reporting.targets(replacing: Comparison.mark, options: writing.writeOptions())
        var variants: [RecipeVariant] = []
        for (place, path) in recipes.enumerated() {
            guard !recipes[..<place].contains(path) else { throw UsageError("the recipe \(path) is given twice") }
            variants += try RecipeVariants.load(path, strict: strict)
        }
        variants.flatMap(\.recipe.warnings).forEach(session.warn)
        variants = try variants.map { try $0.located(modelsFolder: modelsFolder) }
        variants.forEach { session.reads($0.recipe) }
        let job = CompareJob(
            variants, folder: keep ?? Self.folder(of: variants[0].recipe),
            auxiliary: auxiliary.map { AuxiliarySource($0) },
            order: sort, write: writing.writeOptions())
        if case .file(let path) = job.auxiliary { session.reads(path) }
        if cluster.engine != .local {
            let entries = try job.unfinishedEntries(in: session.context)
            // Figures that are all there need no task.
            if entries != [.table] || cluster.engine == .print { return try submit(entries, of: job, session) }
        }
        let merges: [ComparedMerge]
        switch self.job {
        case .teachers(let number):
            guard let teachers = try job.teach(forMerge: number, in: session.context) else {
                throw noSuchEntry(among: variants)
            }
            session.progress.end()
            try session.print(teachers.report, to: reports)
            return .done
        case .expert(let name, let number):
            guard let expert = try job.adapt(name, forMerge: number, in: session.context) else {
                throw noSuchEntry(among: variants)
            }
            session.progress.end()
            try session.print(expert.report, to: reports)
            return .done
        case .merge(let number):
            guard let merge = try job.measure(merge: number, in: session.context) else {
                throw noSuchEntry(among: variants)
            }
            merges = [merge]
        case .table: merges = try job.finished(in: session.context)
        case nil: merges = try session.run(job)
        }
        session.progress.end()
        let isWhole = merges.count == variants.count
        let comparison = Comparison(
            merges, groups: isWhole ? job.groups : [], pairs: isWhole ? job.resolvedPairs : [], order: sort)
        try session.print(comparison.report, to: reports)
        return .done
    }

    private func noSuchEntry(among variants: [RecipeVariant]) -> UsageError {
        UsageError(
            "the comparison has no entry \(job?.description ?? "")",
            hint:
                "its merges are numbered from 1 to \(variants.count); those that resolve have entries expert/NUMBER/NAME, and those that do so in "
                + "steps teachers/NUMBER"
        )
    }

    private func submit(_ entries: [CompareEntry], of job: CompareJob, _ session: Session) throws -> ExitStatus {
        let all = try job.entries(in: session.context)
        return try cluster.carryOut(
            SlurmScript(
                entries, of: all, workingFolder: ThisProcess.workingFolder, folder: job.clusterPath,
                options: cluster.sbatch
            ) {
                [ThisProcess.executable.string, "compare"] + recipes.map(\.string) + ["--job", $0.description]
                    + options(for: $0)
            }, in: session)
    }

    /// What was asked of the whole, as far as it concerns one entry.
    private func options(for entry: CompareEntry) -> [String] {
        var options = (strict ? ["--strict"] : []) + models.typed + writing.typed + shared.typed
        if let auxiliary { options += ["--auxiliary", auxiliary] }
        if let keep { options += ["--keep", keep.string] }
        guard entry == .table else { return options }
        // What the last one prints is the result.
        if let sort { options += ["--sort", sort.rawValue] }
        return options + reporting.typed + (shared.json ? ["--json"] : [])
    }

    /// `merged.compare` beside `merged.safetensors`, the output, or `suite.compare` beside `suite.yaml` without one.
    private static func folder(of recipe: Recipe) -> FilePath {
        let file = recipe.output?.path ?? recipe.path
        return file.removingLastComponent().appending((file.stem ?? "merged") + ".compare")
    }
}

extension CompareOrder: ExpressibleByArgument {}
