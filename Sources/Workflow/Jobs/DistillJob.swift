import Checkpoints
import Experts
import Interference
import Networks
import Reporting
import SystemPackage
import TensorCore
import Work

/// Trains a merged model to say under every head what the expert of that head says, and writes it with the names and types that it has.
public struct DistillJob: RecordedJob, Sendable {
    /// The original experts, which are the teachers.
    public let set: ExpertSet
    /// What is trained.
    public let source: Source
    /// The inputs that it is trained on.
    public let auxiliary: AuxiliarySource
    /// How it is trained.
    public let options: ResolverOptions
    /// Where the result goes; nil keeps it in memory.
    public var target: OutputTarget?
    /// Whether a record of what the output was made from is kept beside it, for a later run to find.
    public var keepsRecord = false
    /// How the state is kept beside the output, and gone on from.
    public var resumption = Resumption()

    /// What is trained.
    public enum Source: Sendable {
        case checkpoint(TensorStore)
        /// A merge, which is carried out in memory.
        case merge(MergeJob)
    }

    public static var kind: String { "distill 1" }

    public init(
        _ set: ExpertSet, of source: Source, auxiliary: AuxiliarySource, options: ResolverOptions,
        target: OutputTarget? = nil
    ) {
        self.set = set
        self.source = source
        self.auxiliary = auxiliary
        self.options = options.settled(for: set.backbone.network)
        self.target = target
    }

    /// Finds out what would keep the work from being done, as far as it can be known before.
    ///
    /// - Throws: `interference.*`, `input.*`, what readers throw.
    public func check() throws {
        try options.validate()
        try auxiliary.check()
        _ = try set.tasks()
        _ = try frozen()
        if case .checkpoint(let store) = source { try set.backbone.check(store) }
    }

    /// Trains the model, unless `resumption` or records find it finished.
    ///
    /// - Throws: as `check`; `network.*`, `resume.*`, what writers and merging throw.
    public func run(in context: Context) throws -> AdaptedExpert {
        try check()
        let fingerprint = try target == nil ? nil : fingerprint()
        if let target, let fingerprint, resumption.resumes, WorkRecord.isFinished(fingerprint, at: target.path) {
            try removeRemains(of: target)
            let store = try TensorStore(opening: target.path, options: context.reading())
            return AdaptedExpert(name: name, path: target.path, store: store, training: nil)
        }
        if let target, let fingerprint, resumption.resumes, !target.options.force {
            try ResumeError.requireSame(fingerprint, at: target.path, work: name)
        }
        options.warnings.forEach(context.warn)
        let merged = try merged(in: context)
        try set.backbone.check(merged)
        let output = try begin(like: merged, fingerprint)
        let stateFile = fingerprint.flatMap { self.stateFile($0) }
        let found = try resumption.resumes ? stateFile?.find() : nil
        let student = try train(merged, stateFile, found, in: context)
        let store = try finish(output, student.parameters, like: merged)
        return AdaptedExpert(name: name, path: target?.path, store: store, training: student.training)
    }

    public var settings: Settings {
        Settings(
            options: options, auxiliary: auxiliary.generatedText ?? "a file",
            data: set.backbone.data == DataOptions() ? nil : set.backbone.data, tasks: set.experts.map(\.name),
            network: set.backbone.network.configuration, normalization: set.backbone.normalization)
    }

    public var inputs: [JobInput] {
        var inputs = [JobInput("base", set.base.reader.files)]
        if case .checkpoint(let store) = source { inputs.append(JobInput("merged", store.reader.files)) }
        return inputs + set.experts.map { JobInput("expert \($0.name)", $0.store.reader.files) }
            + set.experts.map { JobInput("head of \($0.name)", $0.headFiles) }
            + [JobInput("auxiliary of distilling", auxiliary.input)] + auxiliary.companions(of: set.backbone)
    }

    /// The digest of everything that determines the result; a merge that is part of the work counts with all that it is made from.
    ///
    /// - Throws: `IOError` when an input cannot be read.
    public func fingerprint() throws -> Fingerprint {
        let own = try Fingerprint(Self.kind, settings: settings, inputs: inputs)
        guard case .merge(let job) = source else { return own }
        let merge = try job.fingerprint()
        return Fingerprint(
            kind: "\(merge.kind), \(own.kind)",
            parts: merge.parts + own.parts.map { Fingerprint.Part("distill.\($0.name)", $0.value) })
    }

    /// What is asked for, and what belongs to the models without being a file of its own.
    public struct Settings: Encodable {
        let options: ResolverOptions
        /// What is made; of a file the contents count.
        let auxiliary: String
        /// How data is read, where that was said.
        let data: DataOptions?
        let tasks: [String]
        let network: NetworkConfiguration
        let normalization: ImageNormalization
    }

    // MARK: - Steps

    /// What the result is called: the output's name without extension.
    private var name: String { target?.path.stem ?? "merged" }

    private func frozen() throws -> FrozenParameters {
        try set.backbone.frozen(TensorPatterns(options.freeze), in: set.base)
    }

    private func merged(in context: Context) throws -> TensorStore {
        switch source {
        case .checkpoint(let store): return store
        case .merge(var job):
            job.target = nil
            let outcome = try job.run(in: context)
            outcome.report.warnings.forEach(context.warn)
            return try outcome.open()
        }
    }

    private struct Trained {
        let parameters: FloatBuffer
        let training: AdaptedExpert.Training
    }

    private func train(
        _ merged: TensorStore, _ stateFile: ResolverStateFile?, _ found: ResolverStateFile.Found?, in context: Context
    ) throws -> Trained {
        let (backbone, progress) = (set.backbone, context.progress)
        let tasks = try set.tasks()
        let inputs = try auxiliary.inputs(
            for: backbone, limit: options.settled(for: backbone.network).usedInputCount, in: context)
        let state = found == nil ? 0 : 4 * backbone.network.parameterCount
        let kept = merged.reader.files.isEmpty ? merged.descriptors.reduce(0) { $0 + $1.byteCount } : 0
        let frozen = try frozen()
        let footprint = ResolverFootprint(
            backbone.network, tasks: tasks, auxiliary: inputs, options: options, frozen: frozen,
            threads: context.budget.threads)
        let byteCount = try context.required(
            footprint.byteCount, for: "distilling", beside: state + 2 * kept,
            orTake: "a smaller --micro-batch-size or fewer than \(inputs.count) auxiliary inputs")
        progress.note("distilling takes about \(ByteSize(byteCount)) of memory")
        progress.begin("teachers", total: tasks.count, unit: .items("experts"))
        let distiller = try Distiller(
            network: backbone.network, tasks: tasks, auxiliary: inputs, options: options, frozen: frozen,
            budget: context.budget
        ) { number in
            progress.advance(by: 1)
            return try backbone.parameters(of: set.experts[number].store)
        }
        progress.end()
        let stepCount = options.steps - (found?.step ?? 0)
        let seconds = distiller.expectedSeconds(from: found?.step ?? 0)
        progress.note(
            "\(stepCount.grouped) steps of \(options.batchSize) inputs take about \(Duration.seconds(seconds).readable)"
        )
        progress.begin("distilling", total: stepCount, unit: .items("steps"))
        defer { progress.end() }
        let started = ContinuousClock.now
        let student = try distiller.distil(
            merged: try backbone.parameters(of: merged),
            base: options.learningRate == nil ? try backbone.parameters(of: set.base) : nil,
            from: try found.flatMap { try stateFile?.load($0) },
            saving: stateFile.map { file in Resolver.Saving(every: resumption.saveEvery) { try file.save($0) } }
        ) { step in
            progress.advance(by: 1)
            progress.remark("loss \(step.loss.short())")
            return true
        }
        if let warning = student.idleness(of: name) { context.warn(warning) }
        return Trained(
            parameters: student.parameters,
            training: AdaptedExpert.Training(
                student, resumedAt: found?.step, duration: ContinuousClock.now - started,
                expectedByteCount: byteCount, expectedDuration: .seconds(seconds)))
    }

    // MARK: - Output

    private enum Output {
        case memory(MemoryCheckpointWriter)
        case file(any CheckpointWriter, OutputTarget)
    }

    /// Begins the output before the work: what cannot be written, or has no room on the disk, is found out early.
    private func begin(like merged: TensorStore, _ fingerprint: Fingerprint?) throws -> Output {
        guard let target else { return .memory(try MemoryCheckpointWriter(declaring: merged.descriptors)) }
        let recorded = target.recorded(keepsRecord || resumption.keepsState ? fingerprint : nil)
        return .file(try recorded.open(declaring: merged.descriptors, metadata: merged.metadata), target)
    }

    private func finish(_ output: Output, _ parameters: FloatBuffer, like merged: TensorStore) throws -> TensorStore {
        let (backbone, frozen) = (set.backbone, try frozen())
        switch output {
        case .memory(let writer):
            try backbone.write(parameters: parameters, frozen: frozen, like: merged, into: writer)
            guard let checkpoint = writer.checkpoint else { preconditionFailure("a finished writer has a checkpoint") }
            return TensorStore(checkpoint)
        case .file(let writer, let target):
            try backbone.write(parameters: parameters, frozen: frozen, like: merged, into: writer)
            try removeRemains(of: target)
            return try TensorStore(opening: target.path, options: ReadOptions(threads: backbone.reading.threads))
        }
    }

    private func stateFile(_ fingerprint: Fingerprint) -> ResolverStateFile? {
        guard let target, resumption.keepsState else { return nil }
        return ResolverStateFile(
            of: name, in: target.path.removingLastComponent(), fingerprint: fingerprint, network: set.backbone.network,
            options: options, sync: target.options.sync)
    }

    /// Removes the state of a model that is finished and what killed runs have left.
    private func removeRemains(of target: OutputTarget) throws {
        WorkRecord.removeRemains(ofOutputAt: target.path)
        try ResolverStateFile.remove(of: name, in: target.path.removingLastComponent())
    }
}
