import Checkpoints
import Experts
import Interference
import Recipes
import SystemPackage
import TensorCore
import Work

/// Carries out many merges and measures them side by side: inputs are opened and teachers computed once, experts are adapted once for
/// all merges that ask for the same, and what is finished is kept.
public struct CompareJob: Job {
    public static var kind: String { "compare 1" }

    public let variants: [RecipeVariant]
    /// Keeps adapted experts and the figures of finished merges.
    public let folder: FilePath
    /// Inputs of no task, by which a coefficient can be chosen without labels; nil does not choose.
    public let auxiliary: AuxiliarySource?
    /// What the merges will be sorted by; nil leaves that to what the data has.
    public let order: CompareOrder?
    public let write: WriteOptions

    /// Prepares a comparison.
    ///
    /// - Parameter auxiliary: nil takes those of the first recipe that resolves, if one does.
    public init(
        _ variants: [RecipeVariant], folder: FilePath, auxiliary: AuxiliarySource? = nil,
        order: CompareOrder? = nil, write: WriteOptions = WriteOptions()
    ) {
        self.variants = variants
        self.folder = folder
        self.auxiliary = auxiliary ?? variants.lazy.compactMap(\.recipe.resolve?.auxiliary).first
        self.order = order
        self.write = write
    }

    public var settings: [RunJob.Settings] { variants.map { RunJob($0.recipe).settings } }
    public var inputs: [JobInput] { variants.flatMap { RunJob($0.recipe).inputs } + auxiliaryInputs }
    public var targets: [OutputTarget] { [] }

    private var auxiliaryInputs: [JobInput] {
        guard case .file(let path) = auxiliary else { return [] }
        return [JobInput("auxiliary of the comparison", [path])]
    }

    /// Carries out what is not finished.
    ///
    /// - Returns: the merges in the order of the variants.
    /// - Throws: the diagnostics of all work. What was finished before stays.
    public func run(in context: Context) throws -> [ComparedMerge] {
        for variant in variants { try check(variant.recipe) }
        try checkFolder()
        try makeFolder(folder.appending("figures"))
        var benches: [ComparedSuite: Bench] = [:]
        return try variants.enumerated().map { number, variant in
            let file = folder.appending("figures").appending("\(try fingerprint(of: variant.recipe).digest).json")
            if !write.force, let figures = FinishedFigures.read(file) {
                return merge(variant, figures)
            }
            let suite = ComparedSuite(variant.recipe)
            let bench = try benches[suite] ?? Bench(variant.recipe, auxiliary: auxiliary, in: context)
            benches[suite] = bench
            let figures = try bench.figures(
                of: variant.recipe, named: "\(number + 1) of \(variants.count)", adaptedIn: folder, write: write,
                in: context)
            try FinishedFigures.write(figures, to: file, sync: write.sync)
            return merge(variant, figures)
        }
    }

    /// The places of variants that differ in nothing but numbers, among which a coefficient is chosen.
    public var groups: [[Int]] {
        var groups: [[RecipeVariant.Choice]: [Int]] = [:]
        for (place, variant) in variants.enumerated() {
            let file = RecipeVariant.Choice(key: "", value: variant.recipe.path.string, number: nil)
            let key =
                [file] + variant.choices.filter { $0.number == nil }
                + variant.choices.filter { $0.number != nil }.map { .init(key: $0.key, value: "", number: nil) }
            groups[key, default: []].append(place)
        }
        return groups.values.sorted { $0[0] < $1[0] }
    }

    private func fingerprint(of recipe: Recipe) throws -> Fingerprint {
        let run = RunJob(recipe)
        let noise = auxiliary.flatMap(\.noiseText)
        return try Fingerprint(
            Self.kind, settings: RowSettings(run: run.settings, noise: noise), inputs: run.inputs + auxiliaryInputs)
    }

    private struct RowSettings: Encodable {
        let run: RunJob.Settings
        let noise: String?
    }

    /// Makes sure that the folder is one of a comparison, or a new one.
    private func checkFolder() throws(IOError) {
        guard folderExists(folder) else { return }
        let names = try entries(of: folder)
        guard names.isEmpty || names.contains("figures") else {
            throw IOError(
                kind: .exists, message: "\(folder.string) holds other files, and none of a comparison",
                file: folder.string, hint: "choose a new folder with --keep")
        }
    }

    /// Makes sure that there is something to measure on.
    private func check(_ recipe: Recipe) throws {
        guard recipe.baseModel != nil else {
            throw RecipeError(
                .missingKey, "base_model is missing; merges are compared by what they do on tasks", file: recipe.path,
                at: recipe.position)
        }
        guard recipe.models.contains(where: { $0.data != nil }) else {
            throw RecipeError(
                .missingKey, "no model has data, and merges are compared by what they do on tasks", file: recipe.path,
                at: recipe.position, hint: "head: FILE and data: FILE under a model")
        }
        guard order == .accuracy else { return }
        for data in recipe.models.compactMap(\.data) where try ImageFile.open(data).descriptor(named: "labels") == nil {
            throw InputError.missingLabels(data)
        }
    }

    private func merge(_ variant: RecipeVariant, _ figures: ComparedMerge.Figures) -> ComparedMerge {
        let recipe = variant.recipe
        let isOneFile = variants.allSatisfy { $0.recipe.path == recipe.path }
        let choices = variant.choices.map { choice in
            choice.key == "merge_method"
                ? choice.value : choice.key == "resolve" ? "RI: \(choice.value)" : "\(choice.key) \(choice.value)"
        }
        let words = (isOneFile && !choices.isEmpty ? [] : [fileName(of: recipe)]) + choices
        return ComparedMerge(
            name: words.joined(separator: ", "), method: recipe.mergeMethod,
            parameters: recipe.parameters.sorted { $0.key < $1.key }.compactMap { name, setting in
                setting.constant.map { (name: name, value: $0.description) }
            }, isResolved: recipe.resolve != nil, figures: figures)
    }
}

extension CompareJob {
    /// What sets a recipe apart from the others: its file's stem, or its path where two have one stem.
    private func fileName(of recipe: Recipe) -> String {
        let isShared = variants.contains { $0.recipe.path != recipe.path && $0.recipe.path.stem == recipe.path.stem }
        return isShared ? recipe.path.string : recipe.path.stem ?? recipe.path.string
    }
}

/// The base, experts, heads and data of a recipe: merges that share them are measured by one bench.
private struct ComparedSuite: Hashable {
    private let base: FilePath?
    private let models: [[FilePath?]]

    init(_ recipe: Recipe) {
        base = recipe.baseModel?.path
        models = recipe.experts.map { [FilePath($0.name), $0.path, $0.head, $0.data] }
    }
}

/// What stays the same for all merges of one base and one set of experts.
private struct Bench {
    private let set: ExpertSet
    private let measurement: TaskMeasurement
    /// On auxiliary inputs; nil without any, or when a task has no head.
    private let auxiliary: TaskMeasurement?

    init(_ recipe: Recipe, auxiliary: AuxiliarySource?, in context: Context) throws {
        context.progress.begin("measuring the experts", total: nil, unit: .items("tasks"))
        defer { context.progress.end() }
        guard let base = recipe.baseModel?.path else { preconditionFailure("recipes were checked") }
        let set = try ExpertSet(base: base, experts: recipe.experts.map(\.files), in: context)
        self.set = set
        measurement = try TaskMeasurement(set, measuresBase: false, budget: context.budget)
        self.auxiliary = try auxiliary.flatMap { source in
            guard set.experts.allSatisfy({ $0.task != nil }) else { return nil }
            let images = try source.images(for: set.backbone, budget: context.budget, warn: context.warn)
            return try TaskMeasurement(set, on: images, budget: context.budget)
        }
    }

    func figures(
        of recipe: Recipe, named number: String, adaptedIn folder: FilePath, write: WriteOptions, in context: Context
    ) throws -> ComparedMerge.Figures {
        var stores = recipe.stores(of: set)
        if let resolve = recipe.resolve {
            var job = ResolveJob(
                set, auxiliary: resolve.auxiliary, options: resolve.options, output: nil, write: write)
            job.keepsRecords = true
            job.output = folder.appending("experts-\(try job.fingerprint().digest.prefix(12))")
            for (place, adapted) in zip(recipe.expertPlaces, try job.run(in: context)) { stores[place] = adapted.store }
        }
        PeakMemory.reset()
        let started = ContinuousClock.now
        let outcome = try MergeJob(recipe, stores: stores, in: context).run(in: context)
        outcome.report.warnings.forEach(context.warn)
        let merged = try outcome.open()
        context.progress.begin("measuring merge \(number)", total: nil, unit: .items("tasks"))
        defer { context.progress.end() }
        let measured = try measurement.measure(merged)
        return ComparedMerge.Figures(
            tasks: zip(measured.tasks, measured.outcomes).map { ComparedMerge.Task(name: $0.name, outcomes: $1) },
            auxiliaryInterference: try auxiliary?.measure(merged).total,
            seconds: (ContinuousClock.now - started).seconds, peakByteCount: PeakMemory.byteCount)
    }
}
