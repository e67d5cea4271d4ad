import ArgumentParser
import Checkpoints
import Experts
import Reporting
import SystemPackage
import TensorCore
import Tokenization

/// Shows how a model's tokenizer cuts texts into pieces.
struct Tokenize: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the pieces that texts become, and their numbers.",
        discussion: """
            Takes one text a line, from files, from standard input (-) or from --text, and encodes them as the tokenizers \
            library of Hugging Face does: with special tokens, truncation and padding as tokenizer.json says.

            Of a .tsv and a .jsonl the texts are taken as data takes them, so that the pieces are those that models are trained on.

            Each text is followed by its pieces and their numbers; "special" of JSON says which of them are special tokens. A text that \
            is not valid UTF-8 is an error with its line and byte offset.

            Example:
              untangle tokenize --tokenizer Fixtures/tokenizers/wordpiece.json --text "Hello, naïve world!"
            """)

    @Argument(help: "Files with one text a line, .tsv or .jsonl; - is standard input.")
    var files: [FilePath] = []

    @Option(parsing: .singleValue, help: ArgumentHelp("A text to encode; repeatable.", valueName: "text"))
    var text: [String] = []

    @Option(
        help: ArgumentHelp(
            "A tokenizer.json, or a checkpoint, model folder or organisation/name that it lies beside or in.",
            valueName: "place"))
    var tokenizer: CheckpointSource

    @OptionGroup var dataFlags: DataFlags
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard !files.isEmpty || !text.isEmpty else {
            throw ValidationError("there is nothing to encode: name a file, or give --text")
        }
        guard files.count(where: { $0 == "-" }) < 2 else { throw ValidationError("standard input is read once") }
    }

    func run(in session: Session) throws -> ExitStatus {
        let reports = try reporting.targets(options: writing.writeOptions())
        let path = try tokenizer.path()
        let place = try Tokenizer.file(ofModelAt: path)
        session.reads(
            place, named: path.string == tokenizer.text ? nil : "\(tokenizer.text)/\(place.lastComponent?.string ?? "")"
        )
        let tokenizer = try Tokenizer(reading: place)
        var texts = text
        for file in files {
            texts += try lines(of: file, in: session)
        }
        let encodings = try encode(texts, with: tokenizer, threads: session.budget.threads)
        try session.print(report(texts, encodings, tokenizer, place), to: reports)
        return .done
    }

    /// The texts of a file: its lines, or what data takes from a table or from lines of JSON.
    private func lines(of file: FilePath, in session: Session) throws -> [String] {
        if file == "-" { return try TextLines(try StandardInput.bytes(), file: "standard input").all }
        session.reads(file)
        guard case .texts(let format) = DataSource(at: file), format != .plain else {
            return try TextLines(reading: file).all
        }
        let texts = try TextFile(file, format: format, options: dataFlags.options, memory: session.context.memory)
        for (name, reason) in texts.skipped {
            session.warn(Warning(DataWarning.skipped, "\(name) is left out: \(reason)"))
        }
        return texts.lines.map(\.text)
    }

    /// Encodes texts on all threads, and pads them as one batch.
    private func encode(_ texts: [String], with tokenizer: Tokenizer, threads: Int) throws -> [Encoding] {
        // Enough of them that handing out work costs nothing.
        let size = 64
        let chunks = stride(from: 0, to: texts.count, by: size).map { $0..<min($0 + size, texts.count) }
        var encodings = try parallelMap(count: chunks.count, threads: threads) { chunk in
            try texts[chunks[chunk]].map { text throws(TokenizerError) in try tokenizer.encode(text) }
        }.flatMap { $0 }
        tokenizer.pad(&encodings)
        return encodings
    }

    private func report(
        _ texts: [String], _ encodings: [Encoding], _ tokenizer: Tokenizer, _ place: FilePath
    ) -> Report {
        @Sendable func pieces(_ encoding: Encoding) -> [String] { encoding.ids.map { tokenizer.piece(of: $0) ?? "" } }
        let rows = Report.Rows(of: Array(zip(texts, encodings))) { text, encoding in
            [
                .text(text), .integers(encoding.ids.map(Int.init)), .texts(pieces(encoding)),
                .list(encoding.ids.map { .flag(tokenizer.specialIDs.contains($0)) }),
            ]
        }
        var lines: [String] = []
        for (text, encoding) in zip(texts, encodings) {
            lines.append(text.escapingControlCharacters)
            lines.append("  " + pieces(encoding).map(\.escapingControlCharacters).joined(separator: " "))
            lines.append("  " + encoding.ids.map(String.init).joined(separator: " "))
        }
        let count = encodings.reduce(0) { $0 + $1.count }
        lines.append(
            "\(texts.count.grouped) \(texts.count == 1 ? "text" : "texts"), \(count.grouped) pieces of "
                + "\(tokenizer.vocabularyCount.grouped), "
                + "\(encodings.reduce(0) { $0 + $1.ids.count(where: tokenizer.specialIDs.contains) }.grouped) special")
        return Report(
            title: place.string, provenance: [.init("tokenizer", .text(place.string))],
            sections: [
                .table(
                    .init("texts", ["text", "ids", "pieces", "special"].map { .init($0, nil) }, rows: rows)),
                .text(lines),
            ])
    }
}
