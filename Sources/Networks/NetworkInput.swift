/// What a network takes.
public enum NetworkInput: Sendable, Hashable {
    /// Images of one size.
    case images(ImageShape)
    /// Texts as numbers of words in a vocabulary.
    case tokens(TokenShape)

    /// What there is one of, and what there are several of, for messages.
    public var noun: (one: String, many: String) {
        switch self {
        case .images: ("image", "images")
        case .tokens: ("text", "texts")
        }
    }

    /// Checks inputs.
    ///
    /// - Throws: `NetworkError` `network.bad_images` when the images are not of the size that is taken; `network.bad_tokens` for a text
    ///   that is too long, or a number outside of its table; either when the inputs are of another kind.
    public func check(_ inputs: InputSet) throws(NetworkError) {
        switch (self, inputs) {
        case (.images(let shape), .images(let images)):
            guard images.shape == shape else {
                throw NetworkError(
                    .badImages, "the images are \(images.shape), but the model takes \(shape)",
                    hint: "sizes are [channels, height, width]; resize the images, or give the right config")
            }
        case (.images(let shape), .stream(let stream)):
            guard stream.shape == shape else {
                throw NetworkError(
                    .badImages, "the images are \(stream.shape), but the model takes \(shape)",
                    hint: "sizes are [channels, height, width]; give the right config")
            }
        case (.tokens(let shape), .tokens(let tokens)): try shape.check(tokens)
        case (.images(let shape), .tokens):
            throw NetworkError(.badImages, "there are texts, but the model takes images \(shape)")
        case (.tokens, .images), (.tokens, .stream):
            throw NetworkError(.badTokens, "there are images, but the model takes texts")
        }
    }
}

/// The size of an image.
public struct ImageShape: Sendable, Hashable, Encodable, CustomStringConvertible {
    public let channels: Int
    public let height: Int
    public let width: Int

    public init(channels: Int, height: Int, width: Int) {
        (self.channels, self.height, self.width) = (channels, height, width)
    }

    /// The numbers in one image; `Int.max` when they cannot be counted.
    public var elementCount: Int {
        [channels, height, width].reduce(1) { product, size in
            let (next, overflow) = product.multipliedReportingOverflow(by: size)
            return overflow ? .max : next
        }
    }

    /// As in "[3, 224, 224]".
    public var description: String { "[\(channels), \(height), \(width)]" }
}

/// What texts a network takes.
public struct TokenShape: Sendable, Hashable {
    /// Words are numbered from 0 to one less than this.
    public let vocabulary: Int
    /// The most words of a text.
    public let longest: Int
    /// The number of kinds of text that a word may belong to; 0 where the network makes no difference.
    public let typeCount: Int

    public init(vocabulary: Int, longest: Int, typeCount: Int) {
        (self.vocabulary, self.longest, self.typeCount) = (vocabulary, longest, typeCount)
    }

    func check(_ tokens: TokenSet) throws(NetworkError) {
        guard tokens.length <= longest else {
            throw NetworkError(
                .badTokens, "the texts have \(tokens.length) words, but the model takes at most \(longest)",
                hint: "cut them, padding included")
        }
        if let place = tokens.ids.firstIndex(where: { $0 >= vocabulary }) {
            throw NetworkError(
                .badTokens,
                "word \(place % tokens.length) of text \(place / tokens.length) has the number \(tokens.ids[place]), but the "
                    + "vocabulary has \(vocabulary)")
        }
        if typeCount > 0, let place = tokens.types?.firstIndex(where: { $0 >= typeCount }) {
            throw NetworkError(
                .badTokens,
                "word \(place % tokens.length) of text \(place / tokens.length) has the type \(tokens.types?[place] ?? 0), but "
                    + "the model knows \(typeCount)")
        }
    }
}
