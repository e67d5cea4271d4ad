import ArgumentParser
import Checkpoints
import Experts
import Interference
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Work
import Workflow

/// Measures what some merge methods weigh experts by.
struct Stats: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure on unlabelled inputs what the methods regmean, esm and fisher need of an expert.",
        usage: """
            untangle stats MODEL --data DATA --output FILE
            untangle stats MODEL --kind fisher --head FILE --data DATA --output FILE
            untangle stats --join PART... --output FILE
            """,
        discussion: """
            --kind gram (for regmean and esm) writes for every linear layer the mean of x xᵀ over its inputs x, in F64. --kind fisher \
            writes the mean squared gradient of every parameter, of the logarithm of what the model says under the head: over all \
            classes with their probabilities, or over one class for each input, which --sampled draws. Labels are not looked at. \
            Give one file for each expert to merge --set statistics=A,B,... .

            --part 2/4 measures the second quarter of the inputs, and --join makes one file of such parts, or of several data sets of one \
            model. With --save-every a run that was interrupted, even killed, goes on with --resume to the same bytes.

            Example:
              untangle stats Fixtures/suites/tiny/expert_digits.safetensors \\
                --data Fixtures/suites/tiny/test_digits.npz --count 64 --output out/gram_digits.safetensors
            """)

    @Argument(help: "The expert; with --join, files that stats has written.")
    var inputs: [CheckpointSource]

    @Option(
        help: ArgumentHelp(
            """
            Inputs of the expert's task: a folder, .tar or .zip of pictures, a .txt, .tsv or .jsonl of texts, an .npz with "images" \
            [N, C, H, W] or "input_ids" [N, T]; or what is made on the spot: "shapes", "noise" or "tokens".
            """, valueName: "data"))
    var data: String?

    @Option(help: "What is measured.")
    var kind = StatisticsKind.gram

    @Option(help: ArgumentHelp("The head of the expert's task, for --kind fisher.", valueName: "file"))
    var head: FilePath?

    @Flag(help: "With --kind fisher: draw one class for each input, instead of taking all.")
    var sampled = false

    @Option(help: ArgumentHelp("What classes are drawn and inputs are made from.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Take the first n inputs, or make so many (default: all, or 2048).", valueName: "n"))
    var count: Int?

    @Option(
        help: ArgumentHelp("Measure only this part of the inputs, such as 2/4.", valueName: "i/n"),
        transform: { try MergePart(argument: $0) })
    var part: MergePart?

    @Flag(help: "Make one file of the statistics of parts.")
    var join = false

    @Option(help: ArgumentHelp("Where the statistics go.", valueName: "file"), completion: .file())
    var output: String

    @Option(help: "The format of the output, when its extension does not tell.")
    var format: FormatID?

    @Option(
        help: ArgumentHelp(
            "Keep the sums every n inputs, so that --resume can go on after an interruption.", valueName: "n"))
    var saveEvery: Int?

    @Flag(help: "Take a finished output as done, and go on from the sums of an interrupted run, to the same bytes.")
    var resume = false

    @Option(
        help: ArgumentHelp(
            "The model's configuration (default: config.json or open_clip_config.json beside it).", valueName: "file"))
    var config: FilePath?

    @OptionGroup var place: SubfolderOption
    @OptionGroup var dataFlags: DataFlags
    @OptionGroup var selection: SelectionOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        if join {
            guard data == nil, head == nil, part == nil, count == nil, saveEvery == nil, !resume, !sampled,
                selection.only.isEmpty, selection.exclude.isEmpty
            else { throw ValidationError("--join takes files of statistics and --output alone") }
            return
        }
        guard inputs.count == 1 else {
            throw ValidationError("give one model; --join takes several files of statistics")
        }
        guard data != nil, data != "" else { throw ValidationError("--data says what to measure on") }
        guard (kind == .fisher) == (head != nil) else {
            throw ValidationError(
                kind == .fisher ? "--kind fisher needs --head FILE" : "--head belongs to --kind fisher")
        }
        guard kind == .fisher || !sampled else { throw ValidationError("--sampled belongs to --kind fisher") }
        guard count ?? 1 > 0, saveEvery ?? 1 > 0 else {
            throw ValidationError("--count and --save-every are above zero")
        }
        guard count.map(GeneratedInputs.counts.contains) ?? true || generated == nil else {
            throw ValidationError("at most \(GeneratedInputs.counts.upperBound) inputs are made")
        }
    }

    private var generated: GeneratedInputs.Kind? { data.flatMap { GeneratedInputs.Kind(rawValue: $0) } }

    func run(in session: Session) throws -> ExitStatus {
        let started = ContinuousClock.now
        let options = writing.writeOptions()
        let reports = try reporting.targets(options: options)
        let place = try OutputPlace(argument: output)
        guard !place.isFolder else {
            throw UsageError("stats writes one file, and \(output) is a folder", hint: "--output FILE.safetensors")
        }
        let target = try OutputTarget(place, format: format, options: options)
        try StatisticsJob.check(target)
        let outcome = join ? try joined(to: target, in: session) : try measured(to: target, in: session)
        try session.print(report(of: outcome, in: ContinuousClock.now - started, session.warnings), to: reports)
        return .done
    }

    private func joined(to target: OutputTarget, in session: Session) throws -> StatisticsJob.Outcome {
        let stores = try inputs.map { input in
            try session.open(
                try session.locate(input, subfolder: place.subfolder), options: session.context.reading())
        }
        let job = try StatisticsJoin(stores, target: target)
        try target.check()
        return try session.run(job)
    }

    private func measured(to target: OutputTarget, in session: Session) throws -> StatisticsJob.Outcome {
        let path = try session.locate(inputs[0], subfolder: place.subfolder)
        ConfigurationFiles.paths(of: path, config: config).forEach { session.reads($0) }
        let store = try session.open(path, options: session.context.reading())
        var backbone = try Backbone(of: store, config: config)
        backbone.reading = session.context.reading()
        backbone.data = dataFlags.options
        let source = AuxiliarySource(data ?? "", count: count ?? GeneratedInputs.defaultCount, seed: seed)
        if case .file(let path) = source { session.reads(path) }
        var measure = StatisticsJob.Measure.gram
        if let head {
            let name = head.stem ?? head.string
            session.reads(head)
            measure = .fisher(
                try backbone.taskHead(head, name: name),
                files: try HeadFile.open(head, options: backbone.reading).reader.files,
                sampled ? .drawn(seed: seed) : .all)
        }
        return try session.run(
            StatisticsJob(
                store, backbone: backbone, inputs: source, measure: measure, selection: selection.selection, part: part,
                limit: count, target: target, resumption: Resumption(saveEvery: saveEvery, resumes: resume)))
    }

    private func report(of outcome: StatisticsJob.Outcome, in duration: Duration, _ warnings: [Warning]) -> Report {
        let (written, count) = (outcome.written, outcome.inputCount)
        let line =
            "\(output): \(outcome.tensorCount.grouped) \(outcome.kind.noun(outcome.tensorCount)) from \(count.grouped) "
            + "\(count == 1 ? "input" : "inputs"), \(ByteSize(written.byteCount)) in \(duration.readable)"
        return Report(
            title: output,
            sections: [
                .facts([
                    .init("output", .text(output)), .init("kind", .text(outcome.kind.rawValue)),
                    .init("files", .texts(written.files.map(\.string))), .init("bytes", .integer(written.byteCount)),
                    .init("tensors", .integer(outcome.tensorCount)), .init("inputs", .integer(count)),
                    .init("resumed_at", outcome.resumedAt.map { .integer($0) } ?? .absent),
                    .init("seconds", .number(duration.seconds)),
                ]),
                .warnings, .text([line]),
            ], warnings: warnings)
    }
}

extension StatisticsKind: ExpressibleByArgument {}

extension MergePart {
    /// Reads the argument of `--part`.
    init(argument: String) throws {
        guard let part = MergePart(argument) else {
            throw ValidationError("give a number from 1 to N, a slash and N, such as 3/8")
        }
        self = part
    }
}
