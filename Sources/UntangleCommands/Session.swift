import Checkpoints
import Kernels
import Recipes
import Reporting
import SystemPackage
import TensorCore
import Work

/// What one run of a command has at hand: its streams, its progress and its share of the machine.
final class Session {
    /// Whether the result is a JSON document.
    let json: Bool
    /// Where long work reports; shows a bar, lines or nothing as the user and the terminal want it.
    let progress: TerminalProgress
    private let log: WarningLog
    private let output: StandardOutput
    /// What standard output can be shown.
    let style: TextStyle
    private let options: SharedOptions
    private var sources: ReportSources

    /// Begins.
    ///
    /// - Parameter arguments: as they were typed, without the name of the program.
    init(_ options: SharedOptions, arguments: [String], output: StandardOutput) {
        self.options = options
        sources = ReportSources(arguments: arguments)
        self.output = output
        json = options.json
        style = output.style
        let style: TerminalProgress.Style =
            switch options.quiet ? .none : options.progress {
            case .auto: StandardError.terminal.map { .bar(columns: $0.columns) } ?? .lines
            case .plain: .lines
            case .json: .events
            case .none: .silent
            }
        progress = TerminalProgress(style: style, write: { StandardError.write($0) })
        log = WarningLog { [progress] in
            progress.print(
                progress.style == .events
                    ? WarningRenderer.event($0).rendered(.compact) + "\n" : WarningRenderer.text($0))
        }
    }

    /// The threads to compute with. Made on first use: commands that only read a header need not ask.
    private(set) lazy var budget = ComputeBudget(threads: options.threads?.count)

    /// How many bytes of working memory the command may use.
    private(set) lazy var memoryByteCount = options.memory?.byteCount ?? AvailableMemory().byteCount / 2

    /// What work is done with.
    var context: Context {
        Context(budget: budget, memory: memoryByteCount, progress: progress, warn: warn)
    }

    /// Carries out a job, with progress.
    func run<Piece: Job>(_ job: Piece) throws -> Piece.Outcome {
        defer { progress.end() }
        return try job.run(in: context)
    }

    /// Makes sure that tensors which decode only whole fit into the memory one at a time.
    ///
    /// - Throws: `IOError` `io.memory` with the least that works.
    func requireMemory(toDecode indices: some Sequence<Int>, of reader: any CheckpointReader) throws(IOError) {
        try reader.requireMemory(memoryByteCount, toDecode: indices)
    }

    /// Checks a checkpoint within the memory, with progress.
    func verify(_ reader: any CheckpointReader, deep: Bool) throws -> Verification {
        // Checksums are taken in small pieces, except those of what has to be loaded whole.
        let working = reader.descriptors.indices.lazy.filter(reader.canReadRanges).map(reader.decodingByteCount).max()
        progress.begin(
            "checking \(reader.path)", total: reader.files.reduce(0) { $0 + fileByteCount($1) }, unit: .bytes)
        defer { progress.end() }
        return try reader.verify(deep: deep, threads: context.workers(each: working ?? 0)) { [progress] in
            progress.advance(by: $0)
        }
    }

    /// Adds text to the result.
    func print(_ text: String) throws { try output.write(text) }

    /// Prints the result as JSON.
    func print(_ document: JSONOutput) throws {
        try output.write(document.bytes())
        try output.write("\n")
    }

    /// Prints a report, and then writes it to files: what cannot be written has at least been seen.
    ///
    /// - Parameter isShown: whether people have been shown all of it, part by part.
    func print(_ report: Report, to targets: [ReportTarget] = [], isShown: Bool = false) throws {
        if json { try print(report.json) } else if !isShown { try print(report.text(in: style)) }
        guard !targets.isEmpty else { return }
        try flush()
        var report = report
        if targets.contains(where: \.format.hasOrigin) { report.origin = try sources.origin(in: context) }
        for target in targets { try report.write(to: target) }
    }

    /// Notes a checkpoint or file that the result depends on; nil is none.
    ///
    /// - Parameter name: what the user calls it, where that is not its path.
    func reads(_ place: FilePath?, named name: String? = nil) { if let place { sources.add(place, named: name) } }

    /// Finds a checkpoint that the user has named, and notes that the result depends on it.
    ///
    /// - Parameter subfolder: the folder inside the one that is named, of which the checkpoint is wanted.
    /// - Throws: `IOError` `io.not_found` for a model of the hub that is nowhere, or a sub-folder that is not there.
    func locate(
        _ source: CheckpointSource, subfolder: FilePath? = nil,
        in places: CheckpointSource.Places = CheckpointSource.Places()
    ) throws(IOError) -> FilePath {
        var source = source
        source.subfolder = subfolder
        let path = try source.path(in: places)
        reads(path, named: subfolder == nil ? source.text : nil)
        return path
    }

    /// Notes a recipe that the result depends on, and all that it names.
    func reads(_ recipe: Recipe) { sources.add(recipe) }

    /// Shows people a part of a result before the rest of it is known. Documents are printed whole.
    func show(_ part: String) throws {
        guard !json else { return }
        try print(part)
        try flush()
    }

    /// Names the command that is likely to come next, to people who sit at a terminal.
    func suggest(_ next: NextStep) throws {
        guard case .bar = progress.style, !json else { return }
        try flush()
        progress.print("next: untangle \(next.command)\n")
    }

    /// Opens one of several checkpoints, and warns of what is odd about it.
    func open(_ path: FilePath, options: ReadOptions) throws -> TensorStore {
        let store = try TensorStore(opening: path, options: options)
        store.warnings.forEach(warn)
        return store
    }

    /// Writes out what was printed so far.
    func flush() throws { try output.flush() }

    /// Tells on standard error of an error after which the work goes on.
    func report(_ error: any Error) {
        progress.end()
        StandardError.report(error.diagnostic, json: json, isEvent: progress.style == .events)
    }

    /// Tells on standard error, once, what the user should know although the work goes on.
    func warn(_ warning: Warning) { log.warn(warning) }

    /// What was warned of so far, for results in JSON that tell it, too.
    var warnings: [Warning] { log.warnings }
}
