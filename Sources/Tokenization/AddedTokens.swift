/// Tokens that are found in a text before the model sees it.
struct AddedTokens: Sendable {
    /// One of them.
    struct Token: Sendable {
        let content: String
        let id: Int32
        let isSpecial: Bool
        fileprivate let isSingleWord: Bool
        fileprivate let stripsLeft: Bool
        fileprivate let stripsRight: Bool
        fileprivate let isNormalized: Bool
    }

    private(set) var tokens: [Token] = []
    /// Those that are looked for in the text as it is, and in the normalised text.
    private var verbatim = Finder()
    private var normalized = Finder()

    /// Begins without tokens.
    init() {}

    /// Reads the tokens.
    ///
    /// A number is that of the piece of the model's vocabulary, and the next free one where there is none; what the file says is not asked, as
    /// in the library.
    init(
        _ component: Component, vocabulary: PieceVocabulary, normalizer: Normalizer?
    ) throws(TokenizerError) {
        var nextID = Int32(vocabulary.count)
        var places: [String: Int] = [:]
        var entries: [(Token, Component)] = []
        for entry in try component.elements() {
            let content = try entry.required("content").string()
            guard !content.isEmpty else { continue }
            let id: Int32
            if let place = places[content] {
                id = entries[place].0.id
            } else if let known = vocabulary.id(of: content.utf8) {
                id = known
            } else {
                id = nextID
                nextID += 1
            }
            let token = Token(
                content: content, id: id, isSpecial: try entry.required("special").flag(),
                isSingleWord: try entry.required("single_word").flag(),
                stripsLeft: try entry.required("lstrip").flag(), stripsRight: try entry.required("rstrip").flag(),
                isNormalized: try entry.required("normalized").flag())
            _ = try entry["id"]?.id()
            if let place = places[content] {
                entries[place] = (token, entry)
            } else {
                places[content] = entries.count
                entries.append((token, entry))
            }
        }
        for (place, (token, entry)) in entries.enumerated() {
            tokens.append(token)
            guard token.isNormalized else {
                try verbatim.insert(Array(token.content.utf8), place, entry)
                continue
            }
            var text = NormalizedText(bytes: Array(token.content.utf8), isAtStart: true)
            try normalizer?.apply(to: &text)
            try normalized.insert(text.bytes, place, entry)
        }
    }

    /// Tells the stretches of a text as it was given, in order, each with the token that it is.
    func splitVerbatim(
        _ text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>, Token?) throws(TokenizerError) -> Void
    ) throws(TokenizerError) { try split(text, verbatim, body) }

    /// Tells the stretches of a normalised text.
    func splitNormalized(
        _ text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>, Token?) throws(TokenizerError) -> Void
    ) throws(TokenizerError) { try split(text, normalized, body) }

    private func split(
        _ text: UnsafeBufferPointer<UInt8>, _ finder: Finder,
        _ body: (Range<Int>, Token?) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        var end = 0
        var position = 0
        while let match = finder.next(in: text, from: position) {
            position = match.range.upperBound
            let token = tokens[match.place]
            var range = match.range
            if token.isSingleWord, !isSingleWord(range, of: text) { continue }
            if token.stripsLeft { range = max(end, startOfSpace(before: range.lowerBound, text))..<range.upperBound }
            if token.stripsRight { range = range.lowerBound..<endOfSpace(after: range.upperBound, text) }
            if end < range.lowerBound { try body(end..<range.lowerBound, nil) }
            try body(range, token)
            end = range.upperBound
        }
        if end < text.count { try body(end..<text.count, nil) }
    }

    /// Whether neither neighbour is a letter or a numeral.
    private func isSingleWord(_ range: Range<Int>, of text: UnsafeBufferPointer<UInt8>) -> Bool {
        if range.lowerBound > 0,
            ScalarClass.of(UTF8Bytes.scalar(text, endingAt: range.lowerBound).0).contains(.word)
        {
            return false
        }
        return range.upperBound == text.count
            || !ScalarClass.of(UTF8Bytes.scalar(text, at: range.upperBound).0).contains(.word)
    }

    private func startOfSpace(before position: Int, _ text: UnsafeBufferPointer<UInt8>) -> Int {
        var start = position
        while start > 0 {
            let (scalar, length) = UTF8Bytes.scalar(text, endingAt: start)
            guard ScalarClass.of(scalar).contains(.whiteSpace) else { break }
            start -= length
        }
        return start
    }

    private func endOfSpace(after position: Int, _ text: UnsafeBufferPointer<UInt8>) -> Int {
        var end = position
        while end < text.count {
            let (scalar, length) = UTF8Bytes.scalar(text, at: end)
            guard ScalarClass.of(scalar).contains(.whiteSpace) else { break }
            end += length
        }
        return end
    }

    /// Finds the first of several texts in another, and of those that begin there the longest.
    private struct Finder: Sendable {
        private var trie = PieceTrie()
        private var isFirstByte = [Bool](repeating: false, count: 256)
        private var isEmpty = true

        mutating func insert(_ text: [UInt8], _ place: Int, _ component: Component) throws(TokenizerError) {
            guard let first = text.first else {
                throw component.error(.badFile, "is nothing once it is normalised")
            }
            guard try trie.insert(text, id: Int32(truncatingIfNeeded: place)) == nil else {
                throw component.error(.badFile, "is the same text as another token once both are normalised")
            }
            isFirstByte[Int(first)] = true
            isEmpty = false
        }

        func next(in text: UnsafeBufferPointer<UInt8>, from start: Int) -> (range: Range<Int>, place: Int)? {
            guard !isEmpty else { return nil }
            return isFirstByte.withUnsafeBufferPointer { isFirstByte in
                for position in start..<max(start, text.count) where isFirstByte[Int(text[position])] {
                    if let match = trie.longest(in: text, from: position) {
                        return (position..<match.end, Int(match.id))
                    }
                }
                return nil
            }
        }
    }
}
