import COniguruma

/// What texts are cut or changed at: a text, or a regular expression of Oniguruma.
enum Pattern: Sendable {
    /// Never empty.
    case literal([UInt8])
    case expression(RegularExpression)

    /// Reads `{"String": "…"}` or `{"Regex": "…"}`.
    init(_ component: Component) throws(TokenizerError) {
        if let literal = component["String"] {
            let bytes = try literal.bytes()
            // An empty expression matches between all characters.
            self = bytes.isEmpty ? .expression(try RegularExpression(literal)) : .literal(bytes)
        } else if let expression = component["Regex"] {
            self = .expression(try RegularExpression(expression))
        } else {
            throw component.error(.badFile, "has neither String nor Regex")
        }
    }

    /// Adds the matches in a text, which is not empty, and what is between them.
    func match(_ text: UnsafeBufferPointer<UInt8>, into matches: inout [Match]) throws(TokenizerError) {
        switch self {
        case .expression(let expression): try expression.match(text, into: &matches)
        case .literal(let literal):
            var end = 0
            var position = 0
            while position + literal.count <= text.count {
                guard text[position] == literal[0],
                    literal.indices.allSatisfy({ text[position + $0] == literal[$0] })
                else {
                    position += 1
                    continue
                }
                matches.append(from: end, to: position, end: position + literal.count)
                position += literal.count
                end = position
            }
            matches.finish(from: end, to: text.count)
        }
    }
}

/// A part of a text that a pattern matches, or that lies between matches.
struct Match {
    let start: Int
    let end: Int
    let isMatch: Bool
}

extension [Match] {
    /// Adds a match, and what lies between it and the one before.
    @inline(__always) mutating func append(from previous: Int, to start: Int, end: Int) {
        if previous != start { append(Match(start: previous, end: start, isMatch: false)) }
        append(Match(start: start, end: end, isMatch: true))
    }

    /// Adds what follows the last match.
    @inline(__always) mutating func finish(from previous: Int, to end: Int) {
        if previous != end { append(Match(start: previous, end: end, isMatch: false)) }
    }
}

/// A compiled regular expression.
///
/// Safety: Oniguruma does not change an expression after it is compiled, and every search has a region of its own.
final class RegularExpression: @unchecked Sendable {
    private let compiled: OnigRegex
    private let limits: OpaquePointer
    private let source: String

    /// How often one search may try another way: seconds on any machine.
    private static let stepLimit: UInt = 1 << 27
    /// How many ways to go back to one search may remember: about a gigabyte.
    private static let stackLimit: UInt32 = 1 << 25

    private static let isInitialized: Bool = {
        var encodings: [OnigEncoding?] = [onig_encoding_utf8()]
        return onig_initialize(&encodings, 1) == ONIG_NORMAL
    }()

    /// Compiles the text that a component is.
    convenience init(_ component: Component) throws(TokenizerError) {
        let source = try component.string()
        do { try self.init(source) } catch {
            throw component.error(.badPattern, "is no regular expression of Oniguruma: \(error.problem)")
        }
    }

    /// Why a pattern cannot be compiled, in Oniguruma's words.
    struct Refusal: Error { let problem: String }

    /// Compiles an expression.
    init(_ source: String) throws(Refusal) {
        guard Self.isInitialized, let limits = onig_new_match_param() else {
            throw Refusal(problem: "there is no memory to begin with")
        }
        onig_initialize_match_param(limits)
        onig_set_retry_limit_in_match_of_match_param(limits, Self.stepLimit)
        onig_set_retry_limit_in_search_of_match_param(limits, Self.stepLimit)
        onig_set_match_stack_limit_size_of_match_param(limits, Self.stackLimit)
        var compiled: OnigRegex?
        var info = OnigErrorInfo()
        var problem: String?
        Array(source.utf8).withUnsafeBufferPointer { pattern in
            // An empty array may have no address, which Oniguruma reads even for no bytes.
            var nothing: UInt8 = 0
            withUnsafePointer(to: &nothing) { nowhere in
                let start = pattern.baseAddress ?? nowhere
                let status = onig_new(
                    &compiled, start, start + pattern.count, ONIG_OPTION_NONE, onig_encoding_utf8(),
                    onig_default_syntax(), &info)
                guard status != ONIG_NORMAL else { return }
                // Read while the pattern is there: the information points into it.
                problem = Self.text(of: status, &info)
            }
        }
        guard problem == nil, let compiled else {
            onig_free_match_param(limits)
            throw Refusal(problem: problem ?? "it could not be compiled")
        }
        self.compiled = compiled
        self.limits = limits
        self.source = source
    }

    deinit {
        onig_free(compiled)
        onig_free_match_param(limits)
    }

    private static func text(of status: Int32, _ info: UnsafeMutablePointer<OnigErrorInfo>?) -> String {
        var text = [UInt8](repeating: 0, count: Int(ONIG_MAX_ERROR_MESSAGE_LEN))
        let count = onig_error_text(&text, status, info)
        return String(decoding: text.prefix(Int(max(0, count))), as: UTF8.self)
    }

    /// Adds the matches in a text, which is not empty, and what is between them.
    ///
    /// - Throws: `TokenizerError` `tokenizer.pattern_limit` when a search takes too long.
    func match(_ text: UnsafeBufferPointer<UInt8>, into matches: inout [Match]) throws(TokenizerError) {
        guard let region = onig_region_new(), let start = text.baseAddress else { return }
        defer { onig_region_free(region, 1) }
        let end = start + text.count
        var previous = 0
        var position = 0
        var hasMatched = false
        while position <= text.count {
            let status = onig_search_with_param(
                compiled, start, end, start + position, end, region, ONIG_OPTION_NONE, limits)
            if status == ONIG_MISMATCH { break }
            guard status >= 0 else { throw failure(status, byteCount: text.count) }
            let found = Int(region.pointee.beg[0])..<Int(region.pointee.end[0])
            // Nothing where the last match ended is no match of its own.
            if found.isEmpty, hasMatched, found.lowerBound == previous {
                position += position < text.count ? UTF8Bytes.length(text[position]) : 1
                continue
            }
            matches.append(from: previous, to: found.lowerBound, end: found.upperBound)
            hasMatched = true
            previous = found.upperBound
            position = previous
        }
        matches.finish(from: previous, to: text.count)
    }

    private func failure(_ status: Int32, byteCount: Int) -> TokenizerError {
        TokenizerError(
            .patternLimit,
            "the pattern \(source.debugDescription) cannot be applied to a text of \(byteCount) bytes: "
                + Self.text(of: status, nil), hint: "cut the text into shorter lines")
    }
}
