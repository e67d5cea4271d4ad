import Checkpoints
import Kernels
import Merging
import ModelFolders
import Recipes
import Reporting
import SystemPackage
import TensorCore
import Work

/// A merge, planned once, that goes to a file, into a folder with everything that makes it a model, or stays in memory.
public struct MergeJob: RecordedJob, Sendable {
    public static var kind: String { "merge 6" }

    public let plan: StackedMerge
    public private(set) var settings: MergeSettings
    /// Where the result goes; nil keeps it in memory.
    public var target: OutputTarget?
    /// Whether a record of what the output was made from is kept beside it, for a later run to find.
    public var keepsRecord = false
    /// What an output folder holds beside the weights.
    public var folder: FolderOptions
    /// What should be known about the models although they can be merged.
    public let warnings: [Warning]
    /// The models; the result inherits metadata, and in a folder configuration and tokenizer, from the donor.
    let models: MergeInputs
    /// The files that parameters name.
    let parameterInputs: [JobInput]
    let origins: TensorOrigins
    private let budget: ComputeBudget

    /// What a merge has made.
    public struct Outcome: Sendable {
        public var report: MergeReport
        /// The files, weights first; nil for a result in memory.
        public let written: WrittenCheckpoint?
        /// What went into a folder.
        public let folder: FolderReport?
        let place: Place

        enum Place: Sendable {
            case memory(TensorStore)
            case file(FilePath)
        }

        /// Opens the result.
        ///
        /// - Throws: what the reader throws when somebody has changed it meanwhile.
        public func open(_ options: ReadOptions = ReadOptions()) throws -> TensorStore {
            switch place {
            case .memory(let store): store
            case .file(let path): try TensorStore(opening: path, options: options)
            }
        }
    }

    /// Checks everything that can be checked before data is read; see `MergePlan`.
    ///
    /// - Parameter map: rules that give the experts' tensors the names that those of the base, or of the first expert without one,
    ///   have.
    /// - Throws: `merge.*`; `input.duplicate_name`; what reading the models' folders throws.
    public init(
        method: String, base: TensorStore?, experts: [(name: String, store: TensorStore)], parameters: MergeParameters,
        selection: TensorSelection = TensorSelection(), keepBase: [String] = [], map: NameMap = NameMap(),
        outputDType: DType? = nil, target: OutputTarget? = nil, in context: Context
    ) throws {
        let method = try MergeMethods.named(method)
        var warnings: [Warning] = []
        var experts = experts
        if let reference = base ?? experts.first?.store {
            let stores = try map.applied(to: experts.map(\.store), toMatch: reference) { warnings.append($0) }
            experts = zip(experts, stores).map { (name: $0.name, store: $1) }
        }
        let models = try MergeInputs(base: base, experts: experts)
        let plan = try models.explaining {
            try MergePlan(
                method: method, base: models.base, experts: models.experts, parameters: parameters,
                selection: selection, keepBase: TensorPatterns(keepBase), outputDType: outputDType,
                budget: context.budget, memory: context.memory)
        }
        let recipe = RecipeText.yaml(
            method: method.info, base: base?.modelReference,
            experts: experts.map { (name: $0.name, path: $0.store.modelReference) }, parameters: parameters,
            keepBase: keepBase, map: map, outputDType: outputDType)
        var origins = TensorOrigins()
        for output in plan.outputs {
            let sources = models.models.indices.map { model in
                TensorOrigins.Source(model: model, isBase: models.hasBase && model == 0)
            }
            origins.add(output.name, from: plan.keeps(output.name) ? [sources[0]] : sources)
        }
        self.init(
            plan: try StackedMerge([plan]),
            settings: MergeSettings(
                method: method.info.name, parameters: parameters, modelCount: models.models.count,
                hasBase: models.hasBase, keepBase: keepBase, map: map, dtype: outputDType, selection: selection),
            target: target,
            // The recipe has the rest.
            folder: FolderOptions(recipe: recipe, overrides: RecipeOverrides.options(selection: selection)),
            models: models,
            parameterInputs: method.info.inputs(named: parameters, expertCount: experts.count), origins: origins,
            budget: context.budget, warnings: warnings)
    }

    init(
        plan: StackedMerge, settings: MergeSettings, target: OutputTarget?, folder: FolderOptions, models: MergeInputs,
        parameterInputs: [JobInput], origins: TensorOrigins, budget: ComputeBudget, warnings: [Warning] = []
    ) {
        let unused = plan.plans[0].unusedPatterns.filter { pattern in
            plan.plans.allSatisfy { $0.unusedPatterns.contains(pattern) }
        }
        self.warnings =
            warnings + models.warnings
            + unused.map {
                Warning(
                    MergeWarning.unusedPattern,
                    "no tensor matches the pattern \($0.escapingControlCharacters) of --keep-base or keep_base")
            }
        self.plan = plan
        self.settings = settings
        self.settings.isTied = models.isTied
        self.target = target
        self.folder = folder
        self.models = models
        self.parameterInputs = parameterInputs
        self.origins = origins
        self.budget = budget
    }

    public var inputs: [JobInput] {
        models.models.enumerated().map { JobInput("model \($0 + 1)", $1.original.reader.files) }
            + parameterInputs
    }

    /// What determines the result: settings and inputs, and what goes into a folder besides the weights.
    ///
    /// - Throws: `IOError` when a file cannot be read; what editing the files of a folder throws.
    public func fingerprint() throws -> Fingerprint {
        let weights = try Fingerprint(Self.kind, settings: settings, inputs: inputs)
        guard let target, target.isFolder else { return weights }
        let contents = try FolderContents(of: plan, inputs: models, options: folder)
        return Fingerprint(kind: weights.kind, parts: weights.parts + (try contents.parts()))
    }

    /// The room that the result needs and its disk has.
    public var diskSpace: DiskSpace? { target.map { DiskSpace(needed: plan.summary.outputByteCount, at: $0.path) } }

    /// A file that stands in the way of the output until `WriteOptions.force` is set; nil when there is none.
    public var obstacle: FilePath? { target?.obstacle(folderNames) }

    /// Makes sure that the result may be written, before long work that comes before the merge.
    ///
    /// - Throws: as `OutputTarget.check`.
    public func requireRoom() throws { try target?.check(folderNames, byteCount: plan.summary.outputByteCount) }

    /// What a folder of the result has that would be taken for a part of another model.
    var folderNames: [String] {
        let donor = models.donor
        return OlderModel.replaceable + (donor.folder?.companions(of: donor.original.path).copied.map(\.name) ?? [])
    }

    /// Merges.
    ///
    /// - Throws: `io.space` when the disk has too little room, `io.exists` when the output is one of several files of an input,
    ///   `io.memory` when a result in memory does not fit; what merging and writing throw.
    public func run(in context: Context) throws -> Outcome { try MergeBatch([self]).run(in: context)[0] }

    /// What the result says of itself, besides what the donor does.
    var metadata: Metadata {
        var metadata = models.donor.store.metadata
        metadata["untangle.merge_method"] = plan.method.name
        return metadata
    }

    /// Makes what the merge writes to; nothing appears before it is finished.
    ///
    /// - Parameter others: the ledgers of merges that are carried out together with this one.
    func destination(besides others: [MergeLedger]) throws -> MergeDestination {
        guard let target else {
            return .memory(try MemoryCheckpointWriter(declaring: plan.outputs, metadata: models.donor.store.metadata))
        }
        let fingerprint = keepsRecord ? try fingerprint() : nil
        guard target.isFolder else {
            return .file(
                try target.recorded(fingerprint).open(declaring: plan.outputs, metadata: metadata), target.path)
        }
        return .folder(
            try MergedFolder(
                at: target, plan: plan, metadata: metadata, inputs: models, origins: origins, options: folder,
                budget: budget, fingerprint: fingerprint, besides: others), target.path)
    }
}
