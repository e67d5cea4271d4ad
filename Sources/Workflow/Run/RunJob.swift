import Checkpoints
import Experts
import Interference
import Kernels
import Merging
import Recipes
import Reporting
import SystemPackage
import TensorCore
import Work

/// Carries out a recipe: resolve, merge, distil, measure, write.
///
/// Work whose output was made from the same inputs and settings by an earlier run is taken as done, unless outputs are to be
/// replaced (`write.force`).
public struct RunJob: Job, Sendable {
    public let recipe: Recipe
    public var write: WriteOptions
    /// How resolving is kept on the way; how often goes before what the recipe says.
    public var resumption = Resumption()
    /// Files that get the report beside that of the recipe.
    public var reports: [FilePath] = []

    public init(_ recipe: Recipe, write: WriteOptions = WriteOptions()) {
        self.recipe = recipe
        self.write = write
    }

    /// What is said of merging and of resolving.
    struct Settings: Encodable {
        let merge: MergeSettings
        let resolve: ResolverOptions?
        /// What the noise is made of that experts are resolved on; of a file the contents count.
        let noise: String?
        let distill: ResolverOptions?
        /// Of distilling.
        let distillNoise: String?
        /// How data is read, where that was said.
        let data: DataOptions?
    }

    var settings: Settings {
        Settings(
            merge: MergeSettings(recipe), resolve: recipe.resolve?.options,
            noise: recipe.resolve?.auxiliary?.generatedText, distill: recipe.distill?.options,
            distillNoise: recipe.distill?.auxiliary.generatedText,
            data: recipe.data == DataOptions() ? nil : recipe.data)
    }

    /// The files that the figures of a run depend on.
    var inputs: [JobInput] {
        var inputs = recipe.sourcePlaces.enumerated().map { number, place in
            JobInput("model \(number + 1)", Self.files(of: recipe.models[place].path))
        }
        for model in recipe.experts {
            inputs.append(JobInput("head of \(model.name)", model.head.map(Self.files) ?? []))
            inputs.append(
                model.data.map { DataFile.input("data of \(model.name)", $0) } ?? JobInput("data of \(model.name)", []))
        }
        if case .file = recipe.resolve?.auxiliary, let input = recipe.resolve?.auxiliary?.input { inputs.append(input) }
        if case .file = recipe.distill?.auxiliary, let input = recipe.distill?.auxiliary.input {
            inputs.append(JobInput("auxiliary of distilling", input))
        }
        return inputs + recipe.parameterInputs()
    }

    /// Those of a checkpoint; of what cannot be opened the path, whose reading says why.
    package static func files(of path: FilePath) -> [FilePath] {
        (try? TensorStore(opening: path))?.reader.files ?? [path]
    }

    /// Where the merged checkpoint goes; nil when nothing says so.
    ///
    /// - Throws: `usage.output_format`.
    func target() throws(OutputError) -> OutputTarget? {
        guard let output = recipe.output else { return nil }
        return try OutputTarget(output, options: write)
    }

    /// Carries out everything.
    ///
    /// - Throws: the diagnostics of all work. What was finished before stays.
    public func run(in context: Context) throws -> RunReport { try run(nil, in: context) }

    /// Carries out one entry of the list and nothing else; nil carries out all.
    ///
    /// - Throws: `input.not_ready` when what the entry builds upon is not there; as `run(in:)`.
    public func run(_ entry: RunEntry?, in context: Context) throws -> RunReport {
        let started = ContinuousClock.now
        try checkPurpose()
        // Those of the recipe were told when it was read.
        let log = WarningLog(recipe.warnings, tell: context.warn)
        var inner = context
        inner.warn = log.warn
        var report = try isMeasuring ? measured(entry, in: inner) : mergeOnly(entry, in: inner)
        report.warnings = log.warnings
        report.duration = ContinuousClock.now - started
        return report
    }

    private func measured(_ entry: RunEntry?, in context: Context) throws -> RunReport {
        var report = RunReport(recipe: recipe)
        try recipe.resolve?.auxiliary?.check()
        let set = try expertSet(in: context)
        let originals = recipe.stores(of: set)
        // Adapted experts have the tensors of the originals, so the plan shows before the long work what would fail after it.
        let planned = try mergeJob(originals, target: try target(), in: context)
        try distillJob(set, of: planned)?.check()
        try checkOutputs()
        if let output = recipe.output { try makeFolder(output.path.removingLastComponent()) }
        if entry == .teachers {
            report.teachers = try teach(set, for: planned, context)
            return report
        }
        let adapted = try resolve(set, entry, for: planned, context)
        originals.compactMap { $0 }.flatMap(\.warnings).forEach(context.warn)
        report.adapted = adapted
        if case .expert = entry { return report }

        var sources = originals
        for (place, expert) in zip(recipe.expertPlaces, adapted) { sources[place] = expert.store }
        let last = try mergeJob(sources, target: try target(), in: context)
        let final = try merge(last, distilling: try distillJob(set, of: last), entry, &report, context)
        guard entry != .merge, set.experts.contains(where: { $0.data != nil }) else { return report }
        func inMemory(_ job: MergeJob) throws -> TensorStore {
            var job = job
            job.target = nil
            return try job.run(in: context).open()
        }
        // The result, and what it would be without the steps that training took.
        let isDistilled = recipe.distill != nil
        let undistilled = isDistilled && !adapted.isEmpty ? try inMemory(last) : nil
        let originalsMerged = isDistilled || !adapted.isEmpty ? try inMemory(planned) : nil
        let samples = set.experts.compactMap(\.data).reduce(0) { $0 + $1.inputs.count }
        context.progress.begin(
            "measuring",
            total: TaskMeasurement.inputCount(of: set)
                + samples * (1 + [originalsMerged, undistilled].count { $0 != nil }),
            unit: .items("inputs"))
        let measurement = try TaskMeasurement(set, budget: context.budget, progress: context.progress)
        report.tasks = measurement.tasks
        let merged = try measurement.measure(final)
        if isDistilled { report.mergedDistilled = merged }
        if !adapted.isEmpty { report.mergedResolved = try undistilled.map { try measurement.measure($0) } ?? merged }
        report.merged = try originalsMerged.map { try measurement.measure($0) } ?? merged
        if let plain = report.merged, let resolved = report.mergedResolved, resolved.total > plain.total {
            context.warn(
                Warning(
                    RunWarning.moreInterference,
                    "the adapted experts interfere more than the originals; try a lower learning rate, fewer steps, or other "
                        + "auxiliary inputs"))
        }
        context.progress.end()
        return report
    }

    /// Whether the recipe says anything of heads and data; otherwise it needs no backbone, and any checkpoints merge.
    private var isMeasuring: Bool {
        recipe.resolve != nil || recipe.distill != nil || recipe.models.contains { $0.head != nil || $0.data != nil }
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
    func stores(planned: [FilePath: TensorStore] = [:], in context: Context) throws -> [TensorStore?] {
        var options = context.reading(sharedBase: recipe.baseModel?.path)
        options.keepsParts = MergeMethods.keepsParts(recipe.mergeMethod)
        let settled = options
        return try recipe.stores(warn: context.warn) { try planned[$0] ?? TensorStore(opening: $0, options: settled) }
    }

    private func mergeOnly(_ entry: RunEntry?, in context: Context) throws -> RunReport {
        let stores = try stores(in: context)
        var report = RunReport(recipe: recipe)
        stores.compactMap { $0 }.flatMap(\.warnings).forEach(context.warn)
        try checkOutputs()
        let job = try mergeJob(stores, target: try target(), in: context)
        _ = try merge(job, distilling: nil, entry, &report, context)
        return report
    }

    /// Finds out before the work what would keep its results from being written.
    func checkOutputs() throws {
        if let target = try target() {
            // Whether a file there may be replaced is for its record to say.
            try AtomicOutput.checkPlace(
                target.isFolder ? target.path.appending("config.json") : target.path, options: WriteOptions(force: true)
            )
            if !target.isFolder, !write.force, fileExists(target.path), !WorkRecord.exists(at: target.path) {
                throw IOError.exists(target.path, "exists already, and no run of a recipe made it")
            }
        }
        for target in try reportTargets() { try target.check() }
    }

    /// Where the report goes: what the recipe says, and what was asked for beside it.
    ///
    /// - Throws: `usage.report_format`, `usage.same_report`.
    public func reportTargets() throws(OutputError) -> [ReportTarget] {
        try ReportTarget.targets(recipe.reports + reports, replacing: RunReport.mark, options: write)
    }

    /// Whether a report is missing, or older than something that it tells of: the recipe, the merged checkpoint, or what that was measured
    /// with. A run that was killed may have left one of before.
    public func isOutdated(_ report: FilePath) -> Bool {
        guard let made = FileStatus(of: report)?.modified else { return true }
        let merged = recipe.output.map { WorkRecord.firstFile(at: $0.path) ?? $0.path }
        let read = recipe.models.flatMap { [$0.head, $0.data] } + [recipe.path, merged]
        return read.contains { path in
            guard let changed = path.flatMap({ FileStatus(of: $0)?.modified }) else { return false }
            return (changed.tv_sec, changed.tv_nsec) > (made.tv_sec, made.tv_nsec)
        }
    }

    private func basePath() throws(RecipeError) -> FilePath {
        guard let base = recipe.baseModel else {
            throw RecipeError(
                .missingKey, "base_model is missing; resolving and measuring need it", file: recipe.path,
                at: recipe.position)
        }
        return base.path
    }

    func expertSet(in context: Context) throws -> ExpertSet {
        try ExpertSet(
            base: try basePath(), experts: recipe.experts.map(\.files), map: recipe.map, data: recipe.data,
            in: context)
    }

    /// How experts are adapted; nil when they are merged as they are.
    func resolveJob(_ set: ExpertSet) throws -> ResolveJob? {
        guard let resolve = recipe.resolve else { return nil }
        var job = ResolveJob(
            set, auxiliary: resolve.auxiliary, options: resolve.options,
            output: recipe.resolvedFolder, write: write)
        job.keepsRecords = true
        // Hidden, as the state of an expert is.
        job.teachersPath = recipe.resolvedFolder?.appending(".teachers.safetensors")
        job.resumption = resumption
        if resumption.saveEvery == nil { job.resumption.saveEvery = resolve.saveEvery }
        return job
    }

    /// Adapts experts, where the recipe says so.
    ///
    /// - Parameter merge: what the experts are for.
    private func resolve(
        _ set: ExpertSet, _ entry: RunEntry?, for merge: MergeJob, _ context: Context
    ) throws -> [AdaptedExpert] {
        guard var job = try resolveJob(set) else { return [] }
        switch entry {
        case .expert(let name): job.only = [name]
        case .documents, .teachers, .merge, .measure:
            // Of what was made before it, an entry replaces nothing.
            job.write.force = false
            if let name = try job.unfinished().first {
                throw InputError.notReady(
                    "the adapted expert \"\(name)\"", madeBy: RunEntry.expert(name), replacing: job.hasOutput(of: name))
            }
        case nil: if job.write.force { try job.removeTeachers() }
        }
        let adapted = try job.run(in: context) { try requireReplaceable(merge) }
        // No expert is left that would ask for them.
        if job.only == nil { try job.removeTeachers() }
        return adapted
    }

    /// Computes what all experts are held to in common.
    ///
    /// - Parameter merge: what the experts are for.
    private func teach(_ set: ExpertSet, for merge: MergeJob, _ context: Context) throws -> KeptTeachers? {
        guard let job = try resolveJob(set) else { return nil }
        guard try write.force || !job.unfinished().isEmpty else { return KeptTeachers(path: nil, duration: nil) }
        return try job.teach(in: context) { try requireReplaceable(merge) }
    }

    /// Experts that change make another merge: one that cannot be written is refused before they are trained.
    func requireReplaceable(_ merge: MergeJob) throws(IOError) {
        guard !write.force, let file = merge.obstacle else { return }
        throw .exists(file, "was made with other settings or inputs", hint: "use --force to make it again")
    }

    func mergeJob(
        _ stores: [TensorStore?], target: OutputTarget? = nil, in context: Context
    ) throws -> MergeJob {
        try MergeJob(recipe, stores: stores, target: target, in: context)
    }

    /// How a merge is distilled; nil when it stays as it is.
    func distillJob(_ set: ExpertSet, of merge: MergeJob) throws -> DistillJob? {
        guard let distill = recipe.distill else { return nil }
        var job = DistillJob(
            set, of: .merge(merge), auxiliary: distill.auxiliary, options: distill.options, target: merge.target)
        job.keepsRecord = true
        job.resumption = resumption
        if resumption.saveEvery == nil { job.resumption.saveEvery = distill.saveEvery }
        return job
    }

    /// Merges, and distils where that is asked for, or takes over what an earlier run has written.
    private func merge(
        _ job: MergeJob, distilling: DistillJob?, _ entry: RunEntry?, _ report: inout RunReport, _ context: Context
    ) throws -> TensorStore {
        guard let target = job.target else {
            if let distilling {
                let distilled = try distilling.run(in: context)
                report.distilled = distilled
                return distilled.store
            }
            let outcome = try job.run(in: context)
            outcome.report.warnings.forEach(context.warn)
            return try outcome.open()
        }
        let fingerprint = try distilling?.fingerprint() ?? job.fingerprint()
        // What is in the way is looked for first: between the two, another process may leave what this one would.
        let obstacle = job.obstacle
        if !write.force || entry == .measure, WorkRecord.isFinished(fingerprint, at: target.path) {
            WorkRecord.removeRemains(ofOutputAt: target.path)
            report.mergeWasDone = true
        } else if entry == .measure {
            throw InputError.notReady(
                "the merged checkpoint \(target.path)", madeBy: RunEntry.merge, replacing: obstacle != nil)
        } else {
            if obstacle != nil, !write.force { throw WorkRecord.mismatch(fingerprint, at: target.path) }
            do {
                if let distilling {
                    report.distilled = try distilling.run(in: context)
                } else {
                    var job = job
                    job.keepsRecord = true
                    let outcome = try job.run(in: context)
                    outcome.report.warnings.forEach(context.warn)
                    report.written = outcome.written
                }
            } catch let error as IOError where error.kind == .exists {
                // Another process may have done the same work meanwhile.
                guard WorkRecord.isFinished(fingerprint, at: target.path) else { throw error }
                report.mergeWasDone = true
            }
        }
        return try TensorStore(opening: target.path, options: context.reading())
    }
}

extension Recipe {
    /// The opened models by their places.
    func stores(of set: ExpertSet) -> [TensorStore?] {
        var stores = [TensorStore?](repeating: nil, count: models.count)
        for (place, expert) in zip(expertPlaces, set.experts) { stores[place] = expert.store }
        if let basePlace { stores[basePlace] = set.base }
        return stores
    }
}

extension Recipe.Model {
    var files: ExpertFiles { ExpertFiles(name: name, checkpoint: path, head: head, data: data) }
}

extension Recipe {
    /// Where adapted experts go; nil keeps them in memory.
    public var resolvedFolder: FilePath? {
        resolve?.output ?? output.map { $0.path.withSuffix(".resolved") }
    }
}

extension FilePath {
    /// The path with its extension replaced by a suffix: `out/merged.safetensors` becomes `out/merged.resolved`.
    func withSuffix(_ suffix: String) -> FilePath {
        removingLastComponent().appending((stem ?? "merged") + suffix)
    }
}
