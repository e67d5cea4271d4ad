import ArgumentParser
import Checkpoints
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Transcoding
import Work

/// Writes a checkpoint again: in another format or type, in part, under other names, in other pieces.
struct Convert: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a checkpoint in another format, type, selection or split.",
        discussion: """
            Tensors that keep their type are copied bit for bit. The output appears complete or not at all, and may be the \
            input itself (with --force). The format comes from the extension of OUTPUT, or from --format; an OUTPUT that \
            ends in / or is a folder is written as model.safetensors inside it. Folders that are not there are made.

            A .skein output is compressed, about as far as the entropy of weights allows, and with --base far further: a \
            fine-tune takes a fraction of its base. Reading it back needs the same base. Tensors gain from a tensor of the \
            same name, shape and type in the base; one line says how many did, and why the others did not.

            Casts round to nearest even. Numbers that become infinite or zero are counted by tensor and warned of; \
            F8_E4M3 has no infinity, and NaN for what is beyond its range. Integers and complex numbers keep their type.

            An output head that is the embedding matrix, as the config.json of a folder says (tie_word_embeddings), is written once, \
            which transformers expects. --map and --rename give tensors other names.
            Quantised weights are copied as the parts that they are stored as, bit for bit. --dequantize writes the numbers that these \
            stand for (FP8, MXFP4, NVFP4, int8, GPTQ, AWQ), and refuses what is not known; --quantize stores the matrices of linear \
            layers as 8-bit floats with scales. A folder gets the config.json of the input, with what it says of types and of quantised \
            weights as they are there.

            With --salvage, tensors that are damaged or cut off are left out and listed; the status is then 1. Bytes behind \
            the last tensor are left out with a warning.

            Example:
              untangle convert Fixtures/suites/tiny/base.safetensors base.npz \\
                --only 'blocks.0.*' --dtype f16
            """)

    @Argument(help: "A file, a *.index.json, a folder, or organisation/name[@revision] in the hub's cache.")
    var input: CheckpointSource

    @Argument(help: "The file or folder to write.", completion: .file())
    var output: String

    @Option(
        help: ArgumentHelp(
            "Cast floating-point tensors; bfloat16 is BF16, float8_e4m3fn F8_E4M3, and so on. A .gguf output also takes Q8_0.",
            valueName: "type"))
    var dtype: StoredType?

    @Flag(
        help: ArgumentHelp(
            "Write quantised weights as the numbers that their codes and scales stand for: F32, unless --dtype says otherwise."
        ))
    var dequantize = false

    @Option(
        help: ArgumentHelp(
            "Store matrices of linear layers as F8_E4M3 with scales: fp8 for blocks of 128 x 128 (transformers), fp8-channel for a "
                + "scale of each row (compressed-tensors).", valueName: "layout"))
    var quantize: FP8Layout?

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Rewrite names, as sed does: 'REGEX=>REPLACEMENT', with $1 for groups; repeatable, applied in order.",
            valueName: "rule"))
    var rename: [String] = []

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Rename tensors, before --rename: where FROM stands in a name as whole parts between dots, TO does instead. 'model=' "
                + "takes model. away, '=model' puts it before; repeatable, applied in order.", valueName: "from=to"))
    var map: [String] = []

    @Option(
        help: ArgumentHelp("Split safetensors into files of at most this much data, such as 5GB.", valueName: "size"))
    var shardSize: ByteSize?

    @Flag(help: "In NumPy formats, store BF16 and 8-bit floats as F32, which NumPy can read.")
    var upcast = false

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp("Add an entry to the metadata, or replace it; repeatable.", valueName: "key=value"))
    var metadata: [String] = []

    @Option(help: "The format of the output, when its extension does not tell.")
    var format: FormatID?

    @Flag(help: "Write the tensors that are healthy, and list what is lost.")
    var salvage = false

    @OptionGroup var skein: SkeinOutputOptions
    @OptionGroup var selection: SelectionOptions
    @OptionGroup var reading: InputOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard dequantize || quantize != nil else { return }
        guard !dequantize || quantize == nil else {
            throw ValidationError("--dequantize and --quantize do opposite things")
        }
        guard !salvage else { throw ValidationError("salvage first, then convert what was saved") }
        guard quantize == nil || dtype == nil && rename.isEmpty else {
            throw ValidationError("--quantize goes without --dtype and --rename")
        }
    }

    func run(in session: Session) throws -> ExitStatus {
        let reports = try reporting.targets(options: writing.writeOptions())
        let place = try OutputPlace(argument: output)
        guard !place.path.isEmpty else { throw UsageError("the output has no name") }
        let format = try OutputTarget(place, format: format).format
        let context = session.context
        let budget = context.budget
        // Where the output is stored against --base, the input may have one of its own.
        let path = try session.locate(input, subfolder: reading.subfolder)
        let base = try skein.base.map { try session.locate($0, subfolder: reading.subfolder) }
        let isDelta = !skein.store && format == .skein
        var readOptions = try reading.readOptions(
            selection: selection.selection, base: isDelta ? nil : base, sharedBase: isDelta ? base : nil,
            threads: budget.threads, salvaging: salvage)
        readOptions.keepsBlocks = format == .gguf
        readOptions.keepsParts = !dequantize
        var store = try TensorStore(opening: path, options: readOptions)
        let config = ConvertedConfig(of: store)
        let before = store.descriptors
        if dequantize {
            try requireWeights(of: store)
        } else if quantize == nil {
            try requirePlace(in: format, of: store)
        }
        var quantized: FP8Checkpoint?
        if let quantize {
            quantized = try makeQuantized(store, as: quantize)
            quantized.map { store = TensorStore($0) }
        }
        let verification = salvage ? try session.verify(store.reader, deep: true) : nil
        let chosen = selection.selection
        let ties = try ties(of: &store, at: path, in: session)
        let lost = verification?.losses.filter { $0.tensor.map(chosen.contains) ?? false } ?? []
        // What showed on opening is warned of below.
        let harmless = verification?.harmlessDamage.map(\.warning) ?? []
        harmless.filter { !store.reader.warnings.contains($0) }.forEach(session.warn)
        let settings = try skein.options(
            for: format, input: store.reader, base: base, threads: budget.threads,
            memoryByteCount: session.memoryByteCount)
        var options = ConversionOptions(
            selection: selection.selection, lost: Set(lost.compactMap(\.tensor)),
            renames: try NameMap(map).renames + rename.map { try TensorRename($0) }, dtype: dtype?.dtype,
            blocks: dtype?.blocks, upcast: upcast,
            metadata: try metadata.map(Metadata.Entry.init(argument:)))
        var writeOptions = writing.writeOptions(shardByteCount: shardSize?.byteCount, skein: settings)
        if format == .gguf {
            let source = try GGUFSource(store, folder: CheckpointFolder.folder(of: path), options: options)
            source.warnings.forEach(session.warn)
            store = source.store
            options = source.options
            writeOptions.gguf.metadata = source.metadata
        }
        let target = try OutputTarget(place, format: format, options: writeOptions)
        let plan = try ConversionPlan(of: store, to: target, options: options)
        var written: (file: FilePath, text: [UInt8])?
        plan.warnings.forEach(session.warn)
        try session.requireMemory(toDecode: plan.items.map(\.sourceIndex), of: store.reader)
        if place.isFolder, let config {
            let outputs = plan.items.map(\.target)
            let text =
                try quantized.map { try config.quantized($0.layout.configuration(keeping: $0.keptModules)) }
                ?? (dequantize
                    ? config.dequantized(from: before, to: outputs) : config.converted(from: before, to: outputs))
            let file = place.path.appending(ConvertedConfig.fileName)
            let isThere = try fileExists(file) && MappedFile(file).withUnsafeBytes { $0.elementsEqual(text) }
            if !isThere {
                try target.check([ConvertedConfig.fileName])
                written = (file, text)
            }
        }
        let result = try session.run(Conversion(plan, of: store))
        if let written { try AtomicOutput.write(written.text, to: written.file, options: writeOptions) }
        result.losses.warnings.forEach(session.warn)
        let gain = result.written.baseGain
        if let gain, !gain.isMost { session.warn(Warning(ConversionWarning.littleGain, gain.text)) }

        try session.print(report(of: result, format: format, ties: ties, lost: lost), to: reports)
        return lost.isEmpty ? .done : .no
    }

    /// Leaves out output heads that are the embedding matrix under another name, as the folder of a model says: they are written once.
    ///
    /// - Returns: the heads, and what they are.
    private func ties(
        of store: inout TensorStore, at path: FilePath, in session: Session
    ) throws -> [(head: TensorName, embedding: TensorName)] {
        // What may be damaged is not compared.
        guard folderExists(path), !salvage else { return [] }
        let tied = try TiedEmbeddings(of: store)
        tied.warnings.forEach(session.warn)
        let chosen = selection.selection
        let ties = tied.ties.filter { chosen.contains($0.head) }
        guard !ties.isEmpty, ties.allSatisfy({ chosen.contains($0.embedding) }) else { return [] }
        store = tied.stores[0]
        return ties
    }

    /// Makes sure that all that is selected is numbers, and that some of them were codes.
    private func requireWeights(of store: TensorStore) throws {
        let chosen = selection.selection
        if let quantization = Quantization(of: store) {
            let parts = store.descriptors.map(\.name).filter { quantization.parts.contains($0) && chosen.contains($0) }
            guard parts.isEmpty else {
                throw WeightsError.quantized(
                    store.path.string, quantization, parts: parts, file: store.path,
                    problem: "what they stand for is not known here (docs/quantised-models.md)")
            }
        }
        guard store.quantizedWeights.contains(where: chosen.contains) else {
            throw ConversionError.usage(
                "dequantize", "no selected tensor of \(store.path.string) is a quantised weight",
                hint: "leave out --dequantize; --dtype casts")
        }
    }

    /// Makes sure that a format can hold the parts of quantised weights as they are stored.
    private func requirePlace(in format: FormatID, of store: TensorStore) throws(WeightsError) {
        guard let quantization = Quantization(of: store), let writer = CheckpointFormat.of(format).writer else {
            return
        }
        let chosen = selection.selection
        let parts = store.descriptors.filter { quantization.parts.contains($0.name) && chosen.contains($0.name) }
        guard format == .gguf ? !parts.isEmpty : parts.contains(where: { !writer.holds($0.layout) }) else { return }
        throw .quantized(
            store.path.string, quantization, parts: parts.map(\.name), file: store.path,
            problem: "\(CheckpointFormat.of(format).title) has no place for them",
            hint: CheckpointView(weightsOf: store.reader) == nil
                ? nil : "--dequantize writes the numbers that they stand for")
    }

    /// Shows a checkpoint as it is to be stored.
    private func makeQuantized(_ store: TensorStore, as layout: FP8Layout) throws -> FP8Checkpoint {
        if let quantization = Quantization(of: store) {
            throw WeightsError.quantized(
                store.path.string, quantization, parts: quantization.parts.sorted(), file: store.path,
                problem: "cannot be quantised again as they are",
                hint: "write its numbers first, with convert --dequantize")
        }
        return try FP8Checkpoint(store.reader, as: layout, selection: selection.selection)
    }

    private func report(
        of result: ConversionReport, format: FormatID, ties: [(head: TensorName, embedding: TensorName)], lost: [Damage]
    ) -> Report {
        let tied = Report.Table(
            "tied", ["tensor", "same_as"].map { Report.Column($0, nil) },
            rows: ties.map { [.text($0.head.text), .text($0.embedding.text)] })
        let tieLines = ties.map { "\"\($0.head)\" is \"\($0.embedding)\" and is written once" }
        let gain = result.written.baseGain
        let losses: [Report.Section] =
            salvage ? [.table(lost.table("lost")), .text([Self.text(lossCount: lost.count)])] : []
        return Report(
            title: output,
            sections: [
                .facts([
                    .init("output", .text(output)), .init("format", .text(format.rawValue)),
                    .init("files", .texts(result.written.files.map(\.string))),
                    .init("tensors", .integer(result.tensorCount)), .init("bytes", .integer(result.dataByteCount)),
                ]),
                result.losses.section("overflows", \.overflowCount),
                result.losses.section("underflows", \.underflowCount),
                .table(tied),
                .facts([.init("base", gain.map { .facts($0.facts) } ?? .absent)]),
                // Little gain was warned of.
                .group(
                    [
                        .text(
                            [text(of: result, format: format)] + tieLines
                                + (gain.map { $0.isMost ? [$0.text] : [] } ?? []))
                    ]
                        + losses),
            ])
    }

    private static func text(lossCount count: Int) -> String {
        count == 0 ? "nothing is lost" : "\(count.grouped) \(count == 1 ? "tensor is" : "tensors are") lost"
    }

    private func text(of result: ConversionReport, format: FormatID) -> String {
        let files = result.written.files
        // The index comes last.
        let name = files.last?.string ?? output
        let tensors = result.tensorCount == 1 ? "1 tensor" : "\(result.tensorCount.grouped) tensors"
        let split = files.count == 1 ? "" : " in \((files.count - 1).grouped) shards"
        return "\(name): \(tensors) written as \(format.rawValue), \(ByteSize(result.written.byteCount))\(split)"
    }
}

extension FP8Layout: ExpressibleByArgument {}

/// A type that an output can store numbers in: one that they are cast to, or blocks.
struct StoredType: ExpressibleByArgument {
    let dtype: DType?
    let blocks: BlockType?

    init?(argument: String) {
        blocks = BlockType.allCases.first { $0.rawValue.lowercased() == argument.lowercased() }
        dtype = DType(argument: argument)
        if blocks == nil, dtype == nil { return nil }
    }

    static var allValueStrings: [String] {
        NumericType.allValueStrings + ["F8_E4M3", "F8_E5M2"] + BlockType.allCases.filter(\.isEncodable).map(\.rawValue)
    }
    static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}

/// A type that numbers can be cast to. Others are read as well, so that the plan says what is wrong with them.
/// The names that PyTorch and recipes have are read and not listed.
struct NumericType: ExpressibleByArgument {
    let dtype: DType

    init?(argument: String) {
        guard let dtype = DType(argument: argument) else { return nil }
        self.dtype = dtype
    }

    static var allValueStrings: [String] { DType.allCases.filter(\.isComputable).map(\.rawValue) }
    static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}

extension FormatID: ExpressibleByArgument {
    public init?(argument: String) {
        self.init(rawValue: argument.lowercased())
        if CheckpointFormat.of(self).writer == nil { return nil }
    }

    public static var allValueStrings: [String] {
        CheckpointFormat.all.filter { $0.writer != nil }.map(\.id.rawValue)
    }
}
