/// Spaces written as a visible character, as SentencePiece does, and words that begin with it.
struct Metaspace: Sendable {
    /// Which parts of a text get a space before them.
    enum Prepending: String, CaseIterable, Sendable {
        case first, never, always
    }

    private let replacement: [UInt8]
    private let prepending: Prepending
    private let splits: Bool

    /// Reads `replacement`, `prepend_scheme` or the older `add_prefix_space`, and `split`.
    init(_ component: Component) throws(TokenizerError) {
        replacement = Array(String(try component.required("replacement").scalar()).utf8)
        let addsSpace = try component["add_prefix_space"]?.flag() ?? true
        let scheme = try component["prepend_scheme"]?.choice(of: Prepending.self)
        if let scheme, !addsSpace, scheme != .never {
            throw component.error(.badFile, "says add_prefix_space false and prepend_scheme \(scheme.rawValue)")
        }
        prepending = scheme ?? (addsSpace ? .always : .never)
        splits = try component["split"]?.flag() ?? true
    }

    /// Replaces spaces, prepends one, and cuts before each.
    func apply(to segments: inout Segments) throws(TokenizerError) {
        segments.rewrite { text, isAtStart, bytes in
            let begins = text.first == UInt8(ascii: " ") || text.starts(with: replacement)
            if !begins, prepending == .always || prepending == .first && isAtStart {
                bytes.append(contentsOf: replacement)
            }
            for byte in text {
                if byte == UInt8(ascii: " ") { bytes.append(contentsOf: replacement) } else { bytes.append(byte) }
            }
        }
        guard splits else { return }
        let pattern = Pattern.literal(replacement)
        try segments.split(.mergedWithNext) { (text, matches) throws(TokenizerError) in
            try pattern.match(text, into: &matches)
        }
    }
}
