/// Texts as a network sees them: numbers of words in a vocabulary, all texts padded to one length.
public struct TokenSet: Sendable {
    /// `[N, T]`, row-major.
    public let ids: [Int32]
    /// `[N, T]`: 1 for words, 0 for padding, which nothing looks at.
    public let mask: [Float]
    /// `[N, T]`: what kind of text each word belongs to; nil for 0 everywhere.
    public let types: [Int32]?
    /// The number of texts, N.
    public let count: Int
    /// The number of words of each with padding, T.
    public let length: Int

    /// Takes texts as row-major arrays.
    ///
    /// - Parameter isWord: false for padding; nil where there is none.
    /// - Throws: `NetworkError` `network.bad_tokens` when the set is empty, arrays do not fill the shape, a number is negative, or a
    ///   text is nothing but padding.
    public init(
        ids: [Int32], isWord: [Bool]? = nil, types: [Int32]? = nil, count: Int, length: Int
    ) throws(NetworkError) {
        guard count > 0, length > 0 else {
            throw NetworkError(.badTokens, "the texts have the shape [\(count), \(length)], which is empty")
        }
        let (product, overflow) = count.multipliedReportingOverflow(by: length)
        let expected = overflow ? .max : product
        for (name, found) in [
            ("ids", ids.count), ("mask", isWord?.count ?? expected), ("types", types?.count ?? expected),
        ]
        where found != expected {
            throw NetworkError(
                .badTokens, "texts of the shape [\(count), \(length)] need \(expected) \(name), but there are \(found)")
        }
        if let place = ids.firstIndex(where: { $0 < 0 }) ?? types?.firstIndex(where: { $0 < 0 }) {
            throw NetworkError(.badTokens, "a number of text \(place / length) at word \(place % length) is negative")
        }
        if let isWord, let text = (0..<count).first(where: { !isWord[$0 * length..<($0 + 1) * length].contains(true) })
        {
            throw NetworkError(.badTokens, "text \(text) is nothing but padding: its mask is 0 everywhere")
        }
        self.ids = ids
        mask = isWord?.map { $0 ? 1 : 0 } ?? [Float](repeating: 1, count: expected)
        self.types = types
        self.count = count
        self.length = length
    }

    /// The bytes that the texts are kept in.
    package var byteCount: Int { 4 * ids.count * (types == nil ? 2 : 3) }

    /// The texts without the words at the end that are padding in all of them, which would be computed for nothing.
    package func withoutSharedPadding() -> TokenSet {
        let kept = (0..<length).last { word in (0..<count).contains { mask[$0 * length + word] != 0 } } ?? 0
        guard kept + 1 < length else { return self }
        func cut<Value>(_ values: [Value]) -> [Value] {
            (0..<count).flatMap { values[$0 * length..<$0 * length + kept + 1] }
        }
        return TokenSet(ids: cut(ids), mask: cut(mask), types: types.map(cut), count: count, length: kept + 1)
    }

    /// At most so many of the texts, evenly spread over all of them.
    func spread(atMost limit: Int) -> TokenSet {
        guard count > limit, limit > 0 else { return self }
        func chosen<Value>(_ values: [Value]) -> [Value] {
            spreadRows(of: count, atMost: limit).flatMap { values[$0 * length..<($0 + 1) * length] }
        }
        return TokenSet(ids: chosen(ids), mask: chosen(mask), types: types.map(chosen), count: limit, length: length)
    }

    private init(ids: [Int32], mask: [Float], types: [Int32]?, count: Int, length: Int) {
        (self.ids, self.mask, self.types, self.count, self.length) = (ids, mask, types, count, length)
    }
}
