import ArgumentParser
import Checkpoints
import Merging
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Work
import Workflow

extension LoRA {
    /// Writes a base with adapters folded into it.
    struct Fold: ToolCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a model with adapters folded into its weights.",
            discussion: """
                W + s B A for every weight that an adapter changes, summed in F32 and rounded once to the type of the base, whose \
                names, types and other tensors stay. Several adapters are added one after the other. An output that ends in a \
                slash becomes a folder as transformers has it, with configuration and tokenizer of the base. --subfolder is the base's.

                Nothing needs to be folded to be merged, compared or measured: every command takes BASE+ADAPTER.

                Example:
                  untangle lora fold Fixtures/conformance/good/lora/dora/base.safetensors \\
                    Fixtures/conformance/good/lora/dora --output folded.safetensors
                """)

        @Argument(help: "What the adapters were trained on.")
        var base: CheckpointSource

        @Argument(help: "Folders of PEFT, or files with the names of kohya or diffusers.")
        var adapters: [CheckpointSource]

        @Option(
            help: ArgumentHelp("Where the result goes; a slash at its end makes it a folder.", valueName: "path"),
            completion: .file())
        var output: String

        @Option(
            help: ArgumentHelp("The type of the folded tensors (default: that of the base).", valueName: "type"))
        var dtype: NumericType?

        @Option(help: "The format of the output, when its extension does not tell.")
        var format: FormatID?

        @Option(
            help: ArgumentHelp(
                "Split safetensors into files of at most this much data, such as 5GB.", valueName: "size"))
        var shardSize: ByteSize?

        @OptionGroup var models: ModelOptions
        @OptionGroup var reading: InputOptions
        @OptionGroup var reporting: ReportOptions
        @OptionGroup var writing: OutputOptions
        @OptionGroup var shared: SharedOptions

        func validate() throws {
            guard !adapters.isEmpty else { throw ValidationError("there is no adapter to fold") }
        }

        func run(in session: Session) throws -> ExitStatus {
            let started = ContinuousClock.now
            let reports = try reporting.targets(options: writing.writeOptions())
            let target = try OutputTarget(
                try OutputPlace(argument: output), format: format,
                options: writing.writeOptions(shardByteCount: shardSize?.byteCount))
            let path = try session.locate(
                adapters.reduce(base) { $0.adding($1) }, subfolder: reading.subfolder,
                in: CheckpointSource.Places(modelsFolder: try models.folder()))
            let store = try session.open(
                path,
                options: reading.readOptions(
                    threads: session.budget.threads, memoryByteCount: session.memoryByteCount))
            // One model as it is: what a merge of one is.
            let parts = AdaptedPath(path).map { [$0.base] + $0.adapters } ?? [path]
            let job = try MergeJob(
                method: "passthrough", base: nil,
                experts: [(name: parts.map(\.modelName).joined(separator: "+"), store: store)],
                parameters: MergeParameters(), outputDType: dtype?.dtype, target: target, in: session.context)
            try job.requireRoom()
            let outcome = try session.run(job)
            guard let written = outcome.written else { preconditionFailure("a merge with a target has written it") }
            outcome.report.warnings.forEach(session.warn)
            let duration = ContinuousClock.now - started
            let count = job.plan.outputs.count
            let line =
                "\(output): \(count == 1 ? "1 tensor" : "\(count.grouped) tensors") with "
                + "\(adapters.count == 1 ? "1 adapter" : "\(adapters.count.grouped) adapters") folded in, "
                + "\(ByteSize(written.byteCount)) in \(duration.readable)"
            try session.print(
                Report(
                    title: output,
                    sections: [
                        .facts([
                            .init("output", .text(output)), .init("files", .texts(written.files.map(\.string))),
                            .init("bytes", .integer(written.byteCount)), .init("tensors", .integer(count)),
                            .init("adapters", .texts(adapters.map(\.text))),
                            .init("overflows", .integer(outcome.report.losses.overflowCount)),
                            .init("underflows", .integer(outcome.report.losses.underflowCount)),
                            .init("nan", .integer(outcome.report.nanCount)),
                            .init("inf", .integer(outcome.report.infinityCount)),
                            .init("seconds", .number(duration.seconds)),
                        ]),
                        .warnings, .text([line] + (outcome.folder?.lines ?? [])),
                    ], warnings: session.warnings), to: reports)
            return .done
        }
    }
}
