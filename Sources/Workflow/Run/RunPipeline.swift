import Checkpoints
import Experts
import Interference
import Kernels
import Merging
import Recipes
import Reporting
import SystemPackage
import TensorCore

/// Carries out a recipe: resolve, merge, measure, write.
///
/// A stage whose output was made from the same inputs and settings by an earlier run is taken as done, unless outputs are to be
/// replaced (`write.force`).
public struct RunPipeline: Sendable {
    public let recipe: Recipe
    public var write: WriteOptions
    public var budget: ComputeBudget
    /// Bytes of working memory for the merge; nil sets no bound.
    public var memory: Int?

    public init(_ recipe: Recipe, write: WriteOptions = WriteOptions(), budget: ComputeBudget, memory: Int? = nil) {
        self.recipe = recipe
        self.write = write
        self.budget = budget
        self.memory = memory
    }

    /// Carries out all stages.
    ///
    /// - Parameter warn: told of what the report will list as warnings of the data, as soon as it is known.
    /// - Throws: the diagnostics of all stages. What was finished before stays.
    public func run(
        progress: any ProgressSink = SilentProgress(), warn: (String) -> Void = { _ in }
    ) throws -> RunReport {
        let started = ContinuousClock.now
        try checkPurpose()
        guard isMeasuring else { return try mergeOnly(started, progress) }
        var report = RunReport(recipe: recipe)
        func note(_ remark: String) {
            guard !report.warnings.contains(remark) else { return }
            report.warnings.append(remark)
            warn(remark)
        }
        _ = try recipe.resolve?.auxiliary.open()
        let set = try ExpertSet(
            base: try basePath(), threads: budget.threads, memory: memory, experts: recipe.models.map(\.files),
            warn: note)
        let originals = stores(of: set)
        // Adapted experts have the tensors of the originals, so the plan shows before the long work what would fail after it.
        _ = try mergeStage(originals)
        try checkOutputs()
        if let output = recipe.output { try makeFolder(output.removingLastComponent()) }
        report.warnings += originals.warnings
        let adapted = try resolve(set, progress, warn: note)
        report.adapted = adapted

        let sources = originals.merging(zip(recipe.models.map(\.path), adapted.map(\.store))) { $1 }
        let final = try merge(sources, signature: try mergeSignature(sources), &report, progress)
        guard set.experts.contains(where: { $0.data != nil }) else {
            report.duration = ContinuousClock.now - started
            return report
        }
        progress.begin("measuring", total: nil, unit: .items("tasks"))
        let stage = try MeasureStage(set, budget: budget)
        report.tasks = stage.tasks
        let merged = try stage.measure(final)
        if adapted.isEmpty {
            report.merged = merged
        } else {
            report.mergedResolved = merged
            report.merged = try stage.measure(try mergeStage(originals).merged(progress: progress).store)
        }
        if let plain = report.merged, let resolved = report.mergedResolved, resolved.total > plain.total {
            report.warnings.append(
                "the adapted experts interfere more than the originals; try a lower learning rate, fewer steps, or other "
                    + "auxiliary inputs")
        }
        progress.end()
        report.duration = ContinuousClock.now - started
        return report
    }

    /// Whether the recipe says anything of heads and data; otherwise it needs no backbone, and any checkpoints merge.
    private var isMeasuring: Bool {
        recipe.resolve != nil || recipe.models.contains { $0.head != nil || $0.data != nil }
    }

    /// Makes sure that there is something to do and what it needs.
    func checkPurpose() throws(RecipeError) {
        if isMeasuring {
            _ = try basePath()
        } else if recipe.output == nil {
            throw RecipeError(
                .missingKey, "there is nothing to do: no output, no resolve, no data to measure on", file: recipe.path,
                at: recipe.position,
                hint: "say where the merged checkpoint goes with output:")
        }
    }

    /// The models, opened.
    ///
    /// - Parameter planned: models that other merges are to make, by their paths.
    func stores(planned: [FilePath: TensorStore] = [:]) throws -> [FilePath: TensorStore] {
        let options = ReadOptions(
            sharedBase: recipe.baseModel?.path, threads: budget.threads, memoryByteCount: memory)
        return try recipe.stores { try planned[$0] ?? TensorStore(opening: $0, options: options) }
    }

    private func mergeOnly(_ started: ContinuousClock.Instant, _ progress: any ProgressSink) throws -> RunReport {
        let stores = try stores()
        var report = RunReport(recipe: recipe)
        report.warnings += stores.warnings
        try checkOutputs()
        _ = try merge(stores, signature: try mergeSignature(stores), &report, progress)
        report.duration = ContinuousClock.now - started
        return report
    }

    /// Finds out before the work what would keep its results from being written.
    func checkOutputs() throws {
        if let output = recipe.output {
            if !recipe.outputIsFolder, !CheckpointFormat.isFolder(output) {
                _ = try MergeStage.format(ofOutput: output)
                // Whether a file there may be replaced is for its signature to say.
                try AtomicOutput.checkPlace(output, options: WriteOptions(force: true))
            }
            if fileExists(output), !CheckpointFormat.isFolder(output), !write.force, !StageSignature.exists(at: output)
            {
                throw IOError(
                    kind: .exists, message: "\(output.string) exists already, and no run of a recipe made it",
                    file: output.string, hint: "use --force to replace it")
            }
        }
        if let report = recipe.report { try RunReport.checkReplaceable(report, options: write) }
    }

    private func basePath() throws(RecipeError) -> FilePath {
        guard let base = recipe.baseModel else {
            throw RecipeError(
                .missingKey, "base_model is missing; resolving and measuring need it", file: recipe.path,
                at: recipe.position)
        }
        return base.path
    }

    private func resolve(
        _ set: ExpertSet, _ progress: any ProgressSink, warn: (String) -> Void
    ) throws -> [AdaptedExpert] {
        guard let resolve = recipe.resolve else { return [] }
        var stage = ResolveStage(
            set, auxiliary: resolve.auxiliary, options: resolve.options,
            output: resolve.output ?? recipe.output.map { $0.withSuffix(".resolved") }, write: write)
        stage.notesSignatures = true
        stage.skipsFinished = !write.force
        return try stage.run(budget: budget, progress: progress, warn: warn) {
            // Experts that change make another merge: one that cannot be written is refused before they are trained.
            if let output = recipe.output, fileExists(output), !CheckpointFormat.isFolder(output), !write.force {
                throw IOError(
                    kind: .exists, message: "\(output.string) was made with other settings or inputs",
                    file: output.string, hint: "use --force to make it again")
            }
        }
    }

    /// The opened models of the recipe by their paths.
    private func stores(of set: ExpertSet) -> [FilePath: TensorStore] {
        var stores: [FilePath: TensorStore] = [:]
        for (model, expert) in zip(recipe.models, set.experts) { stores[model.path] = expert.store }
        if let base = recipe.baseModel { stores[base.path] = set.base }
        return stores
    }

    func mergeStage(_ stores: [FilePath: TensorStore]) throws -> MergeStage {
        try MergeStage(recipe, stores: stores, budget: budget, memory: memory)
    }

    /// Merges to the output, or into memory when there is none, or takes over what an earlier run has written.
    private func merge(
        _ stores: [FilePath: TensorStore], signature: StageSignature, _ report: inout RunReport,
        _ progress: any ProgressSink
    ) throws -> TensorStore {
        let stage = try mergeStage(stores)
        guard let output = recipe.output else {
            let (merge, store) = try stage.merged(progress: progress)
            report.warnings += merge.warnings
            return store
        }
        if !write.force, signature.matches(outputAt: output) {
            report.mergeWasDone = true
        } else {
            let (merge, written, _) = try stage.write(
                to: output, isFolder: recipe.outputIsFolder, signature: signature, options: write, progress: progress)
            report.warnings += merge.warnings
            report.written = written
        }
        return try TensorStore(opening: output)
    }

    func mergeSignature(_ stores: [FilePath: TensorStore]) throws -> StageSignature {
        try StageSignature(
            settings: "merge 3\n\(recipe.mergeSettings)",
            files: recipe.sourcePaths.flatMap { stores[$0]?.reader.files ?? [] } + recipe.parameterFiles())
    }
}

extension [FilePath: TensorStore] {
    /// In the order of the paths.
    fileprivate var warnings: [String] { sorted { $0.key.string < $1.key.string }.flatMap(\.value.warnings) }
}

extension Recipe.Model {
    var files: ExpertFiles { ExpertFiles(name: name, checkpoint: path, head: head, data: data) }
}

extension FilePath {
    /// The path with its extension replaced by a suffix: `out/merged.safetensors` becomes `out/merged.resolved`.
    fileprivate func withSuffix(_ suffix: String) -> FilePath {
        removingLastComponent().appending((stem ?? "merged") + suffix)
    }
}
