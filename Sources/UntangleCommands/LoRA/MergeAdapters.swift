import ArgumentParser
import Checkpoints
import Merging
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Transcoding
import Work
import Workflow

extension LoRA {
    /// Merges adapters into one adapter.
    struct Merge: ToolCommand {
        static let configuration = CommandConfiguration(
            commandName: "merge",
            abstract: "Merge adapters into one adapter.",
            discussion: """
                Methods are PEFT's combinations by their names there (linear, cat, svd, ties, ties_svd, dare_linear, dare_ties, \
                dare_linear_svd, dare_ties_svd, magnitude_prune, magnitude_prune_svd), and at the size of the ranks, with the \
                result and the parameters of `untangle merge`: task_arithmetic, tsv_m, dc_merge, swudi, aswudi, actmat. Other \
                methods with a base need the weights: with --base and --rank each adapter is folded into the base, these models \
                are merged, and the change becomes factors, as far as the rank reaches.

                linear, ties, dare and magnitude_prune without svd work on the factors, which must have one rank, and mix those of \
                different adapters; cat and svd are the sum of the adapters. What is per adapter is set with a comma: \
                --set weight=1,0.5.

                Example:
                  untangle lora merge --method svd --set weight=1,0.5 \\
                    Fixtures/parity/lora/mixed/a1 Fixtures/parity/lora/mixed/a2 --output merged-adapter
                """)

        @Argument(help: "Folders of PEFT, or files with the names of kohya or diffusers.")
        var adapters: [CheckpointSource]

        @Option(help: ArgumentHelp("How the adapters are merged.", valueName: "method"))
        var method: String

        @OptionGroup var parameters: MergeParameterOptions

        @Option(
            help: ArgumentHelp(
                "The rank of the result, at most (default: the largest of the adapters for PEFT's svd methods, else all).",
                valueName: "r"))
        var rank: Int?

        @Option(
            help: ArgumentHelp(
                "Where the result goes: a folder, or a .safetensors file for names of kohya and diffusers.",
                valueName: "path"), completion: .file())
        var output: String

        @Option(help: "Whose names the result has (default: those of the first adapter).")
        var names: AdapterNaming?

        @Option(
            help: ArgumentHelp(
                "The model of the adapters, for methods that need weights; with --names it tells which underscores of kohya's "
                    + "names are dots.",
                valueName: "checkpoint"))
        var base: CheckpointSource?

        @Option(
            help: ArgumentHelp(
                "With --names, the component of a pipeline that adapters of PEFT are for, such as unet.",
                valueName: "name"))
        var component: String?

        @Option(help: ArgumentHelp("The type of the factors (default: F32).", valueName: "type"))
        var dtype: NumericType?

        @OptionGroup var models: ModelOptions
        @OptionGroup var reading: InputOptions
        @OptionGroup var reporting: ReportOptions
        @OptionGroup var writing: OutputOptions
        @OptionGroup var shared: SharedOptions

        func validate() throws {
            guard !adapters.isEmpty else { throw ValidationError("there is no adapter to merge") }
            guard rank ?? 1 > 0 else { throw ValidationError("a rank is above zero") }
            guard names != nil || component == nil else { throw ValidationError("--component belongs to --names") }
        }

        func run(in session: Session) throws -> ExitStatus {
            let started = ContinuousClock.now
            let reports = try reporting.targets(options: writing.writeOptions())
            let places = CheckpointSource.Places(modelsFolder: try models.folder())
            func locate(_ source: CheckpointSource) throws -> FilePath {
                try session.locate(source, subfolder: reading.subfolder, in: places)
            }
            let paths = try adapters.map(locate)
            let options = try reading.readOptions(
                threads: session.budget.threads, memoryByteCount: session.memoryByteCount)
            let store = try base.map { try session.open(locate($0), options: options) }
            let merged: Merged
            do {
                let job = try AdapterMergeJob(
                    Array(zip(ModelNames.distinct(paths), paths)), method: method,
                    parameters: try parameters.parameters(), rank: rank, dtype: dtype?.dtype ?? .f32,
                    names: .init(naming: names, base: store?.reader, component: component), target: target,
                    options: options)
                job.warnings.forEach(session.warn)
                let outcome = try session.run(job)
                outcome.losses.warnings.forEach(session.warn)
                merged = Merged(
                    weights: outcome.weights.map { ($0.name, $0.shape, $0.rank, $0.note) },
                    savedModules: outcome.savedModules, written: outcome.written)
            } catch let error as MergeError where error.code == "merge.needs_weights" {
                guard let base, let store, names ?? .peft == .peft, try MergeMethods.named(method).info.needsBase else {
                    throw error
                }
                let models = try adapters.map { try session.open(locate(base.adding($0)), options: options) }
                merged = try mergeWeights(store, Array(zip(ModelNames.distinct(paths), models)), in: session)
            }
            try session.print(report(of: merged, since: started, in: session), to: reports)
            return .done
        }

        /// An adapter that was made of others.
        private struct Merged {
            let weights: [(name: TensorName, shape: Shape, rank: Int, note: String?)]
            let savedModules: [String]
            let written: WrittenCheckpoint
        }

        /// Merges models that have the adapters folded in, and makes an adapter of what that changes.
        private func mergeWeights(
            _ base: TensorStore, _ models: [(name: String, store: TensorStore)], in session: Session
        ) throws -> Merged {
            guard let rank else {
                throw UsageError(
                    "method \(method) merges whole weights, and the rank of the result is not said",
                    hint: "give --rank; \(method) changes weights in all directions that its models have")
            }
            let target = try target(.peft)
            try AdapterFolder(target).check()
            let merge = try MergeJob(
                method: method, base: base, experts: models, parameters: try parameters.parameters(), outputDType: .f32,
                in: session.context)
            let merged = try session.run(merge)
            merged.report.warnings.forEach(session.warn)
            let outcome = try session.run(
                AdapterExtraction(
                    of: merged.open(), from: base, named: base.modelReference,
                    folder: CheckpointFolder.folder(of: base.path),
                    settings: .init(extent: .rank(rank), dtype: dtype?.dtype ?? .f32, selection: TensorSelection()),
                    to: target))
            outcome.warnings.forEach(session.warn)
            session.warn(
                Warning(
                    MergeWarning.folded,
                    "\(method) merges whole weights: each adapter was folded into the base, and factors of rank \(rank) at most hold "
                        + "\(outcome.energy.percent) of the change"))
            return Merged(
                weights: outcome.weights.map { ($0.name, $0.shape, $0.rank, "\($0.energy.percent) of the change") },
                savedModules: outcome.savedModules, written: outcome.written)
        }

        /// Where the result goes.
        private func target(_ naming: AdapterNaming) throws -> OutputTarget {
            let place = try OutputPlace(argument: output)
            guard naming != .peft else {
                return try OutputTarget(OutputPlace(place.path, isFolder: true), options: writing.writeOptions())
            }
            guard place.path.extension == "safetensors" else {
                throw UsageError(
                    "an adapter with names of \(naming.rawValue) is one file",
                    hint: "give an --output that ends in .safetensors")
            }
            let target = try OutputTarget(place, options: writing.writeOptions())
            try AtomicOutput.checkPlace(place.path, options: target.options)
            return target
        }

        private func report(
            of merged: Merged, since started: ContinuousClock.Instant, in session: Session
        ) -> Report {
            let duration = ContinuousClock.now - started
            let (count, ranks) = (adapters.count, merged.weights.map(\.rank))
            let (least, most) = (ranks.min() ?? 0, ranks.max() ?? 0)
            let line =
                "\(output): \(count == 1 ? "1 adapter" : "\(count.grouped) adapters") merged with \(method), "
                + "\(merged.weights.count.grouped) weights of rank \(least == most ? "\(most)" : "\(least) to \(most)"), "
                + "\(ByteSize(merged.written.byteCount)) in \(duration.readable)"
            return Report(
                title: output,
                sections: [
                    .facts([
                        .init("output", .text(output)), .init("files", .texts(merged.written.files.map(\.string))),
                        .init("bytes", .integer(merged.written.byteCount)), .init("method", .text(method)),
                        .init("adapters", .texts(adapters.map(\.text))),
                    ]),
                    .table(
                        Report.Table(
                            "tensors",
                            [
                                .init("name", "weight"), .init("shape", "shape", .shape), .init("rank", "rank", .count),
                                .init("note", "note"),
                            ],
                            rows: merged.weights.map {
                                [
                                    .text($0.name.text), .text($0.shape.description), .integer($0.rank),
                                    $0.note.map { .text($0) } ?? .none,
                                ]
                            })),
                    .facts([
                        .init("modules_to_save", .texts(merged.savedModules)),
                        .init("seconds", .number(duration.seconds)),
                    ]),
                    .warnings, .text([line]),
                ], warnings: session.warnings)
        }
    }
}

extension AdapterNaming: ExpressibleByArgument {}
