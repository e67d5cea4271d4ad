import Analysis
import ArgumentParser
import Checkpoints
import Kernels
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Transcoding

/// Lists what a checkpoint holds.
struct Inspect: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the tensors and the metadata of a checkpoint.",
        discussion: """
            Without --stats, --checksum and --histogram only the description of the tensors is read, not their data. NaN and \
            infinities are counted by --stats; all its other figures are those of the finite elements, and nan where there is none. \
            --stats and --histogram list quantised weights as the numbers that they stand for, unless --raw or --checksum asks for \
            what is stored. \
            Of several checkpoints one that cannot be read is told of, and the others are listed; the status is the highest.

            Example:
              untangle inspect Fixtures/suites/tiny/base.safetensors \\
                --only 'blocks.*.weight' --stats
            """)

    @Argument(
        help: ArgumentHelp(
            "Files, *.index.json, folders, or organisation/name[@revision] in the hub's cache.", valueName: "checkpoint"
        ))
    var checkpoints: [CheckpointSource]

    @Flag(help: "Show minimum, maximum, mean, standard deviation, L2 norm, zeros, NaN and infinities of each tensor.")
    var stats = false

    @Flag(
        help:
            "Take --stats and --histogram of quantised weights as they are stored, codes and scales, not as what they stand for."
    )
    var raw = false

    @Flag(help: "Show the SHA-256 of each tensor's little-endian row-major bytes, the same in every format.")
    var checksum = false

    @Flag(help: "Show sums by dotted module and by type instead of tensors.")
    var tree = false

    @Option(help: "The order of the tensors.")
    var sort = TensorOrder.file

    @Option(help: ArgumentHelp("Show how the values of one tensor are distributed.", valueName: "name"))
    var histogram: String?

    @OptionGroup var selection: SelectionOptions
    @OptionGroup var base: BaseOption
    @OptionGroup var input: InputOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        let files = try reporting.targets(options: writing.writeOptions())
        if checkpoints.count == 1 {
            let inspection = try inspect(checkpoints[0], in: session, warn: session.warn)
            try session.print(inspection.report, to: files)
            try session.suggest(NextStep(after: inspection, at: FilePath(checkpoints[0].text), hasStatistics: stats))
            return .done
        }
        var reports: [Report] = []
        var statuses: [ExitStatus] = []
        for checkpoint in checkpoints {
            do {
                let report = try inspect(checkpoint, in: session) { session.warn($0.about(checkpoint.text)) }.report
                if session.json || !files.isEmpty { reports.append(report) }
                if !session.json { try session.show((statuses.isEmpty ? "" : "\n") + report.text(in: session.style)) }
                statuses.append(.done)
            } catch {
                session.report(error)
                statuses.append(ExitStatus(error.diagnostic.severity))
            }
        }
        try session.print(
            Report(title: "\(checkpoints.count) checkpoints", sections: [.reports("checkpoints", reports)]),
            to: files, isShown: true)
        if statuses.allSatisfy({ $0 == .done }) { try session.suggest(NextStep(after: checkpoints.map(\.text))) }
        return .highest(statuses)
    }

    private func inspect(
        _ checkpoint: CheckpointSource, in session: Session, warn: (Warning) -> Void
    ) throws -> Inspection {
        let path = try session.locate(checkpoint, subfolder: input.subfolder)
        let chosen = selection.selection
        let stored = try CheckpointFormat.open(
            path,
            options: input.readOptions(
                selection: chosen, base: base.path(in: session, subfolder: input.subfolder), threads: 1))
        // Checksums are of what is stored.
        let isOfNumbers = (stats || histogram != nil) && !raw && !checksum
        let weights = isOfNumbers ? CheckpointView(weightsOf: stored) : nil
        let reader = weights ?? stored
        reader.warnings.forEach(warn)
        let selected = reader.descriptors.indices.filter { chosen.contains(reader.descriptors[$0].name) }
        selection.warning(selected: selected.count, of: reader.descriptors.count).map(warn)

        let store = TensorStore(reader)
        if stats || histogram != nil { Quantization(of: store).map(\.remarkOnStoredNumbers).map(warn) }

        var inspection = Inspection(
            reader: reader, files: stored.files,
            tensors: sort.sorted(selected, of: reader).map { index in
                .init(index: index, descriptor: reader.descriptors[index], location: reader.location(of: index))
            })
        inspection.model = ModelDescription(of: TensorStore(stored), warn: warn)
        if stats || checksum { try measure(&inspection, in: session) }
        if tree { inspection.modules = ModuleTree(inspection.tensors.map(\.descriptor)) }
        if let histogram { inspection.histogram = try makeHistogram(of: TensorName(histogram), reader, in: session) }
        return inspection
    }

    /// Reads the data of every listed tensor, several tensors at a time.
    private func measure(_ inspection: inout Inspection, in session: Session) throws {
        let reader = inspection.reader
        let tensors = inspection.tensors
        session.progress.begin("reading \(reader.path)", total: inspection.totals.byteCount, unit: .bytes)
        defer { session.progress.end() }
        // The largest first, so that no thread is left alone with one at the end.
        let order = tensors.indices.sorted { tensors[$0].descriptor.byteCount > tensors[$1].descriptor.byteCount }
        let (stats, checksum, progress) = (stats, checksum, session.progress)
        try session.requireMemory(toDecode: tensors.map(\.index), of: reader)
        // Digests are of what is stored, statistics of the numbers.
        let numbers = try CheckpointView(decoding: reader)
        let sweep = TensorSweep(
            order.map { place in
                let tensor = tensors[place]
                let isTwofold = checksum && stats && !tensor.descriptor.layout.isPlain
                let readers: [any CheckpointReader] = isTwofold ? [reader, numbers] : [stats ? numbers : reader]
                return TensorSweep.Item(
                    readers.map { ($0, tensor.index) }, chunkCount: TensorStatistics.Part.elementCount)
            })
        let threads = session.context.workers(each: sweep.workingByteCount)
        let measurements = try sweep.mapTensors(threads: threads) { place, forEachChunk in
            let tensor = tensors[order[place]]
            let dtype = numbers.descriptors[tensor.index].dtype
            let digest = checksum ? TensorDigest.Accumulator() : nil
            var parts: [TensorStatistics.Part] = []
            try forEachChunk { chunk in
                digest?.update(chunk.parts[0])
                if stats, let part = TensorStatistics.Part(chunk.parts[chunk.parts.count - 1], dtype) {
                    parts.append(part)
                }
                progress.advance(by: tensor.descriptor.layout.byteRange(of: chunk.elements).count)
            }
            return TensorMeasurement(
                digest: digest?.finish().hexadecimal, statistics: stats ? TensorStatistics(parts, of: dtype) : nil)
        }
        for (place, measurement) in zip(order, measurements) { inspection.tensors[place].measurement = measurement }
    }

    private func makeHistogram(
        of name: TensorName, _ stored: any CheckpointReader, in session: Session
    ) throws -> (TensorName, Histogram) {
        let reader = try CheckpointView(decoding: stored)
        guard let index = reader.descriptors.firstIndex(where: { $0.name == name }) else {
            if let member = reader.unreadable.first(where: { $0.name == name }) { throw member.error }
            throw UsageError(
                "\(reader.path) has no tensor \"\(name)\"",
                hint: "run 'untangle inspect \(reader.path)' to see the names"
            )
        }
        let dtype = reader.descriptors[index].dtype
        try session.requireMemory(toDecode: [index], of: reader)
        let sweep = TensorSweep([.init([(reader, index)], chunkCount: TensorStatistics.Part.elementCount)])
        let threads = session.context.workers(each: sweep.workingByteCount)
        let histogram = try Histogram(of: sweep, dtype, threads: threads)
        guard let histogram else {
            throw UsageError(
                "tensor \"\(name)\" has type \(dtype.rawValue), or no finite element, and has no histogram")
        }
        return (name, histogram)
    }
}
