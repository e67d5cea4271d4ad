import Checkpoints
import Kernels
import Merging
import SystemPackage
import TensorCore
import Work

/// A merged model on its way into a folder as transformers lays models out: weights, configuration, tokenizer, model card and
/// recipe, that appear together or not at all.
///
/// Made before the merge, so that what would keep the folder from being written is known first; the merge writes into `writer`.
package final class MergedFolder {
    /// The copy of the recipe; mergekit's name, so that tools that look for it find it.
    static let recipeName = "mergekit_config.yml"
    static let cardName = "README.md"

    /// Takes the tensors of the plan.
    package let writer: any CheckpointWriter
    /// To be told of what the merge reads and writes.
    package let ledger: MergeLedger
    private let target: OutputTarget
    private let folder: AtomicFolder
    private let plan: StackedMerge
    private let inputs: MergeInputs
    private let origins: TensorOrigins
    private let options: FolderOptions
    private let budget: ComputeBudget
    private let contents: FolderContents
    /// The names of an older checkpoint in the folder, and of its tokenizer.
    private let older: OlderModel
    private let fingerprint: Fingerprint?
    /// Whether the weights are there already, as parts.
    private let isJoining: Bool
    private let remarks: [Warning]

    /// Checks and prepares everything; nothing appears at the path.
    ///
    /// - Parameters:
    ///   - fingerprint: of what the folder is made from, for a record in it; nil keeps none.
    ///   - others: the ledgers of folders that are merged together with this one.
    ///   - joining: the shards, where they are in the folder already as parts; `writer` then takes no tensors.
    /// - Throws: `io.exists` when the folder holds a model and `write.force` is not set; what reading the donor's files throws.
    package init(
        at target: OutputTarget, plan: StackedMerge, metadata: Metadata, inputs: MergeInputs, origins: TensorOrigins,
        options: FolderOptions, budget: ComputeBudget, fingerprint: Fingerprint? = nil,
        joining: ShardLayout? = nil, besides others: [MergeLedger] = []
    ) throws {
        self.target = target
        self.fingerprint = fingerprint
        isJoining = joining != nil
        let (path, write) = (target.path, target.options)
        self.plan = plan
        self.inputs = inputs
        self.origins = origins
        self.options = options
        self.budget = budget
        contents = try FolderContents(of: plan, inputs: inputs, options: options)
        remarks = contents.warnings + (inputs.warning(ofTensorsLackingIn: plan.outputs).map { [$0] } ?? [])

        let companions = contents.companions.copied.map(\.name)
        older = OlderModel(in: path)
        if !write.force, !isJoining, let name = older.blocking(companions) {
            throw Self.exists(name, in: path)
        }
        // What is there of a join that was interrupted shows when the files are made.
        let places = WriteOptions(force: write.force || isJoining)
        for name in OlderModel.replaceable + ["model.\(target.format.rawValue)"] + companions {
            try AtomicOutput.checkPlace(path.appending(name), options: places)
        }
        try makeFolder(path.removingLastComponent())
        folder = try AtomicFolder(creating: path, options: write)
        let staging = folder.staging
        writer = try Self.naming(path, insteadOf: staging) {
            if let joining { return ShardJoiner(joining, from: path, into: staging, options: write) }
            return try target.open(
                declaring: plan.outputs, metadata: Self.metadata(metadata), staging: staging)
        }
        ledger = try MergeLedger(of: plan, files: contents.models.flatMap(\.files), besides: others)
    }

    private static func exists(_ name: String, in folder: FilePath) -> IOError {
        .exists(folder.appending(name), hint: "use --force to replace the model in the folder")
    }

    /// What the files with weights say of themselves in a folder.
    package static func metadata(_ metadata: Metadata) -> Metadata {
        var metadata = metadata
        // What transformers looks for before it takes a file for weights of PyTorch.
        if metadata["format"] == nil { metadata["format"] = "pt" }
        return metadata
    }

    /// Does work on the folder; when the disk refuses, the error names the folder that the user knows, not the hidden one.
    package func named<Result>(_ work: () throws -> Result) throws -> Result {
        try Self.naming(target.path, insteadOf: folder.staging, work)
    }

    private static func naming<Result>(
        _ path: FilePath, insteadOf staging: FilePath, _ work: () throws -> Result
    ) throws -> Result {
        do { return try work() } catch let error as IOError {
            func named(_ text: String) -> String { text.replacing(staging.string, with: path.string) }
            throw IOError(
                kind: error.kind, message: named(error.message), file: error.file.map(named), hint: error.hint)
        }
    }

    /// Completes the folder and gives it its place.
    package func finish(_ report: MergeReport) throws -> (
        written: WrittenCheckpoint, report: FolderReport, warnings: [Warning]
    ) {
        let (weights, figures) = try isJoining ? joined() : flushed()
        let sanity = MergeSanity(
            figures, inputs: inputs.models.map(\.name), tensors: plan.outputs.map(\.name), origins: origins,
            losses: report.losses)
        for file in contents.copied { try put(file.name, try MappedFile(file.path).withUnsafeBytes { Array($0) }) }
        for file in contents.written { try put(file.name, file.contents) }
        try put(Self.cardName, Array(card(figures, sanity).text.utf8))

        let names = weights.files.compactMap { $0.lastComponent?.string }
        let others = Set(ModelFolder.names(in: folder.staging)).subtracting(names)
        // The index of shards, or the one file.
        guard let last = names.last else { preconditionFailure("a written checkpoint has files") }
        if isJoining { try requireInterruptedJoin() }
        AtomicOutput.removeRemains(in: target.path, of: OlderModel.isPart)
        // It appears with the files that it speaks of.
        if let fingerprint {
            let files = (names + others.sorted()).map(folder.staging.appending)
            try WorkRecord.write(fingerprint, of: files, sync: target.options.sync)
        }
        // A record of an earlier result speaks of none of these files.
        let record = names.first.map { [WorkRecord.path(for: FilePath($0)).string] } ?? []
        try folder.commit(
            last: last, withdrawing: older.misleading(last: last) + record,
            removing: older.obsolete(besides: others.union(names)))
        let files = (names + others.sorted()).map { target.path.appending($0) }
        return (
            WrittenCheckpoint(files: files, byteCount: weights.byteCount),
            FolderReport(
                donor: inputs.donorName, copied: contents.companions.copied.map(\.name),
                leftOut: contents.companions.leftOut, configChanges: contents.configChanges, sanity: sanity), remarks
        )
    }

    /// Completes weights that the merge has written.
    private func flushed() throws -> (WrittenCheckpoint, MergeFigures) {
        // The disk takes its time, and the processors have nothing else to do.
        let writer = writer
        let flushing = BackgroundWork { try writer.finish() }
        let figures = ledger.finish(threads: budget.threads)
        return (try flushing.value(), figures)
    }

    /// Takes weights that other processes have written, and reads them and the inputs for the card.
    private func joined() throws -> (WrittenCheckpoint, MergeFigures) {
        let weights = try writer.finish()
        let result = try TensorStore(opening: folder.staging, options: ReadOptions(threads: budget.threads))
        try plan.tell(ledger, of: result, threads: budget.threads)
        return (weights, ledger.finish(threads: budget.threads))
    }

    /// Makes sure that whatever is in the way in the folder was put there by a join like this one, byte for byte, unless it may be
    /// replaced.
    private func requireInterruptedJoin() throws(IOError) {
        guard !target.options.force else { return }
        let blocking = older.blocking(contents.companions.copied.map(\.name)) { name in
            haveSameContents(folder.staging.appending(name), target.path.appending(name))
        }
        if let blocking { throw Self.exists(blocking, in: target.path) }
    }

    private func put(_ name: String, _ contents: [UInt8]) throws {
        try AtomicOutput.write(contents, to: folder.staging.appending(name), options: target.options)
    }

    private func card(_ figures: MergeFigures, _ sanity: MergeSanity) -> ModelCard {
        let models = contents.models.map { model in
            ModelCard.Input(
                name: model.name, isBase: model.isBase, files: model.files.compactMap { figures.files[$0] })
        }
        return ModelCard(
            title: target.path.lastComponent?.string ?? target.path.string, author: ToolVersion.program,
            method: plan.method,
            inputs: models, tensorCount: plan.outputs.count, parameterCount: plan.summary.parameterCount,
            sanity: sanity, recipe: options.recipe, overrides: options.overrides,
            isForTransformers: target.format == .safetensors && inputs.donor.folder?.config?.isForTransformers ?? false)
    }
}
