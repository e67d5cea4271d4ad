import Checkpoints
import Experts
import Interference
import Kernels
import Networks
import Reporting
import SystemPackage
import TensorCore

/// Adapts experts with Resolving Interference and writes each in the format and types of its original.
public struct ResolveStage: Sendable {
    public let set: ExpertSet
    public let auxiliary: AuxiliarySource
    public let options: ResolverOptions
    /// The folder that gets one checkpoint per expert; nil keeps them in memory.
    public var output: FilePath?
    /// The format of the outputs; nil keeps that of each expert.
    public var format: FormatID?
    /// The experts to adapt; nil adapts all. The heads of the others still count.
    public var only: [String]?
    public var write: WriteOptions
    /// Notes beside each output what it was made from; see `StageSignature`.
    public var notesSignatures = false
    /// Takes experts as done whose output in the folder has a note of the signature that they would get.
    public var skipsFinished = false

    public init(
        _ set: ExpertSet, auxiliary: AuxiliarySource, options: ResolverOptions, output: FilePath?,
        write: WriteOptions = WriteOptions()
    ) {
        self.set = set
        self.auxiliary = auxiliary
        self.options = options
        self.output = output
        self.write = write
    }

    /// Adapts the experts one after the other.
    ///
    /// - Parameters:
    ///   - warn: told what should be known of the auxiliary inputs.
    ///   - willWork: called before the work, if there is any; may throw to prevent it.
    /// - Throws: `input.*`, `interference.*`, `network.*`, and what readers and writers throw. Experts that were finished
    ///   before stay where they were written.
    public func run(
        budget: ComputeBudget, progress: any ProgressSink = SilentProgress(), warn: (String) -> Void = { _ in },
        willWork: () throws -> Void = {}
    ) throws -> [AdaptedExpert] {
        try options.validate()
        let auxiliaryFiles = try auxiliary.open()?.reader.files ?? []
        let tasks = try set.tasks()
        let chosen = try chosenExperts()
        for index in chosen {
            try checkName(set.experts[index].name)
            try set.backbone.check(set.experts[index].store)
        }
        if let output { try makeFolder(output) }
        let signature = try notesSignatures && output != nil ? signature(auxiliaryFiles) : nil
        var adapted: [AdaptedExpert] = []
        // Outputs are begun before the work: what cannot be written, or has no room on the disk, is found out early.
        var remaining: [(index: Int, output: Output)] = []
        for index in chosen {
            let expert = set.experts[index]
            let ownSignature = try signature?.extended(by: expert.name)
            if skipsFinished, let path = path(of: expert), ownSignature?.matches(outputAt: path) == true {
                adapted.append(
                    AdaptedExpert(name: expert.name, path: path, store: try TensorStore(opening: path), training: nil))
            } else {
                remaining.append((index, try begin(expert, signature: ownSignature)))
            }
        }
        guard !remaining.isEmpty else { return adapted }
        try willWork()

        progress.begin("teachers", total: nil, unit: .items("images"))
        let images = try auxiliary.images(for: set.backbone, budget: budget, warn: warn)
        let resolver = try Resolver(
            transformer: set.backbone.network, base: try set.backbone.parameters(of: set.base), tasks: tasks,
            auxiliary: images, options: options, budget: budget)
        progress.end()
        progress.begin("resolving", total: remaining.count * options.steps, unit: .items("steps"))
        for (index, output) in remaining {
            let expert = set.experts[index]
            let started = ContinuousClock.now
            let resolved = try resolver.resolve(
                expert: try set.backbone.parameters(of: expert.store), task: index
            ) { step in
                progress.advance(by: 1)
                progress.remark("\(expert.name)  loss \(step.loss.short())")
                return true
            }
            let duration = ContinuousClock.now - started
            let store = try finish(output, resolved.parameters, of: expert)
            adapted.append(
                AdaptedExpert(
                    name: expert.name, path: path(of: expert), store: store,
                    training: AdaptedExpert.Training(trace: resolved.trace, duration: duration)))
        }
        progress.end()
        let order = set.experts.map(\.name)
        return adapted.sorted { (order.firstIndex(of: $0.name) ?? 0) < (order.firstIndex(of: $1.name) ?? 0) }
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

    private func path(of expert: Expert) -> FilePath? {
        output?.appending("\(expert.name).\((format ?? expert.store.reader.format).rawValue)")
    }

    /// Where one adapted expert goes.
    private enum Output {
        case memory(MemoryCheckpointWriter)
        case file(any CheckpointWriter, FilePath, StageSignature?)
    }

    private func begin(_ expert: Expert, signature: StageSignature?) throws -> Output {
        let descriptors = expert.store.descriptors
        guard let path = path(of: expert) else { return .memory(try MemoryCheckpointWriter(declaring: descriptors)) }
        let writer = try CheckpointFormat.makeWriter(
            format ?? expert.store.reader.format, at: path, declaring: descriptors, metadata: expert.store.metadata,
            options: write)
        return .file(writer, path, signature)
    }

    private func finish(_ output: Output, _ parameters: [Float], of expert: Expert) throws -> TensorStore {
        switch output {
        case .memory(let writer):
            try set.backbone.write(parameters: parameters, like: expert.store, into: writer)
            guard let checkpoint = writer.checkpoint else { preconditionFailure("a finished writer has a checkpoint") }
            return TensorStore(checkpoint)
        case .file(let writer, let path, let signature):
            let written = try set.backbone.write(parameters: parameters, like: expert.store, into: writer)
            try signature?.note(written, options: write)
            return try TensorStore(opening: path)
        }
    }

    /// Of everything but the name of the expert itself.
    private func signature(_ auxiliaryFiles: [FilePath]) throws -> StageSignature {
        let files = set.base.reader.files + set.experts.flatMap(\.store.reader.files) + auxiliaryFiles
        var noise = ""
        if case .noise(let count, let seed) = auxiliary { noise = "noise \(count) \(seed)" }
        let heads = try set.tasks().map { "\($0.name) \($0.head.hashedText)" }
        return try StageSignature(
            settings: "resolve 1\n\(options)\n\(noise)\n\(set.backbone.network.config)\n\(set.backbone.normalization)\n"
                + heads.joined(separator: "\n"), files: files)
    }
}

/// An expert after Resolving Interference.
public struct AdaptedExpert: Sendable {
    public let name: String
    /// Where it was written; nil when it is kept in memory.
    public let path: FilePath?
    public let store: TensorStore
    /// Nil when an earlier run had adapted it.
    public let training: Training?

    /// What the adaptation did.
    public struct Training: Sendable {
        public let trace: [ResolverStep]
        public let duration: Duration
    }
}

extension ClassificationHead {
    /// The digest of a head's numbers.
    fileprivate var hashedText: String {
        let digest = TensorDigest.Accumulator()
        weight.withUnsafeBytes { digest.update($0) }
        bias.withUnsafeBytes { digest.update($0) }
        return "\(digest.finish().hexadecimal) \(logitScale) \(normalizesFeature)"
    }
}
