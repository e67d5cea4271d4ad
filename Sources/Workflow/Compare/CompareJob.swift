import Checkpoints
import Experts
import Interference
import Networks
import Recipes
import SystemPackage
import TensorCore
import Work

/// Carries out many merges and measures them side by side: inputs are opened and teachers computed once, experts are adapted once for
/// all merges that ask for the same, and what is finished is kept.
public struct CompareJob: Job {
    /// What figures are of, and the version of how they are taken.
    private static let kind = "compare 3"

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

    private var auxiliaryInputs: [JobInput] {
        guard case .file(let path) = auxiliary else { return [] }
        return [DataFile.input("auxiliary of the comparison", path)]
    }

    /// Carries out what is not finished.
    ///
    /// - Returns: the merges in the order of the variants.
    /// - Throws: the diagnostics of all work. What was finished before stays.
    public func run(in context: Context) throws -> [ComparedMerge] {
        try prepare()
        let benches = Benches(auxiliary: auxiliary, context: context)
        var merges = [ComparedMerge?](repeating: nil, count: variants.count)
        var sweeps: [Sweep] = []
        for place in variants.indices {
            let recipe = variants[place].recipe
            let bench = try benches[recipe]
            if !write.force, let figures = try finishedFigures(of: recipe, on: bench) {
                merges[place] = merge(variants[place], figures)
                continue
            }
            let resolve = try bench.resolveJob(for: recipe, in: folder, write: write)
            let sweep = Sweep(place, on: bench, resolve, isAlone: recipe.distill != nil)
            if let open = sweeps.firstIndex(where: { $0.takes(sweep) }) {
                sweeps[open].places.append(place)
            } else {
                sweeps.append(sweep)
            }
        }
        var made: Set<FilePath> = []
        for sweep in sweeps {
            var resolve = sweep.resolve
            // What is made again is made again once.
            if let output = resolve?.output, !made.insert(output).inserted { resolve?.write.force = false }
            if write.force, let path = resolve?.teachersPath, made.insert(path).inserted {
                try resolve?.removeTeachers()
            }
            let adapted = try resolve?.run(in: context) ?? []
            let named = sweep.places.map { (recipe: variants[$0].recipe, name: "\($0 + 1) of \(variants.count)") }
            try sweep.bench.measure(named, adapted: adapted) { number, figures in
                let place = sweep.places[number]
                try FinishedFigures.write(figures, to: try figuresFile(of: variants[place].recipe, on: sweep.bench))
                merges[place] = merge(variants[place], figures)
            }
        }
        let all = merges.compactMap { $0 }
        warnOfDifferentTasks(all, context)
        return all
    }

    /// Merges of the same experts, which are carried out in one sweep over them.
    private struct Sweep {
        var places: [Int]
        let bench: CompareBench
        /// Adapts the experts before; nil when they are merged as they are.
        let resolve: ResolveJob?
        /// Where something is trained after the merge, each goes by itself.
        private let isAlone: Bool

        init(_ place: Int, on bench: CompareBench, _ resolve: ResolveJob?, isAlone: Bool) {
            places = [place]
            self.bench = bench
            self.resolve = resolve
            self.isAlone = isAlone
        }

        /// Bytes of results that are held at a time.
        private static let heldByteCount = 1 << 30

        /// Whether another merge can go along.
        func takes(_ other: Sweep) -> Bool {
            let result = bench.set.base.descriptors.reduce(0) { $0 + $1.byteCount }
            return !isAlone && !other.isAlone && other.bench === bench
                && other.resolve?.output == resolve?.output && (places.count + 1) * result <= Self.heldByteCount
        }
    }

    /// Carries out one merge, or takes over what an earlier run has measured.
    ///
    /// - Parameter adapt: gives the experts that a merge asks for.
    func merge(
        at place: Int, on benches: Benches, adapt: (ResolveJob?) throws -> [AdaptedExpert]
    ) throws -> ComparedMerge {
        let recipe = variants[place].recipe
        let bench = try benches[recipe]
        let file = try figuresFile(of: recipe, on: bench)
        if !write.force, let figures = FinishedFigures.read(file) { return merge(variants[place], figures) }
        let adapted = try adapt(try bench.resolveJob(for: recipe, in: folder, write: write))
        var result: ComparedMerge?
        try bench.measure([(recipe, "\(place + 1) of \(variants.count)")], adapted: adapted) { _, figures in
            try FinishedFigures.write(figures, to: file)
            result = merge(variants[place], figures)
        }
        guard let result else { preconditionFailure("a merge was measured") }
        return result
    }

    func warnOfDifferentTasks(_ merges: [ComparedMerge], _ context: Context) {
        guard let first = merges.first, let other = merges.first(where: { !$0.hasTasks(of: first) }) else { return }
        context.warn(
            Warning(
                RunWarning.differentTasks,
                "\"\(first.name)\" and \"\(other.name)\" were measured on different tasks; their figures say nothing of each other"
            ))
    }

    /// Makes sure of what all work needs, and makes the folder.
    func prepare() throws {
        try check()
        try makeFolder(folder.appending(Self.figuresFolder))
    }

    /// Makes sure that there is something to measure on, and that the folder is one of a comparison, or a new one.
    func check() throws {
        for variant in variants { try check(variant.recipe) }
        guard folderExists(folder) else { return }
        let names = try Checkpoints.entries(of: folder)
        guard names.isEmpty || names.contains(Self.clusterFolder) || holdsFigures else {
            throw IOError(
                kind: .exists, message: "\(folder.string) holds other files, and none of a comparison",
                file: folder.string, hint: "choose a new folder with --keep")
        }
    }

    /// Whether there is a folder of figures and of nothing else; their names are digests.
    private var holdsFigures: Bool {
        let names = try? Checkpoints.entries(of: folder.appending(Self.figuresFolder))
        return names?.allSatisfy { $0.wholeMatch(of: /[0-9a-f]{64}\.json/) != nil } ?? false
    }

    private static let figuresFolder = "figures"
    private static let clusterFolder = "cluster"

    /// Where a cluster's notes about the entries go.
    public var clusterPath: FilePath { folder.appending(Self.clusterFolder) }

    /// Those that an earlier run has left from the same inputs and settings.
    func finishedFigures(of recipe: Recipe, on bench: CompareBench) throws -> ComparedMerge.Figures? {
        FinishedFigures.read(try figuresFile(of: recipe, on: bench))
    }

    private func figuresFile(of recipe: Recipe, on bench: CompareBench) throws -> FilePath {
        folder.appending(Self.figuresFolder).appending("\(try fingerprint(of: recipe, on: bench).digest).json")
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

    /// The places of variants of which one merges adapted experts where the other merges the experts as they are, and which are alike
    /// in everything else.
    public var resolvedPairs: [(plain: Int, resolved: Int)] {
        struct Kind: Hashable {
            let suite: ComparedSuite
            let settings: Fingerprint?
            let distill: ResolverOptions?
        }
        let kinds = variants.map {
            Kind(
                suite: ComparedSuite($0.recipe),
                settings: try? Fingerprint("merge", settings: MergeSettings($0.recipe), inputs: []),
                distill: $0.recipe.distill?.options)
        }
        return variants.indices.flatMap { place -> [(plain: Int, resolved: Int)] in
            guard variants[place].recipe.resolve == nil else { return [] }
            return variants.indices.filter { variants[$0].recipe.resolve != nil && kinds[$0] == kinds[place] }
                .map { (plain: place, resolved: $0) }
        }
    }

    private func fingerprint(of recipe: Recipe, on bench: CompareBench) throws -> Fingerprint {
        let (run, backbone) = (RunJob(recipe), bench.set.backbone)
        let settings = RowSettings(
            run: run.settings, noise: auxiliary.flatMap(\.generatedText), network: backbone.network.configuration,
            normalization: backbone.normalization)
        return try Fingerprint(
            Self.kind, settings: settings,
            inputs: run.inputs + [JobInput("base", bench.set.base.reader.files)] + auxiliaryInputs)
    }

    private struct RowSettings: Encodable {
        let run: RunJob.Settings
        /// What the noise is made of that coefficients are chosen by.
        let noise: String?
        let network: NetworkConfiguration
        let normalization: ImageNormalization
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
        for data in recipe.models.compactMap(\.data) where try DataFile.lacksLabels(data) {
            throw InputError.missingLabels(data)
        }
    }

    func merge(_ variant: RecipeVariant, _ figures: ComparedMerge.Figures) -> ComparedMerge {
        let recipe = variant.recipe
        let isOneFile = variants.allSatisfy { $0.recipe.path == recipe.path }
        let choices = variant.choices.map { choice in
            switch choice.key {
            case "merge_method": choice.value
            case "resolve": "RI: \(choice.value)"
            case "distill": "distil: \(choice.value)"
            default: "\(choice.key) \(choice.value)"
            }
        }
        let words = (isOneFile && !choices.isEmpty ? [] : [fileName(of: recipe)]) + choices
        return ComparedMerge(
            name: words.joined(separator: ", "), method: recipe.mergeMethod,
            parameters: recipe.parameters.sorted { $0.key < $1.key }.map { name, setting in
                (name: name, value: setting.summary)
            }, isResolved: recipe.resolve != nil, figures: figures)
    }

    /// What sets a recipe apart from the others: its file's stem, or its path where two have one stem.
    private func fileName(of recipe: Recipe) -> String {
        let isShared = variants.contains { $0.recipe.path != recipe.path && $0.recipe.path.stem == recipe.path.stem }
        return isShared ? recipe.path.string : recipe.path.stem ?? recipe.path.string
    }
}
