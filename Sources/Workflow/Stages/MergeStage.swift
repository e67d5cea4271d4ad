import Checkpoints
import Kernels
import Merging
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Transcoding
import Work

/// A merge, planned once, that goes to a file or stays in memory.
public struct MergeStage: Sendable {
    public let plan: StackedMerge
    /// What an output folder holds beside the weights.
    public var folder: FolderOptions
    /// What should be known about the models although they can be merged.
    public let warnings: [String]
    /// The models; the result inherits metadata, and in a folder configuration and tokenizer, from the donor.
    private let inputs: MergeInputs
    private let origins: TensorOrigins
    private let budget: ComputeBudget

    /// Checks everything that can be checked before data is read; see `MergePlan`.
    ///
    /// - Throws: `merge.*`; what reading the models' folders throws.
    public init(
        method: String, base: TensorStore?, experts: [(name: String, store: TensorStore)], parameters: MergeParameters,
        selection: TensorSelection = TensorSelection(), keepBase: [String] = [], outputDType: DType? = nil,
        budget: ComputeBudget, memory: Int? = nil
    ) throws {
        let method = try MergeMethods.named(method)
        let inputs = try MergeInputs(base: base, experts: experts)
        let plan = try inputs.explaining {
            try MergePlan(
                method: method, base: inputs.base, experts: inputs.experts, parameters: parameters,
                selection: selection, keepBase: TensorPatterns(keepBase), outputDType: outputDType, budget: budget,
                memory: memory)
        }
        let recipe = RecipeText.yaml(
            method: method.info, base: base?.path.modelFolder.string,
            experts: experts.map { (name: $0.name, path: $0.store.path.modelFolder.string) }, parameters: parameters,
            keepBase: keepBase, outputDType: outputDType)
        var origins = TensorOrigins()
        for output in plan.outputs {
            let sources = inputs.models.indices.map { model in
                TensorOrigins.Source(model: model, tensor: output.name, isBase: inputs.hasBase && model == 0)
            }
            origins.add(output.name, from: plan.keeps(output.name) ? [sources[0]] : sources)
        }
        self.init(
            plan: try StackedMerge([plan]),
            // The recipe has the rest.
            folder: FolderOptions(recipe: recipe, overrides: RecipeOverrides.options(selection: selection)),
            inputs: inputs, origins: origins, budget: budget)
    }

    init(
        plan: StackedMerge, folder: FolderOptions, inputs: MergeInputs, origins: TensorOrigins, budget: ComputeBudget,
        warnings: [String] = []
    ) {
        let unused = plan.plans[0].unusedPatterns.filter { pattern in
            plan.plans.allSatisfy { $0.unusedPatterns.contains(pattern) }
        }
        self.warnings =
            warnings + inputs.warnings
            + unused.map { "no tensor matches the pattern \($0.escapingControlCharacters) of --keep-base or keep_base" }
        self.plan = plan
        self.folder = folder
        self.inputs = inputs
        self.origins = origins
        self.budget = budget
    }

    /// The room that the result needs and its disk has.
    public func diskSpace(at path: FilePath) -> DiskSpace { DiskSpace(needed: plan.summary.outputByteCount, at: path) }

    /// A file that stands in the way of an output until `WriteOptions.force` is set; nil when there is none.
    public func obstacle(at path: FilePath, isFolder: Bool) -> FilePath? {
        guard isFolder || CheckpointFormat.isFolder(path) else { return fileExists(path) ? path : nil }
        let donor = inputs.donor
        let companions = donor.folder?.companions(of: donor.original.path).copied.map(\.name) ?? []
        return OlderModel(in: path).blocking(companions).map { path.appending($0) }
    }

    /// Makes sure that the result may be written at a path, before long work that comes before the merge.
    ///
    /// - Throws: `io.exists`, `io.space`; what making a file there throws.
    public func requireRoom(at path: FilePath, isFolder: Bool, options: WriteOptions) throws {
        if !options.force, let file = obstacle(at: path, isFolder: isFolder) {
            throw IOError(
                kind: .exists, message: "\(file.string) exists already", file: file.string,
                hint: "use --force to replace it")
        }
        try diskSpace(at: path).require()
        guard !isFolder, !CheckpointFormat.isFolder(path) else { return }
        try AtomicOutput.checkPlace(path, options: options)
        // Gone again at once, without a trace.
        if fileExists(path.removingLastComponent()) {
            _ = try AtomicOutput(creating: path, byteCount: nil, options: options)
        }
    }

    /// Merges into a file, or into a folder with everything that makes it a model. Folders above it are made.
    ///
    /// - Parameters:
    ///   - format: nil goes by the extension; a folder gets safetensors.
    ///   - isFolder: whether the path is to become a folder; one that exists always stays one.
    ///   - signature: written into a file beside the output, if there is one.
    /// - Returns: what the merge found, the files, weights first, and for a folder what went into it.
    /// - Throws: `usage.output_format` when nothing tells the format, `usage.shard_size`, `io.space` when the disk has too little room; what merging
    ///   and writing throw.
    public func write(
        to path: FilePath, format: FormatID? = nil, isFolder: Bool = false, signature: StageSignature? = nil,
        options: WriteOptions, progress: any ProgressSink = SilentProgress()
    ) throws -> (report: MergeReport, written: WrittenCheckpoint, folder: FolderReport?) {
        var metadata = inputs.donor.store.metadata
        metadata["untangle.merge_method"] = plan.method.name
        let isFolder = isFolder || CheckpointFormat.isFolder(path)
        let format = try format ?? (isFolder ? .safetensors : Self.format(ofOutput: path))
        try options.checkShards(of: format)
        try diskSpace(at: path).require()
        var report: MergeReport
        let written: WrittenCheckpoint
        var contents: FolderReport?
        if isFolder {
            let output = try MergedFolder(
                at: path, format: format, plan: plan, metadata: metadata, inputs: inputs, origins: origins,
                options: folder, write: options, budget: budget)
            let merged = try output.named {
                let report = try execute(into: output.writer, title: "merging", progress)
                return (report: report, folder: try output.finish(report))
            }
            report = merged.report
            (written, contents) = (merged.folder.written, merged.folder.report)
            report.warnings += merged.folder.warnings
        } else {
            try makeFolder(path.removingLastComponent())
            let writer = try MergedFolder.makeWriter(
                format, at: path, for: path, declaring: plan.outputs, metadata: metadata, options: options)
            report = try execute(into: writer, title: "merging", progress)
            written = try writer.finish()
        }
        report.warnings = warnings + report.warnings
        try signature?.note(written, options: options)
        return (report, written, contents)
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
    ///
    /// - Throws: as `MergePlan.execute`; `io.memory` when the result does not fit.
    public func merged(progress: any ProgressSink = SilentProgress()) throws -> (
        report: MergeReport, store: TensorStore
    ) {
        let writer = try MemoryCheckpointWriter(declaring: plan.outputs, metadata: inputs.donor.store.metadata)
        var report = try execute(into: writer, title: "merging", progress)
        _ = try writer.finish()
        report.warnings = warnings + report.warnings
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
