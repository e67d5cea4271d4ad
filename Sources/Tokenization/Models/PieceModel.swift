/// A model: how a part of a text becomes pieces.
protocol PieceModel: Sendable {
    var vocabulary: PieceVocabulary { get }

    /// Adds the numbers of the pieces of a word, which is not empty.
    ///
    /// - Throws: `TokenizerError` `tokenizer.unknown_piece` where the vocabulary has no piece, and none for what is unknown.
    func append(
        _ word: UnsafeBufferPointer<UInt8>, to ids: inout [Int32], with workspace: inout PieceWorkspace
    ) throws(TokenizerError)
}

/// Memory that models use again for every word.
struct PieceWorkspace {
    var symbols: [BytePairModel.Symbol] = []
    var heap: [UInt64] = []
    var paths: [UnigramModel.Path] = []
    var ends: [Int] = []
}

extension TokenizerError {
    /// A word without a piece.
    static func unknown(_ word: some Sequence<UInt8>, missing unknown: String?) -> TokenizerError {
        let start = String(decoding: Array(word.prefix(80)), as: UTF8.self)
        return TokenizerError(
            .unknownPiece,
            "the vocabulary has no pieces for \(start.debugDescription), and "
                + (unknown.map { "lacks \($0.debugDescription), which stands for what is unknown" }
                    ?? "nothing that stands for what is unknown"))
    }
}

/// Reads the model of a tokenizer's file.
func pieceModel(_ component: Component) throws(TokenizerError) -> any PieceModel {
    switch try modelType(component) {
    case "WordPiece": return try WordPieceModel(component)
    case "WordLevel": return try WordLevelModel(component)
    case "BPE": return try BytePairModel(component)
    case "Unigram": return try UnigramModel(component)
    case let type: throw component.error(.unsupported, "is of the type \(type.debugDescription), which is not known")
    }
}

/// What a model calls itself; older files leave it out.
private func modelType(_ component: Component) throws(TokenizerError) -> String {
    if let type = component["type"] { return try type.string() }
    if component["merges"] != nil { return "BPE" }
    if try component.required("vocab").value.kind == .array { return "Unigram" }
    return component["continuing_subword_prefix"] != nil ? "WordPiece" : "WordLevel"
}
