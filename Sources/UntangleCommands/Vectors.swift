import Analysis
import ArgumentParser
import Checkpoints
import Kernels
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Workflow

/// Measures task vectors: how far experts moved from their base, and how much their movements agree.
struct Vectors: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure task vectors (expert minus base) and how they agree.",
        discussion: """
            Per expert: the norm of its task vector, the norm relative to the base's, the share of entries that did not \
            move. Per pair: the cosine, the share of conflicting signs among entries that both moved, and the overlap of \
            the largest entries. --spectrum adds the singular values of every matrix, and between experts the singular \
            task interference, the alignment of subspaces, and how often each direction of their sum is counted (SVC).

            --sort and --top say which tensors, layers or kinds of modules (attention, mlp, norm, embedding, head, other) \
            are listed, also in "tensors" of JSON.

            Every figure that depends on a tensor with NaN or an infinity is nan ("nan" in JSON), and a warning names each \
            such tensor with its model and file.

            Example:
              untangle vectors --base Fixtures/suites/tiny/base.safetensors \\
                Fixtures/suites/tiny/expert_digits.safetensors \\
                Fixtures/suites/tiny/expert_latin_lower.safetensors --per layer
            """)

    @Option(help: ArgumentHelp("What the experts were fine-tuned from.", valueName: "checkpoint"))
    var base: CheckpointSource

    @Argument(help: "The experts.")
    var experts: [CheckpointSource]

    @Option(
        help:
            "Gather statistics per tensor, layer, kind of module or model (default: model; tensor with --json, --sort or --top)."
    )
    var per: TaskVectorStatistics.Level?

    @Flag(help: "Decompose every matrix.")
    var spectrum = false

    @Option(help: ArgumentHelp("How many singular values count for the energy of --spectrum.", valueName: "k"))
    var energyRank = 8

    @Option(help: ArgumentHelp("The share of entries, in percent, that count as the largest.", valueName: "percent"))
    var topShare = 1.0

    @Option(help: "List what stands out first: most conflict, largest norm or lowest cosine.")
    var sort: GroupListing.Order?

    @Option(help: ArgumentHelp("List at most so many tensors, layers or kinds.", valueName: "n"))
    var top: Int?

    @Option(help: ArgumentHelp("Write the task vectors into this folder, as F32 safetensors.", valueName: "dir"))
    var save: FilePath?

    @OptionGroup var naming: MapOptions
    @OptionGroup var selection: SelectionOptions
    @OptionGroup var reading: InputOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard topShare > 0, topShare <= 100 else { throw ValidationError("--top-share must lie between 0 and 100") }
        guard (top ?? 1) > 0 else { throw ValidationError("--top must be at least 1") }
        guard per != .model || sort == nil && top == nil else {
            throw ValidationError("--sort and --top choose among tensors, layers or kinds; --per model lists none")
        }
        if let sort, sort != .norm, experts.count < 2 {
            throw ValidationError("--sort \(sort.rawValue) compares experts, and there is one")
        }
        guard energyRank > 0 else { throw ValidationError("--energy-rank must be at least 1") }
    }

    func run(in session: Session) throws -> ExitStatus {
        let reports = try reporting.targets(options: writing.writeOptions())
        let threads = session.budget.threads
        let basePath = try session.locate(base, subfolder: reading.subfolder)
        let paths = try experts.map { try session.locate($0, subfolder: reading.subfolder) }
        let names = ModelNames.distinct(paths)
        let map = try naming.nameMap()
        let baseStore = try session.open(
            basePath,
            options: reading.readOptions(
                selection: selection.selection, threads: threads, memoryByteCount: session.memoryByteCount))
        let stores = try paths.map {
            try session.open(
                $0,
                options: reading.readOptions(
                    selection: selection.selection, sharedBase: basePath, threads: threads,
                    memoryByteCount: session.memoryByteCount))
        }
        let set = try TaskVectorSet(
            base: baseStore,
            experts: zip(names, try map.applied(to: stores, toMatch: baseStore, warn: session.warn)).map {
                (name: $0, store: $1)
            }, selection: selection.selection)
        if set.tensors.isEmpty, set.notMeasured.isEmpty,
            let warning = selection.warning(selected: 0, of: set.base.descriptors.count)
        {
            session.warn(warning)
        }
        let level = per ?? (session.json || sort != nil || top != nil ? .tensor : .model)
        let job = try VectorsJob(
            set,
            settings: VectorsJob.Settings(
                level: level, topShare: topShare / 100, energyRank: spectrum ? energyRank : nil),
            folder: save, write: writing.writeOptions(), in: session.context)
        let outcome = try session.run(job)
        let report = VectorsReport(
            base: base.text, statistics: outcome.statistics, spectra: outcome.spectra, level: level,
            listing: GroupListing(order: sort, count: top), isDecomposed: spectrum, notMeasured: outcome.notMeasured
        ).report
        try session.print(report, to: reports)
        return .done
    }
}

extension TaskVectorStatistics.Level: ExpressibleByArgument {}
extension GroupListing.Order: ExpressibleByArgument {}
