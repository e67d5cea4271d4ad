import TensorCore

/// A rule that rewrites tensor names.
///
/// `REGEX=>REPLACEMENT` replaces every match as `sed s/…/…/g` does. The replacement may name groups as `$1`, `${1}` or `\1`, and the
/// whole match as `$0`; `$$` and `\\` stand for themselves. Names are matched scalar by scalar, never by canonical equivalence.
///
/// `FROM=TO` replaces whole parts of a dotted name; see `NameMap`.
public struct TensorRename: Sendable {
    private let form: Form
    /// As it is typed: `--map FROM=TO`.
    let option: String

    private enum Form {
        case pattern(String, replacement: [Piece], rule: String)
        case segments(SegmentReplacement)
    }

    private enum Piece {
        case text(String)
        case group(Int)
    }

    /// Reads a rule `REGEX=>REPLACEMENT`; the first `=>` separates its halves.
    ///
    /// - Throws: `RenameError` `usage.rename` that says what is wrong with the rule.
    public init(_ rule: String) throws(RenameError) {
        let shown = rule.escapingControlCharacters
        guard let arrow = rule.firstRange(of: "=>") else {
            throw RenameError(
                .rename, "the rename rule \"\(shown)\" has no `=>`", hint: "write it as 'REGEX=>REPLACEMENT'")
        }
        let pattern = String(rule[..<arrow.lowerBound])
        guard !pattern.isEmpty else {
            throw RenameError(.rename, "the rename rule \"\(shown)\" has an empty pattern")
        }
        do { _ = try Regex(pattern) } catch {
            throw RenameError(
                .rename, "the pattern of the rename rule \"\(shown)\" is no regular expression: \(error)",
                hint: "a literal dot is written `\\.`")
        }
        form = .pattern(pattern, replacement: Self.pieces(of: String(rule[arrow.upperBound...])), rule: shown)
        option = "--rename \(rule.quotedForShell)"
    }

    /// Reads a rule `FROM=TO`; the first `=` separates its halves.
    ///
    /// - Throws: `RenameError` `usage.map` that says what is wrong with the rule.
    public init(map rule: String) throws(RenameError) {
        let halves = rule.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let shown = rule.escapingControlCharacters
        guard halves.count == 2 else {
            throw RenameError(.map, "the map \"\(shown)\" has no `=`", hint: "write it as FROM=TO, such as model=")
        }
        guard let segments = SegmentReplacement(from: halves[0], to: halves[1]) else {
            throw RenameError(
                .map, "the map \"\(shown)\" has an empty part",
                hint:
                    "FROM and TO are parts of names without the dots around them, such as model.language_model=model, "
                    + "and one of them may be empty")
        }
        form = .segments(segments)
        option = "--map \(rule.quotedForShell)"
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

    /// A function that applies the rule, with the pattern compiled once.
    ///
    /// A compiled pattern may not be shared between threads, so the rule itself keeps the text.
    ///
    /// - Throws: `RenameError` `usage.rename`, from the function, when the replacement names a group that the pattern does not have.
    func compiled() throws -> (TensorName) throws -> TensorName {
        switch form {
        case .segments(let segments): return { segments($0) }
        case .pattern(let pattern, let replacement, let rule):
            return try Self.compiled(pattern, replacement, rule)
        }
    }

    private static func compiled(
        _ pattern: String, _ replacement: [Piece], _ rule: String
    ) throws -> (TensorName) throws -> TensorName {
        let regex = try Regex(pattern).matchingSemantics(.unicodeScalar)
        return { name in
            let text = name.text
            var result = ""
            var end = text.startIndex
            var last: String.Index?
            // `.*` also matches the nothing behind what it has matched, which sed passes over.
            for match in text.matches(of: regex) where !match.range.isEmpty || match.range.lowerBound != last {
                last = match.range.upperBound
                result += text[end..<match.range.lowerBound]
                for piece in replacement {
                    switch piece {
                    case .text(let literal): result += literal
                    case .group(let number):
                        guard number < match.output.count else {
                            throw RenameError(
                                .rename,
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
