import Checkpoints
import Networks
import Tokenization

/// Texts of random pieces of a vocabulary: each a uniform length, of uniformly drawn pieces, the first one that
/// begins a word, in the frame that the tokenizer puts around a text.
///
/// - Source: `aux_random` of the text suite was made so; docs/study.md has what it gains.
struct RandomTexts {
    private let pieces: [Int32]
    /// Those that begin a word.
    private let beginnings: [Int32]
    /// What stands before and after a text.
    private let frame: (before: [Int32], after: [Int32])
    private let padding: Int32
    private let longest: Int

    /// With 512 positions most texts would be far longer than people's: our choice.
    private static let lengthLimit = 64

    /// Looks at the vocabulary of a model.
    ///
    /// - Throws: what reading the tokenizer throws; `input.missing_data` when it leaves no piece.
    init(_ backbone: Backbone, _ shape: TokenShape) throws {
        let tokenizer = try backbone.tokenizer()
        let special = Set(tokenizer.specialIDs)
        pieces = (0..<min(tokenizer.vocabularyCount, shape.vocabulary)).compactMap { id in
            guard !special.contains(Int32(id)), let piece = tokenizer.piece(of: Int32(id)) else { return nil }
            return piece.hasPrefix("[unused") ? nil : Int32(id)
        }
        let texts = pieces.map { tokenizer.piece(of: $0) ?? "" }
        let marked = zip(pieces, texts).filter { $0.1.hasPrefix("▁") || $0.1.hasPrefix("Ġ") }
        let whole = marked.isEmpty ? zip(pieces, texts).filter { !$0.1.hasPrefix("##") } : marked
        beginnings = whole.isEmpty ? pieces : whole.map(\.0)
        let ids = try tokenizer.padded(nil).encode("").ids
        let content = ids.filter(special.contains)
        frame = (Array(content.prefix((content.count + 1) / 2)), Array(content.dropFirst((content.count + 1) / 2)))
        padding = tokenizer.paddingID
        longest = min(shape.longest, tokenizer.truncation?.length ?? .max, Self.lengthLimit) - content.count
        guard !pieces.isEmpty, longest > 0 else {
            throw InputError(
                .missingData, "the tokenizer leaves no pieces to make texts of", file: backbone.tokenizerPath)
        }
    }

    /// The number, the mask and, on the way, the flag of every piece.
    var byteCountEach: Int { 9 * length }

    /// With the frame.
    private var length: Int { frame.before.count + longest + frame.after.count }

    func texts(count: Int, seed: UInt64) throws -> TokenSet {
        let (numbers, overflow) = count.multipliedReportingOverflow(by: length)
        try requireMemory(count: overflow || numbers > .max / 3 ? .max : 3 * numbers, of: Int32.self)
        var ids = [Int32](repeating: padding, count: numbers)
        var isWord = [Bool](repeating: false, count: numbers)
        for number in 0..<count {
            var draws = RandomDraws(seed: seed, item: number)
            let words = (0..<draws.whole(1...longest)).map { draws.one(of: $0 == 0 ? beginnings : pieces) }
            let text = frame.before + words + frame.after
            for (place, id) in text.enumerated() {
                ids[number * length + place] = id
                isWord[number * length + place] = true
            }
        }
        return try TokenSet(ids: ids, isWord: isWord, count: count, length: length)
    }
}
