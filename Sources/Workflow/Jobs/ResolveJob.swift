import Checkpoints
import Experts
import Interference
import Kernels
import Networks
import Reporting
import SystemPackage
import TensorCore
import Work

/// Adapts experts with Resolving Interference and writes each in the format and types of its original.
public struct ResolveJob: RecordedJob, Sendable {
    public let set: ExpertSet
    /// Nil where the options look at none.
    public let auxiliary: AuxiliarySource?
    public let options: ResolverOptions
    /// The folder that gets one checkpoint per expert; nil keeps them in memory.
    public var output: FilePath?
    /// The format of the outputs; nil keeps that of each expert.
    public var format: FormatID?
    /// The experts to adapt; nil adapts all. The heads of the others still count.
    public var only: [String]?
    public var write: WriteOptions
    /// Keeps a record beside each output, and takes experts as done whose record says that an earlier run has made them, unless
    /// outputs are to be replaced.
    public var keepsRecords = false
    /// Whether what stands in the place of an output that is not finished may be replaced, such as one that was damaged.
    var mends = false
    /// How states are kept in the folder, with records, and gone on from.
    public var resumption = Resumption()
    /// The file that keeps the base's outputs for all who adapt experts of the set; nil computes them for this job alone.
    var teachersPath: FilePath?

    public static var kind: String { "resolve 4" }

    public init(
        _ set: ExpertSet, auxiliary: AuxiliarySource?, options: ResolverOptions, output: FilePath?,
        write: WriteOptions = WriteOptions()
    ) {
        self.set = set
        self.auxiliary = auxiliary
        self.options = options.settled(for: set.backbone.network)
        self.output = output
        self.write = write
    }

    /// Adapts the experts one after the other.
    ///
    /// - Throws: as `run(in:willWork:)`.
    public func run(in context: Context) throws -> [AdaptedExpert] { try run(in: context) {} }

    /// Adapts the experts one after the other.
    ///
    /// - Parameter willWork: called before the work, if there is any; may throw to prevent it.
    /// - Throws: `input.*`, `interference.*`, `network.*`, `resume.*`, and what readers and writers throw. Experts that
    ///   were finished before stay where they were written.
    public func run(in context: Context, willWork: () throws -> Void) throws -> [AdaptedExpert] {
        try check()
        let frozen = try frozen()
        let chosen = try chosenExperts()
        for index in chosen {
            try checkName(set.experts[index].name)
            try set.backbone.check(set.experts[index].store)
        }
        if let output { try makeFolder(output) }
        var adapted: [AdaptedExpert] = []
        // Outputs are begun before the work: what cannot be written, or has no room on the disk, is found out early.
        var remaining: [Piece] = []
        for index in chosen {
            let expert = set.experts[index]
            // What is in the way is looked for first: between the two, another process may leave what this one would.
            let isThere = path(of: expert).map(fileExists) ?? false
            if let done = try finished(expert) {
                adapted.append(done)
            } else {
                remaining.append(try begin(index, isThere: isThere))
            }
        }
        guard !remaining.isEmpty else { return adapted }
        try willWork()
        options.warnings.forEach(context.warn)
        if let output, resumption.resumes, adapted.isEmpty, remaining.allSatisfy({ $0.found == nil }) {
            context.warn(
                Warning(
                    RunWarning.nothingToResume,
                    "\(output.string) has nothing to resume from; work begins at the first step"))
        }

        let inputs = try auxiliaryInputs(in: context)
        // What is wrong with the last expert is found out before the first is trained.
        for piece in remaining { try set.backbone.checkValues(of: set.experts[piece.index].store) }
        let heads = try heads(inputs, in: context)
        if options.solver == .train, let inputs {
            adapted += try train(remaining, heads, inputs, frozen, in: context)
        } else {
            adapted += try solve(remaining, heads, inputs, frozen, in: context)
        }
        let order = set.experts.map(\.name)
        return adapted.sorted { (order.firstIndex(of: $0.name) ?? 0) < (order.firstIndex(of: $1.name) ?? 0) }
    }

    /// Makes sure of what is said before anything is read.
    func check() throws {
        try options.validate()
        guard auxiliary != nil || !options.needsAuxiliary else {
            throw InterferenceError(
                .badOption, "there are no auxiliary inputs, and solver \(options.solver.rawValue) needs them")
        }
        try auxiliary?.check()
        if options.match == .logits { _ = try set.tasks() }
    }

    /// Those that the options look at.
    func auxiliaryInputs(in context: Context) throws -> InputSet? {
        try auxiliary?.inputs(for: set.backbone, limit: options.usedInputCount, in: context)
    }

    /// The heads that experts are held to: those of their tasks, or what they have changed of features.
    private func heads(_ inputs: InputSet?, in context: Context) throws -> [TaskHead] {
        guard options.match == .features, let inputs else { return try set.tasks() }
        _ = try context.required(
            DriftHeads.byteCount(set.backbone.network, auxiliary: inputs), for: "matching features", beside: 0,
            orTake: "fewer than \(inputs.count) auxiliary inputs")
        context.progress.begin("directions of the experts", total: set.experts.count, unit: .items("experts"))
        defer { context.progress.end() }
        let drift = try DriftHeads(
            network: set.backbone.network, base: try set.backbone.parameters(of: set.base), auxiliary: inputs,
            share: options.driftShare, budget: context.budget)
        return try set.experts.map { expert in
            defer { context.progress.advance(by: 1) }
            return try drift.head(of: try set.backbone.parameters(of: expert.store), name: expert.name)
        }
    }

    /// The experts to adapt whose outputs no earlier run has left as this one would.
    ///
    /// - Throws: `input.bad_name` when an expert to adapt is none; `IOError` when an input cannot be read.
    func unfinished() throws -> [String] {
        try chosenExperts().map { set.experts[$0] }.filter { expert in
            guard let path = path(of: expert) else { return true }
            return !WorkRecord.isFinished(try fingerprint(of: expert), at: path)
        }.map(\.name)
    }

    /// Whether something stands where an adapted expert goes.
    func hasOutput(of name: String) -> Bool {
        set.experts.first { $0.name == name }.flatMap(path).map(fileExists) ?? false
    }

    public var settings: Settings { settings(of: only ?? set.experts.map(\.name)) }

    public var inputs: [JobInput] {
        [baseInput] + set.experts.map { JobInput("expert \($0.name)", $0.store.reader.files) } + sharedInputs
    }

    var baseInput: JobInput { JobInput("base", set.base.reader.files) }

    /// What experts are held to, and on which inputs.
    var sharedInputs: [JobInput] {
        let heads = set.experts.map {
            JobInput("head of \($0.name)", options.match == .logits ? $0.headFiles : [])
        }
        return heads + [auxiliary?.input ?? JobInput("auxiliary", [])]
            + (auxiliary?.companions(of: set.backbone) ?? [])
    }

    /// The memory that adapting experts takes at its peak.
    ///
    /// - Parameter work: what the work itself takes.
    /// - Throws: `interference.memory` when it is more than is allowed.
    func requiredMemory(
        _ work: Int, _ inputs: InputSet?, _ pieces: [Piece], in context: Context
    ) throws(InterferenceError) -> Int {
        // A state that is gone on from stands beside the expert, and experts that are kept in memory beside each other.
        let states = pieces.contains { $0.found != nil } ? 4 * set.backbone.network.parameterCount : 0
        let kept = pieces.reduce(0) { sum, piece in
            guard case .memory = piece.output else { return sum }
            return sum + set.experts[piece.index].store.descriptors.reduce(0) { $0 + $1.byteCount }
        }
        let hint =
            options.solver == .train
            ? "a smaller --micro-batch-size or fewer than \(inputs?.count ?? 0) auxiliary inputs" : nil
        return try context.required(work, for: "resolving", beside: states + kept, orTake: hint)
    }

    /// What of the base, and so of every expert, stays as it is.
    func frozen() throws -> FrozenParameters {
        try set.backbone.frozen(TensorPatterns(options.freeze), in: set.base)
    }

    private func chosenExperts() throws -> [Int] {
        guard let only else { return Array(set.experts.indices) }
        let names = set.experts.map(\.name)
        if let name = only.first(where: { !names.contains($0) }) {
            throw InputError(
                .badName, "there is no expert \"\(name)\"", hint: "the experts are \(names.joined(separator: ", "))")
        }
        return names.indices.filter { only.contains(names[$0]) }
    }

    /// Names become file names here.
    private func checkName(_ name: String) throws(InputError) {
        guard output != nil else { return }
        let component = FilePath.Component(name)
        guard component?.kind == .regular, component?.string == name, !name.hasPrefix("."), name.utf8.count <= 200
        else {
            throw InputError(
                .badName, "the expert name \"\(name.escapingControlCharacters)\" cannot be a file name",
                hint: "choose a short name without slashes that does not begin with a dot")
        }
    }

    func path(of expert: Expert) -> FilePath? {
        output?.appending("\(expert.name).\(CheckpointFormat.of(format(of: expert)).extensions[0])")
    }

    private func format(of expert: Expert) -> FormatID {
        format ?? CheckpointFormat.output(like: expert.store.reader.format)
    }

    /// An expert that an earlier run has finished; nothing of the way there is left beside it then.
    private func finished(_ expert: Expert) throws -> AdaptedExpert? {
        guard let output, let path = path(of: expert), resumption.resumes || keepsRecords && !write.force,
            WorkRecord.isFinished(try fingerprint(of: expert), at: path)
        else { return nil }
        try removeRemains(of: expert, in: output)
        return AdaptedExpert(name: expert.name, path: path, store: try reopen(path), training: nil)
    }

    /// Removes the state of an expert that is finished and what killed runs have left, whatever format they were to write.
    private func removeRemains(of expert: Expert, in output: FilePath) throws {
        for format in CheckpointFormat.all {
            WorkRecord.removeRemains(ofOutputAt: output.appending("\(expert.name).\(format.extensions[0])"))
        }
        try ResolverStateFile.remove(of: expert.name, in: output)
    }

    /// One expert that is to be adapted.
    struct Piece {
        let index: Int
        let output: Output
        var stateFile: ResolverStateFile?
        /// The state that it goes on from.
        var found: ResolverStateFile.Found?

        func state() throws -> ResolverState? {
            guard let found, let stateFile else { return nil }
            return try stateFile.load(found)
        }

        func saving(every interval: Int?) -> Resolver.Saving? {
            stateFile.map { file in Resolver.Saving(every: interval) { try file.save($0) } }
        }
    }

    /// Where one adapted expert goes.
    enum Output {
        case memory(MemoryCheckpointWriter)
        case file(any CheckpointWriter, FilePath, Fingerprint?)
    }

    private func begin(_ index: Int, isThere: Bool) throws -> Piece {
        let expert = set.experts[index]
        let descriptors = expert.store.descriptors
        guard let output, let path = path(of: expert) else {
            return Piece(index: index, output: .memory(try MemoryCheckpointWriter(declaring: descriptors)))
        }
        let fingerprint = try keepsRecords || resumption.keepsState ? fingerprint(of: expert) : nil
        var (stateFile, found): (ResolverStateFile?, ResolverStateFile.Found?)
        if resumption.keepsState, let fingerprint {
            // A closed form has nothing on the way to go on from.
            stateFile = options.solver == .train ? self.stateFile(of: expert, in: output, fingerprint) : nil
            found = try resumption.resumes ? stateFile?.find() : nil
            if resumption.resumes, !write.force {
                try ResumeError.requireSame(fingerprint, at: path, work: expert.name)
            }
        }
        if let fingerprint, !write.force, !mends, isThere { throw WorkRecord.mismatch(fingerprint, at: path) }
        var options = write
        options.force = write.force || mends
        let target = try OutputTarget(
            OutputPlace(path, isFolder: false), format: format(of: expert), options: options)
        let writer = try target.recorded(fingerprint).open(declaring: descriptors, metadata: expert.store.metadata)
        return Piece(index: index, output: .file(writer, path, fingerprint), stateFile: stateFile, found: found)
    }

    private func stateFile(
        of expert: Expert, in folder: FilePath, _ fingerprint: Fingerprint
    ) -> ResolverStateFile {
        ResolverStateFile(
            of: expert.name, in: folder, fingerprint: fingerprint, network: set.backbone.network, options: options,
            sync: write.sync)
    }

    func finish(
        _ piece: Piece, _ parameters: FloatBuffer, _ frozen: FrozenParameters
    ) throws -> TensorStore {
        let expert = set.experts[piece.index]
        switch piece.output {
        case .memory(let writer):
            try set.backbone.write(parameters: parameters, frozen: frozen, like: expert.store, into: writer)
            guard let checkpoint = writer.checkpoint else { preconditionFailure("a finished writer has a checkpoint") }
            return TensorStore(checkpoint)
        case .file(let writer, let path, let fingerprint):
            do {
                try set.backbone.write(parameters: parameters, frozen: frozen, like: expert.store, into: writer)
            } catch let error as IOError where error.kind == .exists {
                // Another process may have done the same work meanwhile.
                guard let fingerprint, WorkRecord.isFinished(fingerprint, at: path) else { throw error }
            }
            try removeRemains(of: expert, in: path.removingLastComponent())
            return try reopen(path)
        }
    }

    private func reopen(_ path: FilePath) throws -> TensorStore {
        try TensorStore(opening: path, options: ReadOptions(threads: set.backbone.reading.threads))
    }

    /// What determines an adapted expert.
    private func fingerprint(of expert: Expert) throws -> Fingerprint {
        try Fingerprint(Self.kind, settings: settings(of: [expert.name]), inputs: inputs)
    }

    private func settings(of names: [String]) -> Settings {
        Settings(experts: names, options: options, shared: sharedSettings)
    }

    var sharedSettings: SharedSettings {
        SharedSettings(
            auxiliary: auxiliary.map { $0.generatedText ?? "a file" } ?? "none",
            data: set.backbone.data == DataOptions() ? nil : set.backbone.data,
            map: set.map.rules.isEmpty ? nil : set.map.rules, network: set.backbone.network.configuration,
            normalization: set.backbone.normalization)
    }

    /// What is asked for, and what belongs to the models without being a file of its own.
    public struct Settings: Encodable {
        let experts: [String]
        let options: ResolverOptions
        let shared: SharedSettings

        enum CodingKeys: CodingKey {
            case experts
        }

        /// Encodes options under the names of the command line, then what belongs to the models.
        ///
        /// - Throws: what the encoder throws.
        public func encode(to encoder: any Encoder) throws {
            try options.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(experts, forKey: .experts)
            try shared.encode(to: encoder)
        }
    }

    /// What belongs to base, heads and auxiliary inputs without being a file of its own.
    struct SharedSettings: Encodable {
        /// What is made; of a file the contents count.
        let auxiliary: String
        /// How data is read, and the rules by which tensors are called, where that was said.
        let data: DataOptions?
        let map: [String]?
        let network: NetworkConfiguration
        let normalization: ImageNormalization
    }
}
