import Checkpoints
public import SystemPackage
import TensorCore

/// A tokenizer of Hugging Face: how texts become the numbers that a model takes, to the last number as the `tokenizers` library has them.
///
/// It is a value without state, so any number of threads may encode texts with it at once. Texts are encoded one by one: pairs of texts and
/// places of pieces in the text are not told.
public struct Tokenizer: Sendable {
    private let model: any PieceModel
    private let added: AddedTokens
    private let normalizer: Normalizer?
    private let preTokenizer: PreTokenizer?
    private let postProcessor: PostProcessor
    /// How long texts may be; nil does not cut them.
    public private(set) var truncation: Truncation?
    /// How texts are brought to one length; nil leaves them as they are.
    public private(set) var padding: Padding?
    /// The pieces of added tokens by number.
    private let addedPieces: [Int32: String]
    /// Numbers are below this.
    public let vocabularyCount: Int
    /// The numbers of special tokens, such as `[CLS]` and `</s>`.
    public let specialIDs: Set<Int32>

    /// Reads a `tokenizer.json`.
    ///
    /// - Throws: `IOError`; `FormatError` when the file is no strict JSON; `TokenizerError` `tokenizer.bad_file`, `tokenizer.unsupported` or
    ///   `tokenizer.bad_pattern` with the place in the file.
    public init(reading path: FilePath) throws {
        try self.init(try MappedFile(path).withUnsafeBytes { Array($0) }, file: path)
    }

    /// Reads the bytes of a `tokenizer.json`.
    ///
    /// - Parameter file: named in errors.
    /// - Throws: as `init(reading:)`, but for `IOError`.
    public init(_ json: [UInt8], file: FilePath) throws {
        let root = Component(value: try JSONDocument.parse(json, file: file), path: "", file: file)
        if let version = root["version"], try version.string() != "1.0" {
            throw version.error(.unsupported, "is \(try version.string().debugDescription), and 1.0 is known")
        }
        let normalizer = try root["normalizer"].map(Normalizer.init)
        let model = try pieceModel(try root.required("model"))
        let added =
            try root["added_tokens"].map {
                try AddedTokens($0, vocabulary: model.vocabulary, normalizer: normalizer)
            } ?? AddedTokens()
        try self.init(
            model: model, added: added, normalizer: normalizer,
            preTokenizer: try root["pre_tokenizer"].map(PreTokenizer.init),
            postProcessor: try root["post_processor"].map(PostProcessor.init) ?? PostProcessor(),
            truncation: try root["truncation"].map(Truncation.init),
            padding: try root["padding"].map(Padding.init), file: file)
    }

    /// Puts a tokenizer together.
    ///
    /// - Throws: `TokenizerError` `tokenizer.bad_file` when special tokens have numbers that no piece has, `tokenizer.bad_length`.
    private init(
        model: any PieceModel, added: AddedTokens, normalizer: Normalizer?, preTokenizer: PreTokenizer?,
        postProcessor: PostProcessor, truncation: Truncation?, padding: Padding?, file: FilePath
    ) throws(TokenizerError) {
        self.model = model
        self.added = added
        self.normalizer = normalizer
        self.preTokenizer = preTokenizer
        self.postProcessor = postProcessor
        self.padding = padding
        addedPieces = Dictionary(added.tokens.map { ($0.id, $0.content) }) { $1 }
        specialIDs = Set(added.tokens.filter(\.isSpecial).map(\.id))
        vocabularyCount = max(model.vocabulary.pieces.count, Int((addedPieces.keys.max() ?? -1) + 1))
        for (id, purpose) in postProcessor.ids.map({ ($0, "post_processor") })
            + (padding.map { [($0.id, "padding")] } ?? []) where id >= vocabularyCount
        {
            throw TokenizerError(
                .badFile, "\(purpose) has the piece \(id), and the vocabulary ends at \(vocabularyCount - 1)",
                file: file)
        }
        if let truncation, truncation.length < postProcessor.addedCount {
            throw Self.tooShort(truncation.length, for: postProcessor, file: file)
        }
        self.truncation = truncation
    }

    private static func tooShort(
        _ length: Int, for processor: PostProcessor, file: FilePath? = nil
    ) -> TokenizerError {
        TokenizerError(
            .badLength,
            "texts of at most \(length) pieces have no room for \(processor.addedCount) special tokens", file: file)
    }

    /// The same tokenizer with another limit to the length of texts.
    ///
    /// - Parameters:
    ///   - length: the most pieces, with special tokens; nil sets no limit.
    /// - Throws: `TokenizerError` `tokenizer.bad_length` when special tokens do not fit.
    public func truncated(to length: Int?) throws(TokenizerError) -> Tokenizer {
        var tokenizer = self
        guard let length else {
            tokenizer.truncation = nil
            return tokenizer
        }
        guard length >= postProcessor.addedCount else { throw Self.tooShort(length, for: postProcessor) }
        tokenizer.truncation = Truncation(length: length, side: truncation?.side ?? .right)
        return tokenizer
    }

    /// The same tokenizer with other padding.
    ///
    /// - Parameter padding: nil leaves texts as long as they are.
    public func padded(_ padding: Padding?) -> Tokenizer {
        var tokenizer = self
        tokenizer.padding = padding
        return tokenizer
    }

    /// The piece that a number stands for; nil when it stands for none.
    public func piece(of id: Int32) -> String? {
        if let piece = addedPieces[id] { return piece }
        let pieces = model.vocabulary.pieces
        return pieces.indices.contains(Int(id)) ? pieces[Int(id)] : nil
    }
}

// MARK: - Encoding

extension Tokenizer {
    /// Encodes a text: its pieces with special tokens, cut and padded as the tokenizer says.
    ///
    /// - Throws: `TokenizerError` `tokenizer.unknown_piece` or `tokenizer.pattern_limit`.
    public func encode(_ text: String, addSpecialTokens: Bool = true) throws(TokenizerError) -> Encoding {
        var text = text
        var result: Result<Encoding, TokenizerError>?
        text.withUTF8 { bytes in
            do throws(TokenizerError) {
                result = .success(try encoding(of: bytes, addSpecialTokens: addSpecialTokens))
            } catch { result = .failure(error) }
        }
        return try result?.get() ?? Encoding()
    }

    /// Encodes a text that is given as bytes of UTF-8.
    ///
    /// - Throws: `TokenizerError` `tokenizer.bad_text` with the byte offset where they are not valid UTF-8; else as the other.
    public func encode(
        utf8 bytes: UnsafeBufferPointer<UInt8>, addSpecialTokens: Bool = true
    ) throws(TokenizerError) -> Encoding {
        do { _ = try UTF8Span(validating: bytes.span) } catch {
            throw TokenizerError(
                .badText, "the text is not valid UTF-8", byteOffset: error.byteOffsets.lowerBound)
        }
        return try encoding(of: bytes, addSpecialTokens: addSpecialTokens)
    }

    /// Brings encoded texts to one length, as the tokenizer says; without padding they stay as they are.
    public func pad(_ batch: inout [Encoding]) { padding?.apply(to: &batch) }

    private func encoding(
        of bytes: UnsafeBufferPointer<UInt8>, addSpecialTokens: Bool
    ) throws(TokenizerError) -> Encoding {
        var ids = try pieceIDs(of: bytes)
        truncation?.apply(to: &ids, leavingRoomFor: addSpecialTokens ? postProcessor.addedCount : 0)
        var batch = [postProcessor.encoding(of: ids, addSpecialTokens: addSpecialTokens)]
        pad(&batch)
        return batch[0]
    }

    /// The numbers of the pieces of a text, without special tokens.
    private func pieceIDs(of text: UnsafeBufferPointer<UInt8>) throws(TokenizerError) -> [Int32] {
        var segments = try segments(of: text)
        try preTokenizer?.apply(to: &segments)
        guard segments.bytes.count < Int(Int32.max) else {
            throw TokenizerError(
                .badText, "the text has \(segments.bytes.count) bytes once it is normalised, which is too long")
        }
        var ids: [Int32] = []
        var workspace = PieceWorkspace()
        try segments.bytes.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
            for part in segments.parts {
                if part.token >= 0 {
                    ids.append(part.token)
                } else {
                    try model.append(
                        UnsafeBufferPointer(rebasing: bytes[part.start..<part.end]), to: &ids, with: &workspace)
                }
            }
        }
        return ids
    }

    /// A text with its added tokens found and the rest normalised.
    private func segments(of text: UnsafeBufferPointer<UInt8>) throws(TokenizerError) -> Segments {
        var segments = Segments()
        try added.splitVerbatim(text) { (range, token) throws(TokenizerError) in
            if let token {
                segments.parts.append(.init(start: 0, end: 0, token: token.id, isAtStart: false))
                return
            }
            var stretch = NormalizedText(bytes: Array(text[range]), isAtStart: range.lowerBound == 0)
            try normalizer?.apply(to: &stretch)
            let base = segments.bytes.count
            segments.bytes += stretch.bytes
            try stretch.bytes.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
                try added.splitNormalized(bytes) { (range, token) throws(TokenizerError) in
                    segments.parts.append(
                        .init(
                            start: base + range.lowerBound, end: base + range.upperBound, token: token?.id ?? -1,
                            isAtStart: stretch.isAtStart && range.lowerBound == 0))
                }
            }
        }
        return segments
    }
}
