import Checkpoints
import Experts
import Interference
import Kernels
import ModelFolders
import Networks
import Reporting
import SystemPackage
import TensorCore
import Work

/// Measures on unlabelled inputs what `regmean`, `esm` and `fisher` weigh experts by, and writes it by the names of the model's tensors.
public struct StatisticsJob: RecordedJob, Sendable {
    public static var kind: String { "statistics 2" }

    /// What is measured.
    public enum Measure: Sendable {
        /// The mean of `x xᵀ` over the inputs `x` of every linear layer, F64 `[inputs, inputs]`.
        case gram
        /// The mean of squared gradients of what a head says, F32, shaped like the tensors.
        case fisher(TaskHead, files: [FilePath], FisherInformation.Classes)

        public var kind: StatisticsKind {
            switch self {
            case .gram: .gram
            case .fisher: .fisher
            }
        }
    }

    private let store: TensorStore
    private let backbone: Backbone
    private let source: AuxiliarySource
    private let measure: Measure
    private let selection: TensorSelection
    /// The share of the inputs; nil takes all.
    private let part: MergePart?
    private let limit: Int?
    private let target: OutputTarget
    private let resumption: Resumption

    /// Where statistics can go: formats that keep what they are of.
    ///
    /// - Throws: `usage.output_format` for one that has no metadata.
    public static func check(_ target: OutputTarget) throws(OutputError) {
        guard CheckpointFormat.of(target.format).writer?.keepsMetadata == true else {
            throw OutputError(
                .format, "\(target.format.rawValue) files have no metadata to say what the statistics are of",
                hint: "--output FILE.safetensors")
        }
    }

    /// What was written.
    public struct Outcome: Sendable {
        public let written: WrittenCheckpoint
        public let kind: StatisticsKind
        public let tensorCount: Int
        public let inputCount: Int
        /// The inputs that an interrupted run had measured.
        public let resumedAt: Int?
    }

    /// Describes the work.
    ///
    /// - Parameters:
    ///   - store: the expert.
    ///   - source: inputs of its task.
    ///   - limit: the inputs that are taken, the first so many; nil for all.
    ///   - resumption: counts inputs.
    public init(
        _ store: TensorStore, backbone: Backbone, inputs source: AuxiliarySource, measure: Measure,
        selection: TensorSelection = TensorSelection(), part: MergePart? = nil, limit: Int? = nil,
        target: OutputTarget, resumption: Resumption = Resumption()
    ) {
        self.store = store
        self.backbone = backbone
        self.source = source
        self.measure = measure
        self.selection = selection
        self.part = part
        self.limit = limit
        self.target = target
        self.resumption = resumption
    }

    public struct Settings: Encodable {
        let measure, inputs: String
        let classes, part: String?
        let limit: Int?
        let only, exclude: [String]
        let data: DataOptions?
        let network: NetworkConfiguration
        let normalization: ImageNormalization
    }

    public var settings: Settings {
        var classes: String?
        if case .fisher(_, _, let chosen) = measure {
            switch chosen {
            case .all: classes = "all"
            case .drawn(let seed): classes = "drawn from seed \(seed)"
            }
        }
        return Settings(
            measure: measure.kind.rawValue, inputs: source.generatedText ?? "a file", classes: classes,
            part: part?.description, limit: limit, only: selection.only, exclude: selection.exclude,
            data: backbone.data == DataOptions() ? nil : backbone.data, network: backbone.network.configuration,
            normalization: backbone.normalization)
    }

    public var inputs: [JobInput] {
        var inputs = [JobInput("model", store.reader.files)]
        if case .fisher(_, let files, _) = measure { inputs.append(JobInput("head", files)) }
        return inputs + [JobInput("inputs", source.input)] + source.companions(of: backbone)
    }

    /// Measures, unless `resumption` finds it done.
    ///
    /// - Throws: `input.*`, `network.*`, `interference.*`, `resume.*`, what readers and writers throw.
    public func run(in context: Context) throws -> Outcome {
        try source.check()
        let fingerprint = try resumption.keepsState ? fingerprint() : nil
        let state = fingerprint.map { StatisticsState(of: target, fingerprint: $0) }
        if let fingerprint, let state, resumption.resumes, WorkRecord.isFinished(fingerprint, at: target.path) {
            WorkRecord.removeRemains(ofOutputAt: target.path)
            try state.remove()
            return try finished()
        }
        if let fingerprint, resumption.resumes, !target.options.force {
            let name = target.path.lastComponent?.string ?? "statistics"
            try ResumeError.requireSame(fingerprint, at: target.path, work: name)
        }
        try target.check()
        let data = try source.inputs(for: backbone, limit: limit, in: context)
        let count = min(limit ?? data.count, data.count)
        let rows = part?.shards(of: count) ?? 0..<count
        guard !rows.isEmpty else {
            throw InputError(.badShape, part.map { "part \($0) of \(count) inputs is empty" } ?? "there are no inputs")
        }
        let sums = try sums(of: data, in: context)
        let resumedAt = try resumption.resumes ? state?.restore(sums, limit: rows.count) : nil
        let parameters = try backbone.parameters(of: store)
        try backbone.network.check(parameters: parameters)
        try add(rows, from: resumedAt ?? 0, of: data, to: sums, parameters, state, in: context)
        let header = StatisticsHeader(
            kind: measure.kind, model: try StatisticsHeader.digest(of: store),
            inputs: [try MeasuredInputs(rows, of: count, from: source)], inputCount: rows.count,
            rowCounts: sums.rowCounts)
        let writer = try target.recorded(fingerprint).open(declaring: sums.tensors, metadata: header.metadata)
        try sums.write(inputCount: rows.count, into: writer)
        let written = try writer.finish()
        try state?.remove()
        return Outcome(
            written: written, kind: measure.kind, tensorCount: sums.tensors.count, inputCount: rows.count,
            resumedAt: resumedAt)
    }

    /// Begins to add up what is measured, if there is memory.
    private func sums(of data: InputSet, in context: Context) throws -> any StatisticsSums {
        let network = backbone.network
        let hint = "fewer tensors, with --only"
        func require(_ byteCount: Int) throws(InterferenceError) {
            _ = try context.required(
                byteCount, for: "measuring", beside: 4 * network.parameterCount,
                orTake: measure.kind == .gram ? hint : nil)
        }
        switch measure {
        case .gram:
            let layers = try backbone.linearLayers(of: store).filter { selection.contains($0.tensor) }
            try requireSome(layers.map(\.tensor), "linear layer")
            try require(
                ProductMoments.byteCount(
                    network, of: GramSums.weights(of: layers), inputs: data, purpose: .observation))
            return try GramSums(network, layers, inputs: data)
        case .fisher(let head, _, let classes):
            let tensors = try backbone.parameterTensors(of: store).filter { selection.contains($0.name) }
            try requireSome(tensors.map(\.name), "parameter")
            try require(FisherInformation.byteCount(network, inputs: data))
            let information = try FisherInformation(network, head: head, classes: classes, inputs: data)
            return try FisherSums(information, of: tensors, store: store, backbone: backbone)
        }
    }

    private func requireSome(_ tensors: [TensorName], _ noun: String) throws(InputError) {
        guard tensors.isEmpty else { return }
        throw InputError(
            .missingTensor, "no \(noun) of \(store.path.string) is selected", file: store.path,
            hint: "untangle inspect \(store.path.string) lists the names")
    }

    /// Adds up inputs, and keeps the state as often as is asked for.
    private func add(
        _ rows: Range<Int>, from start: Int, of data: InputSet, to sums: any StatisticsSums, _ parameters: FloatBuffer,
        _ state: StatisticsState?, in context: Context
    ) throws {
        let progress = context.progress
        progress.begin("measuring \(store.path)", total: rows.count - start, unit: .items("inputs"))
        defer { progress.end() }
        var saved = start
        try sums.statistics.add(
            rows.lowerBound + start..<rows.upperBound, of: data, parameters: parameters, budget: context.budget
        ) { count, chunk in
            progress.advance(by: chunk)
            let total = start + count
            guard let state, let interval = resumption.saveEvery, total - saved >= interval, total < rows.count else {
                return
            }
            try state.save(sums, inputCount: total)
            saved = total
        }
    }

    /// What an earlier run has written.
    private func finished() throws -> Outcome {
        let done = try TensorStore(opening: target.path)
        let header = try StatisticsHeader(of: done)
        return Outcome(
            written: WrittenCheckpoint(
                files: done.reader.files, byteCount: done.reader.files.reduce(0) { $0 + fileByteCount($1) }),
            kind: header.kind, tensorCount: done.descriptors.count, inputCount: header.inputCount,
            resumedAt: header.inputCount)
    }
}
