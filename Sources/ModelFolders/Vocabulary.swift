import Checkpoints
import SystemPackage
import TensorCore

/// The tokens of a model and their numbers.
package enum Vocabulary: Equatable {
    /// Of a `tokenizer.json`, by the tokens' bytes.
    case tokens([[UInt8]: Int])
    /// Of a `tokenizer.model`, whose bytes are compared as they are.
    case file([UInt8])

    /// Nil when there is no tokenizer, or one of a kind that is not known.
    package init?(ofModelIn folder: FilePath) throws {
        let json = folder.appending("tokenizer.json")
        if fileExists(json) {
            let text = try MappedFile(json).withUnsafeBytes { Array($0) }
            guard let tokens = Self.tokens(of: try JSONDocument.parse(text, file: json)) else { return nil }
            self = .tokens(tokens)
            return
        }
        let model = folder.appending("tokenizer.model")
        guard fileExists(model) else { return nil }
        self = .file(try MappedFile(model).withUnsafeBytes { Array($0) })
    }

    private static func tokens(of tokenizer: JSONValue) -> [[UInt8]: Int]? {
        guard let vocabulary = tokenizer["model"]?["vocab"] else { return nil }
        var tokens: [[UInt8]: Int] = [:]
        if let members = vocabulary.object {
            for member in members { tokens[Array(member.key.utf8)] = member.value.int }
        } else if let elements = vocabulary.array {
            // Unigram: pairs of a token and its logarithmic probability, in the order of their numbers.
            for (number, pair) in elements.enumerated() {
                guard let token = pair.array?.first(where: { _ in true })?.string else { return nil }
                tokens[Array(token.utf8)] = number
            }
        } else {
            return nil
        }
        if let added = tokenizer["added_tokens"]?.array {
            for token in added {
                if let text = token["content"]?.string { tokens[Array(text.utf8)] = token["id"]?.int }
            }
        }
        return tokens
    }
}
