import TensorCore

/// A rule `REGEX=>REPLACEMENT` that rewrites tensor names, replacing every match as `sed s/…/…/g` does.
///
/// The replacement may name groups as `$1`, `${1}` or `\1`, and the whole match as `$0`; `$$` and `\\` stand for
/// themselves. Names are matched scalar by scalar, never by canonical equivalence.
public struct TensorRename: Sendable {
    private let pattern: String
    private let replacement: [Piece]
    private let rule: String

    private enum Piece {
        case text(String)
        case group(Int)
    }

    /// Reads a rule; the first `=>` separates its halves.
    ///
    /// - Throws: `ConversionError` `usage.rename` that says what is wrong with the rule.
    public init(_ rule: String) throws(ConversionError) {
        guard let arrow = rule.firstRange(of: "=>") else {
            throw .usage(
                "rename", "the rename rule \"\(rule.escapingControlCharacters)\" has no `=>`",
                hint: "write it as 'REGEX=>REPLACEMENT'")
        }
        try self.init(pattern: String(rule[..<arrow.lowerBound]), replacement: String(rule[arrow.upperBound...]))
    }

    /// Makes a rule of its two halves.
    ///
    /// - Throws: `ConversionError` `usage.rename` when the pattern is no regular expression.
    public init(pattern: String, replacement: String) throws(ConversionError) {
        rule = "\(pattern)=>\(replacement)".escapingControlCharacters
        guard !pattern.isEmpty else { throw .usage("rename", "the rename rule \"\(rule)\" has an empty pattern") }
        do { _ = try Regex(pattern) } catch {
            throw .usage(
                "rename", "the pattern of the rename rule \"\(rule)\" is no regular expression: \(error)",
                hint: "a literal dot is written `\\.`")
        }
        self.pattern = pattern
        self.replacement = Self.pieces(of: replacement)
    }

    private static func pieces(of replacement: String) -> [Piece] {
        var pieces: [Piece] = []
        var literal = ""
        var rest = replacement.unicodeScalars[...]
        func group(_ digits: Substring.UnicodeScalarView) -> Int? { Int(String(digits)) }
        while let scalar = rest.popFirst() {
            guard scalar == "$" || scalar == "\\", let next = rest.first else {
                literal.unicodeScalars.append(scalar)
                continue
            }
            var number: Int?
            if next == scalar {
                rest.removeFirst()
                literal.unicodeScalars.append(scalar)
                continue
            } else if ("0"..."9").contains(next) {
                // One digit, as everywhere: `$12` is group 1 followed by a 2.
                number = group(rest.prefix(1))
                rest.removeFirst()
            } else if scalar == "$", next == "{", let brace = rest.firstIndex(of: "}"),
                let inner = group(rest[rest.index(after: rest.startIndex)..<brace]), inner >= 0
            {
                number = inner
                rest = rest[rest.index(after: brace)...]
            }
            if let number {
                pieces.append(.text(literal))
                literal = ""
                pieces.append(.group(number))
            } else {
                literal.unicodeScalars.append(scalar)
            }
        }
        pieces.append(.text(literal))
        return pieces
    }

    /// A function that applies the rule and may be called from any thread; the pattern is compiled each time.
    package var applied: @Sendable (TensorName) throws -> TensorName { { try compiled()($0) } }

    /// A function that applies the rule, with the pattern compiled once.
    ///
    /// A compiled pattern may not be shared between threads, so the rule itself keeps the text.
    ///
    /// - Throws: `ConversionError` `usage.rename`, from here or from the function, when the replacement names a group that
    ///   the pattern does not have.
    func compiled() throws -> (TensorName) throws -> TensorName {
        let regex = try Regex(pattern).matchingSemantics(.unicodeScalar)
        return { name in
            let text = name.text
            var result = ""
            var end = text.startIndex
            for match in text.matches(of: regex) {
                result += text[end..<match.range.lowerBound]
                for piece in replacement {
                    switch piece {
                    case .text(let literal): result += literal
                    case .group(let number):
                        guard number < match.output.count else {
                            throw ConversionError.usage(
                                "rename",
                                "the rename rule \"\(rule)\" uses group \(number) but its pattern has "
                                    + "\(match.output.count - 1)",
                                hint: "use ${1} where a digit follows, or $$ for a dollar")
                        }
                        result += match.output[number].substring ?? ""
                    }
                }
                end = match.range.upperBound
            }
            return TensorName(result + text[end...])
        }
    }
}
