import ArgumentParser
import Checkpoints
import Kernels
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Transcoding
import Work

extension LoRA {
    /// Makes an adapter of a model and its base.
    struct Extract: ToolCommand {
        static let configuration = CommandConfiguration(
            abstract: "Turn the difference between a model and its base into an adapter.",
            discussion: """
                The strongest singular values of every weight's change become the factors of a LoRA adapter that PEFT loads: the same \
                rank for all weights, or for each the lowest that keeps a share of the sum of squares. Norms, biases and \
                embeddings with added tokens go along as they are. The report says what was kept of every weight.

                Example:
                  untangle lora extract --base Fixtures/suites/tiny/base.safetensors \\
                    Fixtures/suites/tiny/expert_digits.safetensors --rank 8 --output adapter
                """)

        @Option(help: ArgumentHelp("What the model was fine-tuned from.", valueName: "checkpoint"))
        var base: CheckpointSource

        @Argument(help: "The fine-tuned model.")
        var expert: CheckpointSource

        @Option(help: ArgumentHelp("The folder of the adapter.", valueName: "folder"), completion: .directory)
        var output: String

        @Option(help: ArgumentHelp("The rank of every weight.", valueName: "r"))
        var rank: Int?

        @Option(
            help: ArgumentHelp(
                "The share of each change's sum of squares that is kept, such as 0.9.", valueName: "share"))
        var energy: Double?

        @Option(help: ArgumentHelp("With --energy, the highest rank (default: 256).", valueName: "r"))
        var maxRank: Int?

        @Option(help: ArgumentHelp("The type of the factors (default: F32).", valueName: "type"))
        var dtype: NumericType?

        @OptionGroup var naming: MapOptions
        @OptionGroup var models: ModelOptions
        @OptionGroup var selection: SelectionOptions
        @OptionGroup var reading: InputOptions
        @OptionGroup var reporting: ReportOptions
        @OptionGroup var writing: OutputOptions
        @OptionGroup var shared: SharedOptions

        func validate() throws {
            guard (rank == nil) != (energy == nil) else { throw ValidationError("give either --rank or --energy") }
            guard rank ?? 1 > 0, maxRank ?? 1 > 0 else { throw ValidationError("a rank is above zero") }
            if let energy, !(energy > 0 && energy <= 1) { throw ValidationError("--energy lies above 0, up to 1") }
            guard maxRank == nil || energy != nil else { throw ValidationError("--max-rank belongs to --energy") }
        }

        private var extent: LowRankApproximation.Extent {
            energy.map { .energy($0, atMost: maxRank ?? 256) } ?? .rank(rank ?? 1)
        }

        func run(in session: Session) throws -> ExitStatus {
            let started = ContinuousClock.now
            let reports = try reporting.targets(options: writing.writeOptions())
            let place = try OutputPlace(argument: output)
            let target = try OutputTarget(
                OutputPlace(place.path, isFolder: true), options: writing.writeOptions())
            let places = CheckpointSource.Places(modelsFolder: try models.folder())
            func locate(_ model: CheckpointSource) throws -> FilePath {
                try session.locate(model, subfolder: reading.subfolder, in: places)
            }
            let paths = (base: try locate(base), expert: try locate(expert))
            func open(_ path: FilePath) throws -> TensorStore {
                try session.open(
                    path,
                    options: reading.readOptions(
                        selection: selection.selection, sharedBase: paths.base, threads: session.budget.threads,
                        memoryByteCount: session.memoryByteCount))
            }
            let base = try open(paths.base)
            let map = try naming.nameMap()
            let expert = try map.applied(to: [open(paths.expert)], toMatch: base, warn: session.warn)[0]
            let chosen = Set(expert.descriptors.map(\.name).filter(selection.selection.contains))
            let codes = try WeightsError.check([(self.base.text, base), (self.expert.text, expert)], of: chosen)
            if let quantization = codes.quantization {
                throw WeightsError.quantized(
                    self.expert.text, quantization, parts: codes.names.intersection(chosen).sorted(),
                    file: expert.path,
                    problem: "what they stand for, and so the change of a weight, is not known here")
            }
            let outcome = try session.run(
                AdapterExtraction(
                    of: expert, from: base, named: base.modelReference,
                    folder: CheckpointFolder.folder(of: base.path),
                    settings: .init(extent: extent, dtype: dtype?.dtype ?? .f32, selection: selection.selection),
                    to: target))
            outcome.warnings.forEach(session.warn)
            try session.print(report(of: outcome, in: ContinuousClock.now - started, session.warnings), to: reports)
            return .done
        }

        private func report(
            of outcome: AdapterExtraction.Outcome, in duration: Duration, _ warnings: [Warning]
        ) -> Report {
            let saved = outcome.savedModules.count
            let line =
                "\(output): \(outcome.weights.count.grouped) weights as factors that hold "
                + "\(outcome.energy.percent) of their change, \(saved.grouped) \(saved == 1 ? "module" : "modules") whole, "
                + "\(ByteSize(outcome.written.byteCount)) in \(duration.readable)"
            return Report(
                title: output,
                sections: [
                    .facts([
                        .init("output", .text(output)), .init("files", .texts(outcome.written.files.map(\.string))),
                        .init("bytes", .integer(outcome.written.byteCount)), .init("energy", .number(outcome.energy)),
                    ]),
                    .table(
                        Report.Table(
                            "tensors",
                            [
                                .init("name", "weight"), .init("shape", "shape", .shape), .init("rank", "rank", .count),
                                .init("energy", "energy", .share),
                            ],
                            rows: outcome.weights.map {
                                [
                                    .text($0.name.text), .text($0.shape.description), .integer($0.rank),
                                    .number($0.energy),
                                ]
                            })),
                    .facts([
                        .init("modules_to_save", .texts(outcome.savedModules)),
                        .init("left_out", .texts(outcome.leftOut.map(\.text))),
                        .init("seconds", .number(duration.seconds)),
                    ]),
                    .warnings, .text([line]),
                ], warnings: warnings)
        }
    }
}
