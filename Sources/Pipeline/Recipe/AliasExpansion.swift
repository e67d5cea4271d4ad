import SystemPackage
import TensorCore
import Yams

/// What the aliases of a file come to when each is replaced by what it names: a few lines can name as much as no memory holds.
///
/// Yams replaces aliases while it reads, shares what they name, and then walks all of it where it is a key. It has no events that
/// would come before. So the file is read once with its aliases turned into plain scalars, which stand in the same places.
struct AliasExpansion {
    /// Values that aliases may add; the longest recipes have some hundred.
    private static let limit = 100_000
    /// What `*` is turned into: a character that has no meaning in YAML, and in recipes none at all.
    private static let mark: Unicode.Scalar = "\u{E000}"

    private struct Target {
        let valueCount: Int
        let isText: Bool
    }

    private let file: FilePath
    private var targets: [String: Target] = [:]
    private var addedCount = 0

    /// - Throws: `RecipeError` at the alias that adds too much, or where an alias makes a key of something else than a text;
    ///   `YamlError`.
    static func check(_ text: String, file: FilePath) throws {
        guard text.utf8.contains(UInt8(ascii: "*")), text.utf8.contains(UInt8(ascii: "&")) else { return }
        let parser = try Parser(yaml: text.replacing("*", with: mark))
        var expansion = AliasExpansion(file: file)
        // Anchors live as long as the parser, and hold across documents.
        while let document = try parser.nextRoot() { _ = try expansion.valueCount(of: document) }
        withExtendedLifetime(parser) {}
    }

    /// The parser's words about the text as it was.
    static func restore(_ problem: String) -> String { problem.replacing(mark, with: "*") }

    private init(file: FilePath) { self.file = file }

    /// How many values a node is with its aliases replaced.
    private mutating func valueCount(of node: Node) throws(RecipeError) -> Int {
        var count = 1
        switch node {
        case .scalar(let scalar):
            for target in named(by: scalar) {
                count += target.valueCount
                addedCount += target.valueCount
            }
            guard addedCount <= Self.limit else {
                throw RecipeError(
                    .syntax, "the aliases up to here stand for more than \(Self.limit) values", file: file,
                    line: node.mark?.line, hint: "write out what is needed")
            }
        case .sequence(let values):
            for value in values { count += try valueCount(of: value) }
        case .mapping(let mapping):
            for (key, value) in mapping {
                guard let scalar = key.scalar, named(by: scalar).allSatisfy(\.isText) else {
                    throw RecipeError(.syntax, "a key is not a text", file: file, line: key.mark?.line)
                }
                count += try valueCount(of: key)
                count += try valueCount(of: value)
            }
        case .alias: break
        }
        if let anchor = node.anchor {
            targets[anchor.rawValue] = Target(valueCount: count, isText: node.scalar != nil)
        }
        return count
    }

    /// What is known of the aliases that a plain scalar was made from; the parser says what is wrong with others.
    private func named(by scalar: Node.Scalar) -> [Target] {
        guard scalar.style == .plain else { return [] }
        return scalar.string.unicodeScalars.split(separator: Self.mark, omittingEmptySubsequences: false).dropFirst()
            .compactMap { targets[String($0.prefix(while: Self.isInName))] }
    }

    private static func isInName(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
            || scalar == "_" || scalar == "-"
    }
}

extension String {
    /// By scalars: a mark upon an asterisk makes another character of it, and not another token.
    fileprivate func replacing(_ old: Unicode.Scalar, with new: Unicode.Scalar) -> String {
        String(UnicodeScalarView(unicodeScalars.map { $0 == old ? new : $0 }))
    }
}
