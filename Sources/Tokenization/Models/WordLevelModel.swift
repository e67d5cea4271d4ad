/// Words that are pieces as they are.
struct WordLevelModel: PieceModel {
    let vocabulary: PieceVocabulary
    private let unknown: String
    private let unknownID: Int32?

    /// Reads vocabulary and unknown piece.
    init(_ component: Component) throws(TokenizerError) {
        vocabulary = try PieceVocabulary(try component.required("vocab"))
        unknown = try component.required("unk_token").string()
        unknownID = vocabulary.id(of: unknown.utf8)
    }

    func append(
        _ word: UnsafeBufferPointer<UInt8>, to ids: inout [Int32], with workspace: inout PieceWorkspace
    ) throws(TokenizerError) {
        guard let id = vocabulary.id(of: word) ?? unknownID else { throw .unknown(word, missing: unknown) }
        ids.append(id)
    }
}
