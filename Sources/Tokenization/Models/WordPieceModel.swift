/// Words cut into the longest pieces from the left, as BERT does.
struct WordPieceModel: PieceModel {
    let vocabulary: PieceVocabulary
    private let unknown: String
    private let unknownID: Int32?
    /// Where the pieces begin that go on within a word.
    private let continuation: PieceTrie.Node?
    private let characterLimit: Int

    /// Reads vocabulary, unknown piece, the prefix of what continues a word, and the longest word that is tried.
    init(_ component: Component) throws(TokenizerError) {
        vocabulary = try PieceVocabulary(try component.required("vocab"))
        unknown = try component.required("unk_token").string()
        unknownID = vocabulary.id(of: unknown.utf8)
        continuation = vocabulary.trie.node(after: try component.required("continuing_subword_prefix").bytes())
        characterLimit = try component.required("max_input_chars_per_word").count()
    }

    func append(
        _ word: UnsafeBufferPointer<UInt8>, to ids: inout [Int32], with workspace: inout PieceWorkspace
    ) throws(TokenizerError) {
        let start = ids.count
        if word.count <= characterLimit || word.count(where: { $0 & 0xC0 != 0x80 }) <= characterLimit {
            var position = 0
            var node: PieceTrie.Node? = PieceTrie.root
            while position < word.count, let from = node,
                let piece = vocabulary.trie.longest(in: word, from: position, after: from)
            {
                ids.append(piece.id)
                position = piece.end
                node = continuation
            }
            guard position < word.count else { return }
            ids.removeSubrange(start...)
        }
        guard let unknownID else { throw .unknown(word, missing: unknown) }
        ids.append(unknownID)
    }
}
