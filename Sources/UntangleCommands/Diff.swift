import ArgumentParser
import Checkpoints
import Reporting
import SystemPackage
import TensorCore
import Transcoding

/// Says how two checkpoints differ.
struct Diff: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare two checkpoints of any format, tensor by tensor.",
        discussion: """
            Ends with status 0 when the checkpoints are equal and 1 when they differ. Floating-point values of 8 bits and more \
            are compared as numbers, also between types; all others bit for bit. A different type or shape is a difference whatever the \
            values. NaN equals only NaN with the same bits; where a number stands against NaN, MAX ABS and RMS are nan, against an \
            infinity inf. A warning names each tensor that holds NaN or infinities on either side. Quantised weights are compared as the \
            numbers that their codes and scales stand for; --raw compares what is stored.

            Example:
              untangle diff Fixtures/suites/tiny/base.safetensors \\
                Fixtures/suites/tiny/expert_digits.safetensors --exit-zero
            """)

    @Argument(help: "A file, a *.index.json, a folder, or organisation/name[@revision] in the hub's cache.")
    var a: CheckpointSource

    @Argument(help: "What to compare it with.")
    var b: CheckpointSource

    @Option(help: ArgumentHelp("The absolute difference up to which two numbers are the same.", valueName: "x"))
    var tolerance = 0.0

    @Flag(help: "Compare quantised weights part by part, as they are stored.")
    var raw = false

    @Flag(help: "End with status 0 also when there are differences.")
    var exitZero = false

    @OptionGroup var naming: MapOptions
    @OptionGroup var selection: SelectionOptions
    @OptionGroup var base: BaseOption
    @OptionGroup var reading: InputOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard tolerance >= 0 else {
            throw ValidationError("--tolerance must not be negative or nan, and is \(tolerance)")
        }
    }

    func run(in session: Session) throws -> ExitStatus {
        let reports = try reporting.targets(options: writing.writeOptions())
        let map = try naming.nameMap()
        let subfolder = reading.subfolder
        var options = try reading.readOptions(
            selection: selection.selection, base: base.path(in: session, subfolder: subfolder), threads: 1)
        options.keepsParts = raw
        let first = try session.open(session.locate(a, subfolder: subfolder), options: options)
        let stored = try session.open(session.locate(b, subfolder: subfolder), options: options)
        let second = try map.applied(to: [stored], toMatch: first, warn: session.warn)[0]
        var comparison = CheckpointComparison(selection: selection.selection, tolerance: tolerance, threads: 1)
        try comparison.requireMemory(session.memoryByteCount, toCompare: first, second)
        comparison.threads = session.context.workers(each: comparison.workingByteCount(of: first, and: second))
        let progress = session.progress
        progress.begin("comparing", total: comparison.byteCount(of: first, and: second), unit: .bytes)
        let difference = try comparison.compare(first, second) { progress.advance(by: $0) }
        progress.end()
        difference.notFinite.warnings.forEach(session.warn)
        if let suggestion = suggestion(for: difference, first, second) {
            session.warn(
                Warning(
                    WeightsWarning.otherNames,
                    "\(suggestion.names.count / 2) tensors that are only in one would meet with \(suggestion.map.options)"
                ))
        }
        if let quantization = Quantization(of: first) ?? Quantization(of: second),
            difference.changes.contains(where: { quantization.parts.contains($0.name) })
        {
            session.warn(quantization.remarkOnStoredNumbers)
        }
        selection.warning(
            selected: difference.comparedCount + difference.onlyInA.count + difference.onlyInB.count,
            of: first.descriptors.count + second.descriptors.count
        ).map(session.warn)

        try session.print(report(of: difference), to: reports)
        return difference.isEmpty || exitZero ? .done : .no
    }

    /// Rules by which most tensors that only one checkpoint has would be compared; nil when there are none.
    private func suggestion(
        for difference: CheckpointDifference, _ first: TensorStore, _ second: TensorStore
    ) -> MapSuggestion? {
        guard !difference.onlyInA.isEmpty, !difference.onlyInB.isEmpty else { return nil }
        let chosen = selection.selection
        let tensors = [first, second].map { $0.descriptors.filter { chosen.contains($0.name) } }
        return MapSuggestion(for: tensors[1], toMatch: tensors[0])
    }

    private func report(of difference: CheckpointDifference) -> Report {
        let compared = difference.comparedCount
        let comparedText = "\(compared.grouped) \(compared == 1 ? "tensor" : "tensors") compared"
        let missing = [(difference.onlyInA, a.text), (difference.onlyInB, b.text)].filter { !$0.0.isEmpty }
        let summary = [
            comparedText, "\(difference.changes.count.grouped) changed",
            "\(difference.onlyInA.count.grouped) only in the first",
            "\(difference.onlyInB.count.grouped) only in the second",
        ]
        return Report(
            title: "\(a.text) and \(b.text)",
            sections: [
                .facts([
                    .init("equal", .flag(difference.isEmpty)),
                    .init("only_in_a", .texts(difference.onlyInA.lazy.map(\.text))),
                    .init("only_in_b", .texts(difference.onlyInB.lazy.map(\.text))),
                ])
            ] + missing.map { names, model in .text(["only in \(model):"] + names.map { "  \($0)" }) } + [
                .table(table(of: difference.changes)), .table(difference.notFinite.table),
                .text([difference.isEmpty ? "equal: \(comparedText)" : summary.joined(separator: ", ")]),
            ])
    }

    private func table(of changes: [CheckpointDifference.Change]) -> Report.Table {
        let table = Report.Table(
            "changed",
            [
                .init("name", "CHANGED"), .init("dtype", "DTYPE", .pair), .init("shape", "SHAPE", .pair),
                .init(nil, "DIFFERING", .count), .init("max_abs", "MAX ABS", .number),
                .init("rms", "RMS", .number), .init("differing", nil, .count),
            ],
            rows: Report.Rows(of: changes) { change in
                let (a, b) = (change.a, change.b)
                let shape = Report.Value.integers(a.shape.dims)
                return [
                    .text(change.name.text), .texts([a.dtype.rawValue, b.dtype.rawValue]),
                    .list([shape, a.shape == b.shape ? shape : .integers(b.shape.dims)]), .init(change.differingCount),
                    .init(change.maximum), .init(change.rootMeanSquare), .init(change.differingCount),
                ]
            })
        return changes.isEmpty ? table.forDocuments : table
    }
}
