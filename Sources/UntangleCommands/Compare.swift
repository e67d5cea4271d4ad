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

            Example:
              untangle compare Fixtures/compare.yaml
            """)

    @Argument(help: "Recipes in YAML.")
    var recipes: [FilePath]

    @Option(help: "What rows are sorted by (default: accuracy where all data has labels, else interference).")
    var sort: CompareOrder?

    @Option(
        help: ArgumentHelp(
            "Unlabelled inputs to choose coefficients by, or \"noise\" (default: those of the first recipe that resolves).",
            valueName: "file"))
    var auxiliary: String?

    @Option(
        help: ArgumentHelp(
            "Where adapted experts and finished figures are kept (default: NAME.compare beside the output of the first recipe, or beside the recipe).",
            valueName: "folder"), completion: .directory)
    var keep: FilePath?

    @Flag(help: "Turn warnings about the recipes into errors.")
    var strict = false

    @OptionGroup var models: ModelOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        let modelsFolder = try models.folder()
        let reports = try reporting.targets(options: writing.writeOptions())
        var variants: [RecipeVariant] = []
        for (place, path) in recipes.enumerated() {
            guard !recipes[..<place].contains(path) else { throw UsageError("the recipe \(path) is given twice") }
            variants += try RecipeVariants.load(path, strict: strict)
        }
        variants.flatMap(\.recipe.warnings).forEach(session.warn)
        variants = try variants.map { try $0.located(modelsFolder: modelsFolder) }
        let job = CompareJob(
            variants, folder: keep ?? Self.folder(of: variants[0].recipe),
            auxiliary: auxiliary.map { AuxiliarySource($0) },
            order: sort, write: writing.writeOptions())
        let comparison = Comparison(try job.run(in: session.context), groups: job.groups, order: sort)
        session.progress.end()
        try session.print(comparison.report, to: reports)
        return .done
    }

    /// `merged.compare` beside `merged.safetensors`, the output, or `suite.compare` beside `suite.yaml` without one.
    private static func folder(of recipe: Recipe) -> FilePath {
        let file = recipe.output?.path ?? recipe.path
        return file.removingLastComponent().appending((file.stem ?? "merged") + ".compare")
    }
}

extension CompareOrder: ExpressibleByArgument {}
