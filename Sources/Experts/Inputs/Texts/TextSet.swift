import Checkpoints
import Networks
import SystemPackage
import TensorCore
import Tokenization
import Work

/// The texts of a file as a network takes them: in pieces of the model's vocabulary, cut and padded as its tokenizer says.
struct TextSet {
    let tokens: TokenSet

    /// The lines that a worker takes at a time.
    private static let chunkSize = 256

    /// Cuts texts into pieces.
    ///
    /// - Throws: `input.bad_tokenizer` when there is none, or it has pieces that the model does not know; `tokenizer.*`; `io.memory`.
    init(_ file: TextFile, _ shape: TokenShape, for backbone: Backbone, in context: Context) throws {
        let own = try backbone.tokenizer()
        let tokenizer = try own.truncated(to: min(shape.longest, own.truncation?.length ?? .max)).padded(nil)
        let (lines, path, progress) = (file.lines, file.path, context.progress)
        progress.begin("reading texts of \(path.string)", total: lines.count, unit: .items("texts"))
        defer { progress.end() }
        let chunkCount = (lines.count + Self.chunkSize - 1) / Self.chunkSize
        var encodings = try parallelMap(count: chunkCount, threads: context.budget.threads) { chunk in
            let range = chunk * Self.chunkSize..<min(lines.count, (chunk + 1) * Self.chunkSize)
            defer { progress.advance(by: range.count) }
            return try lines[range].map { line in
                do throws(TokenizerError) { return try tokenizer.encode(line.text) } catch {
                    throw InputError(error, in: path, item: "line \(line.number)")
                }
            }
        }.flatMap { $0 }
        let length = encodings.map(\.count).max() ?? 0
        try context.requireRoom(
            for: "\(lines.count) texts of \(path.string)", count: lines.count, byteCountEach: 24 * length)
        let (numbers, overflow) = lines.count.multipliedReportingOverflow(by: length)
        try requireMemory(count: overflow || numbers > .max / 3 ? .max : 3 * numbers, of: Int32.self)
        // Padding on the right in all texts would be cut off again, and a file may ask for any length.
        var padding = own.padding ?? Padding(.longest, id: own.paddingID)
        if padding.side == .right { (padding.target, padding.multiple) = (.longest, nil) }
        if case .fixed(let fixed) = padding.target, fixed > shape.longest { padding.target = .fixed(shape.longest) }
        tokenizer.padded(padding).pad(&encodings)
        do throws(NetworkError) {
            tokens = try TokenSet(
                ids: encodings.flatMap(\.ids), isWord: encodings.flatMap { $0.attentionMask.map { $0 != 0 } },
                types: shape.typeCount > 0 ? encodings.flatMap(\.types) : nil, count: lines.count,
                length: encodings[0].count
            ).withoutSharedPadding()
        } catch {
            throw InputError(.badText, "\(path.string): \(error.message)", file: path, hint: error.hint)
        }
    }
}

extension Tokenizer {
    /// What texts are padded with: nothing looks at it.
    var paddingID: Int32 {
        padding?.id ?? specialIDs.sorted().first { ["[PAD]", "<pad>"].contains(piece(of: $0)) } ?? 0
    }
}
