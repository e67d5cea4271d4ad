import Checkpoints
import Experts
import Interference
import Networks
import Recipes
import SystemPackage
import TensorCore
import Work

/// The base, experts, heads and data of a recipe: merges that share them are measured on one bench.
struct ComparedSuite: Hashable {
    private let base: FilePath?
    private let models: [[FilePath?]]
    private let map: NameMap
    private let data: DataOptions

    init(_ recipe: Recipe) {
        base = recipe.baseModel?.path
        models = recipe.experts.map { [FilePath($0.name), $0.path, $0.head, $0.data] }
        map = recipe.map
        data = recipe.data
    }
}

/// What stays the same for all merges of one base and one set of experts.
final class CompareBench {
    /// How many auxiliary inputs coefficients are chosen by: interference is a mean, whose error is a thirtieth of the spread of
    /// its terms then.
    private static let auxiliaryCount = 1024

    let set: ExpertSet
    private let auxiliary: AuxiliarySource?
    private let context: Context
    /// Of the experts, on their own data and on auxiliary inputs; taken when the first merge is measured.
    private lazy var references = Result { try References(set, auxiliary: auxiliary, in: context) }

    private struct References {
        let tasks: TaskMeasurement
        /// Nil without auxiliary inputs, or when a task has no head.
        let auxiliary: TaskMeasurement?

        init(_ set: ExpertSet, auxiliary: AuxiliarySource?, in context: Context) throws {
            let inputs = try auxiliary.flatMap { source -> InputSet? in
                guard set.experts.allSatisfy({ $0.task != nil }) else { return nil }
                return try source.inputs(for: set.backbone, in: context)
                    .spread(atMost: CompareBench.auxiliaryCount)
            }
            let progress = context.progress
            progress.begin(
                "measuring the experts",
                total: TaskMeasurement.inputCount(of: set, measuresBase: false)
                    + (inputs?.count ?? 0) * set.experts.count, unit: .items("inputs"))
            defer { progress.end() }
            tasks = try TaskMeasurement(set, measuresBase: false, budget: context.budget, progress: progress)
            self.auxiliary = try inputs.map {
                try TaskMeasurement(set, on: $0, budget: context.budget, progress: progress)
            }
        }
    }

    init(_ recipe: Recipe, auxiliary: AuxiliarySource?, in context: Context) throws {
        guard let base = recipe.baseModel?.path else { preconditionFailure("recipes were checked") }
        set = try ExpertSet(
            base: base, experts: recipe.experts.map(\.files), map: recipe.map, data: recipe.data, in: context)
        self.auxiliary = auxiliary
        self.context = context
    }

    /// How experts are adapted for a merge, into a folder that all merges share that ask for the same, and so do the base's outputs; nil
    /// when they are merged as they are.
    func resolveJob(for recipe: Recipe, in folder: FilePath, write: WriteOptions) throws -> ResolveJob? {
        guard let resolve = recipe.resolve else { return nil }
        var job = ResolveJob(set, auxiliary: resolve.auxiliary, options: resolve.options, output: nil, write: write)
        job.keepsRecords = true
        // The folder is that of these experts.
        job.mends = true
        job.output = folder.appending("experts-\(try job.fingerprint().digest.prefix(12))")
        job.teachersPath = folder.appending(
            "teachers-\(try job.teachersFingerprint().digest.prefix(12)).safetensors")
        return job
    }

    /// Merges in memory, and distils where the recipe says so. Several are merged in one sweep, each with its share of the memory, or one by
    /// one where that is too little.
    private func merged(_ recipes: [Recipe], adapted: [AdaptedExpert]) throws -> [TensorStore] {
        var context = context
        context.memory = context.memory.map { $0 / recipes.count }
        let jobs: [MergeJob]
        do {
            jobs = try recipes.map { recipe in
                var stores = recipe.stores(of: set)
                for (place, expert) in zip(recipe.expertPlaces, adapted) { stores[place] = expert.store }
                return try MergeJob(recipe, stores: stores, in: context)
            }
        } catch let error as RecipeError where error.code == "merge.memory" && recipes.count > 1 {
            return try recipes.flatMap { try merged([$0], adapted: adapted) }
        }
        if let distill = recipes[0].distill {
            precondition(recipes.count == 1, "a merge that is distilled goes by itself")
            let job = DistillJob(set, of: .merge(jobs[0]), auxiliary: distill.auxiliary, options: distill.options)
            return [try job.run(in: context).store]
        }
        return try MergeBatch(jobs).run(in: context).map { outcome in
            outcome.report.warnings.forEach(context.warn)
            return try outcome.open()
        }
    }

    /// Merges in memory and measures.
    ///
    /// - Parameters:
    ///   - merges: of the same experts; several take room for all results at once.
    ///   - adapted: the experts that take the places of the originals; none when these are merged.
    ///   - finished: takes the figures of each, as soon as they are there.
    func measure(
        _ merges: [(recipe: Recipe, name: String)], adapted: [AdaptedExpert],
        finished: (Int, ComparedMerge.Figures) throws -> Void
    ) throws {
        let references = try references.get()
        PeakMemory.reset()
        let clock = ContinuousClock()
        var models: [TensorStore?] = []
        let merging = try clock.measure { models = try merged(merges.map(\.recipe), adapted: adapted) }
        for (number, merge) in merges.enumerated() {
            guard let model = models[number] else { continue }
            context.progress.begin(
                "measuring merge \(merge.name)",
                total: references.tasks.inputCount + (references.auxiliary?.inputCount ?? 0), unit: .items("inputs"))
            defer { context.progress.end() }
            let started = ContinuousClock.now
            let measured = try references.tasks.measure(model)
            let auxiliary = try references.auxiliary?.measure(model).total
            models[number] = nil
            try finished(
                number,
                ComparedMerge.Figures(
                    tasks: zip(measured.tasks, measured.outcomes).map {
                        ComparedMerge.Task(name: $0.name, outcomes: $1)
                    },
                    auxiliaryInterference: auxiliary,
                    seconds: (ContinuousClock.now - started + merging / merges.count).seconds,
                    peakByteCount: PeakMemory.byteCount))
        }
    }
}

/// The benches of a comparison, each made when the first of its merges needs it.
final class Benches {
    private let auxiliary: AuxiliarySource?
    private let context: Context
    private var known: [ComparedSuite: CompareBench] = [:]

    init(auxiliary: AuxiliarySource?, context: Context) {
        self.auxiliary = auxiliary
        self.context = context
    }

    subscript(recipe: Recipe) -> CompareBench {
        get throws {
            let suite = ComparedSuite(recipe)
            if let bench = known[suite] { return bench }
            let bench = try CompareBench(recipe, auxiliary: auxiliary, in: context)
            known[suite] = bench
            return bench
        }
    }
}
