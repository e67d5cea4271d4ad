import SystemPackage
import TensorCore
import Tokenization

extension BenchmarkCase {
    /// Lines of text through tokenizers, on one thread: what the tokenizers library does with RAYON_NUM_THREADS=1.
    static let tokenize = BenchmarkCase(
        name: "tokenize", question: "How many lines and megabytes of text become pieces in a second, on one thread?",
        options: "[--tokenizer tokenizer.json] [--texts FILE] [--megabytes 4] [--runs 5]"
    ) { options in
        let file = FilePath(options.text("texts", default: "docs/interference.md"))
        let lines = try TextLines(reading: file).all
        let byteCount = try options.number("megabytes", default: 4) * 1_000_000
        var texts: [String] = []
        var size = 0
        while size < byteCount, !lines.isEmpty {
            let line = lines[texts.count % lines.count]
            texts.append(line)
            size += line.utf8.count + 1
        }
        let places =
            options.text("tokenizer", default: "").isEmpty
            ? ["wordpiece", "bytelevel", "metaspace", "unigram"].map { "Fixtures/tokenizers/\($0).json" }
            : [options.text("tokenizer", default: "")]
        for place in places {
            let tokenizer = try Tokenizer(reading: FilePath(place))
            var pieceCount = 0
            let series = try Series(runs: try options.number("runs", default: 5)) {
                pieceCount = 0
                for text in texts { pieceCount += try tokenizer.encode(text).count }
            }
            let seconds = series.median.wallSeconds
            print(
                "\(place): \(fixed(Double(size) / seconds / 1e6, 2)) MB/s, \(fixed(Double(texts.count) / seconds / 1e3, 0)) thousand "
                    + "lines a second (median; fastest \(fixed(Double(size) / series.best.wallSeconds / 1e6, 2)) MB/s), "
                    + "\(pieceCount) pieces")
        }
    }
}
