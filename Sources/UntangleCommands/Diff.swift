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
            infinity inf. A warning names each tensor that holds NaN or infinities on either side.

            Example:
              untangle diff Fixtures/suites/tiny/base.safetensors \\
                Fixtures/suites/tiny/expert_digits.safetensors --exit-zero
            """)

    @Argument(help: "A file, a *.index.json, or a folder.")
    var a: FilePath

    @Argument(help: "What to compare it with.")
    var b: FilePath

    @Option(help: ArgumentHelp("The absolute difference up to which two numbers are the same.", valueName: "x"))
    var tolerance = 0.0

    @Flag(help: "End with status 0 also when there are differences.")
    var exitZero = false

    @OptionGroup var selection: SelectionOptions
    @OptionGroup var base: BaseOption
    @OptionGroup var reading: InputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard tolerance >= 0 else {
            throw ValidationError("--tolerance must not be negative or nan, and is \(tolerance)")
        }
    }

    func run(in session: Session) throws -> ExitStatus {
        let options = try reading.readOptions(selection: selection.selection, base: base.base, threads: 1)
        let first = try session.open(a, options: options)
        let second = try session.open(b, options: options)
        var comparison = CheckpointComparison(selection: selection.selection, tolerance: tolerance, threads: 1)
        try comparison.requireMemory(session.memoryByteCount, toCompare: first, second)
        comparison.threads = session.context.workers(each: comparison.workingByteCount(of: first, and: second))
        let progress = session.progress
        progress.begin("comparing", total: comparison.byteCount(of: first, and: second), unit: .bytes)
        let difference = try comparison.compare(first, second) { progress.advance(by: $0) }
        progress.end()
        difference.notFinite.warnings.forEach(session.warn)
        if let quantization = Quantization(of: first) ?? Quantization(of: second),
            difference.changes.contains(where: { quantization.parts.contains($0.name) })
        {
            session.warn(quantization.remarkOnStoredNumbers)
        }
        selection.warning(
            selected: difference.comparedCount + difference.onlyInA.count + difference.onlyInB.count,
            of: first.descriptors.count + second.descriptors.count
        ).map(session.warn)

        if session.json {
            try session.print(json(of: difference))
        } else {
            try session.print(text(of: difference))
        }
        return difference.isEmpty || exitZero ? .done : .no
    }

    private func json(of difference: CheckpointDifference) -> JSONOutput {
        [
            "equal": .bool(difference.isEmpty),
            "only_in_a": .strings(difference.onlyInA.map(\.text)),
            "only_in_b": .strings(difference.onlyInB.map(\.text)),
            "changed": .array(
                difference.changes.map { change in
                    [
                        "name": .string(change.name.text),
                        "dtype": .strings([change.a.dtype.rawValue, change.b.dtype.rawValue]),
                        "shape": [.integers(change.a.shape.dims), .integers(change.b.shape.dims)],
                        "max_abs": change.maximum.map(JSONOutput.number) ?? .null,
                        "rms": change.rootMeanSquare.map(JSONOutput.number) ?? .null,
                        "differing": change.differingCount.map(JSONOutput.integer) ?? .null,
                    ]
                }),
            "not_finite": .rows(difference.notFinite.table),
        ]
    }

    private func text(of difference: CheckpointDifference) -> String {
        let compared = difference.comparedCount
        let comparedText = "\(compared.grouped) \(compared == 1 ? "tensor" : "tensors") compared"
        guard !difference.isEmpty else { return "equal: \(comparedText)\n" }
        var sections: [String] = []
        for (names, path) in [(difference.onlyInA, a), (difference.onlyInB, b)] where !names.isEmpty {
            let heading = "only in \(path.string.escapingControlCharacters):\n"
            sections.append(heading + names.map { "  \($0)\n" }.joined())
        }
        if !difference.changes.isEmpty { sections.append(Self.table(of: difference.changes).rendered()) }
        let parts = [
            comparedText, "\(difference.changes.count.grouped) changed",
            "\(difference.onlyInA.count.grouped) only in the first",
            "\(difference.onlyInB.count.grouped) only in the second",
        ]
        sections.append(parts.joined(separator: ", ") + "\n")
        return sections.joined(separator: "\n")
    }

    private static func table(of changes: [CheckpointDifference.Change]) -> Table {
        var table = Table([
            .init("CHANGED"), .init("DTYPE"), .init("SHAPE"), .init("DIFFERING", .right), .init("MAX ABS", .right),
            .init("RMS", .right),
        ])
        func both(_ a: String, _ b: String) -> String { a == b ? a : "\(a) -> \(b)" }
        for change in changes {
            table.append([
                change.name.text, both(change.a.dtype.rawValue, change.b.dtype.rawValue),
                both(change.a.shape.description, change.b.shape.description),
                change.differingCount.map(\.grouped) ?? "-", change.maximum.map { $0.short() } ?? "-",
                change.rootMeanSquare.map { $0.short() } ?? "-",
            ])
        }
        return table
    }
}
