import Checkpoints
import Kernels
import Merging
import Reporting
import SystemPackage
import TensorCore

/// A merge, planned once, that goes to a file or stays in memory.
public struct MergeStage: Sendable {
    public let plan: StackedMerge
    /// What was asked for, when it was a recipe.
    public let recipe: Recipe?
    /// How many layers the result has, when they got new numbers; nil when they are those of `donor`.
    public let layerCount: Int?
    /// Whose metadata the result inherits.
    public let donor: TensorStore

    /// Checks everything that can be checked before data is read; see `MergePlan`.
    public init(
        method: String, base: TensorStore?, experts: [(name: String, store: TensorStore)], parameters: MergeParameters,
        selection: TensorSelection = TensorSelection(), outputDType: DType? = nil, budget: ComputeBudget,
        memory: Int? = nil
    ) throws {
        let plan = try MergePlan(
            method: MergeMethods.named(method), base: base, experts: experts, parameters: parameters,
            selection: selection, outputDType: outputDType, budget: budget, memory: memory)
        // A plan without experts is refused.
        self.init(plan: StackedMerge([plan]), recipe: nil, layerCount: nil, donor: base ?? experts[0].store)
    }

    init(plan: StackedMerge, recipe: Recipe?, layerCount: Int?, donor: TensorStore) {
        self.plan = plan
        self.recipe = recipe
        self.layerCount = layerCount
        self.donor = donor
    }

    /// Merges into a file.
    ///
    /// - Parameters:
    ///   - format: nil goes by the extension; a folder gets safetensors.
    ///   - signature: written into the metadata, if there is one, or beside an output without metadata.
    /// - Throws: `usage.output_format` when nothing tells the format; what merging and writing throw.
    public func write(
        to path: FilePath, format: FormatID? = nil, signature: StageSignature? = nil, options: WriteOptions,
        progress: any ProgressSink = SilentProgress()
    ) throws -> (report: MergeReport, written: WrittenCheckpoint) {
        var metadata = donor.metadata
        metadata["untangle.merge_method"] = plan.method.name
        let format = try format ?? Self.format(ofOutput: path)
        let writer = try CheckpointFormat.makeWriter(
            format, at: path, declaring: plan.outputs, metadata: metadata, options: options)
        let report = try execute(into: writer, title: "merging", progress)
        let written = try writer.finish()
        try signature?.note(written, options: options)
        return (report, written)
    }

    /// The format that an output path asks for.
    ///
    /// - Throws: `usage.output_format` when it asks for none that we write.
    public static func format(ofOutput path: FilePath) throws(ConversionError) -> FormatID {
        if CheckpointFormat.isFolder(path) { return .safetensors }
        if let format = CheckpointFormat.format(ofOutput: path) { return format }
        throw .usage(
            "output_format", "the name \(path.string.escapingControlCharacters) does not tell the output format",
            hint: "end it in .safetensors or .npz, or in a slash for a folder")
    }

    /// Merges into memory, to measure the result without a file.
    public func merged(progress: any ProgressSink = SilentProgress()) throws -> (
        report: MergeReport, store: TensorStore
    ) {
        let writer = try MemoryCheckpointWriter(declaring: plan.outputs, metadata: donor.metadata)
        let report = try execute(into: writer, title: "merging", progress)
        _ = try writer.finish()
        guard let checkpoint = writer.checkpoint else { preconditionFailure("a finished writer has a checkpoint") }
        return (report, TensorStore(checkpoint))
    }

    private func execute(
        into writer: any CheckpointWriter, title: String, _ progress: any ProgressSink
    ) throws -> MergeReport {
        progress.begin(title, total: plan.summary.progressByteCount, unit: .bytes)
        defer { progress.end() }
        let done = DoneBytes()
        return try plan.execute(into: writer) { progress.advance(by: done.advance(to: $0)) }
    }
}
