/// A text on its way to pieces, cut into parts.
struct Segments {
    /// All parts, one behind the other or overlapping.
    var bytes: [UInt8] = []
    var parts: [Part] = []

    /// A part: a token that is fixed, or bytes that are yet to become pieces.
    struct Part {
        var start: Int
        var end: Int
        /// The number of an added token; -1 for text.
        var token: Int32 = -1
        /// Whether it begins where the original text begins.
        var isAtStart: Bool
    }

    /// Cuts every text at what is found in it.
    ///
    /// - Parameter find: lists all of a text, which is not empty, as matches and what lies between.
    @inline(__always) mutating func split(
        _ behavior: SplitBehavior, inverted: Bool = false,
        at find: (UnsafeBufferPointer<UInt8>, inout [Match]) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        var result: [Part] = []
        result.reserveCapacity(parts.count * 2)
        var matches: [Match] = []
        let parts = parts
        try bytes.withUnsafeBufferPointer { (bytes) throws(TokenizerError) in
            for part in parts {
                guard part.token < 0 else {
                    result.append(part)
                    continue
                }
                matches.removeAll(keepingCapacity: true)
                try find(UnsafeBufferPointer(rebasing: bytes[part.start..<part.end]), &matches)
                behavior.cut(matches, inverted: inverted) { start, end in
                    guard start < end else { return }
                    result.append(
                        Part(
                            start: part.start + start, end: part.start + end,
                            isAtStart: part.isAtStart && start == 0))
                }
            }
        }
        self.parts = result
    }

    /// Puts another text into the place of every text.
    ///
    /// - Parameter write: adds the text that a part becomes to bytes.
    @inline(__always) mutating func rewrite(
        _ write: (UnsafeBufferPointer<UInt8>, _ isAtStart: Bool, inout [UInt8]) -> Void
    ) {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + bytes.count / 2)
        bytes.withUnsafeBufferPointer { bytes in
            for place in parts.indices where parts[place].token < 0 {
                let start = result.count
                let part = parts[place]
                write(UnsafeBufferPointer(rebasing: bytes[part.start..<part.end]), part.isAtStart, &result)
                parts[place].start = start
                parts[place].end = result.count
            }
        }
        bytes = result
    }
}

/// What becomes of the matches at which a text is cut.
enum SplitBehavior: String, CaseIterable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    /// Tells the parts of a text, of which some may be empty.
    ///
    /// - Parameters:
    ///   - matches: all of the text.
    ///   - inverted: whether matches are what lies between, and the other way round.
    @inline(__always) func cut(_ matches: [Match], inverted: Bool, _ part: (Int, Int) -> Void) {
        switch self {
        case .isolated: for match in matches { part(match.start, match.end) }
        case .removed: for match in matches where match.isMatch == inverted { part(match.start, match.end) }
        case .contiguous, .mergedWithPrevious:
            var previous = false
            var last: (start: Int, end: Int)?
            for match in matches {
                let isMatch = match.isMatch != inverted
                let isMerged = self == .contiguous ? isMatch == previous : isMatch && !previous
                if isMerged, last != nil {
                    last?.end = match.end
                } else {
                    if let last { part(last.start, last.end) }
                    last = (match.start, match.end)
                }
                previous = isMatch
            }
            if let last { part(last.start, last.end) }
        case .mergedWithNext:
            // From the end, as the library goes: of several matches in a row the last one is merged.
            var previous = false
            var parts: [(start: Int, end: Int)] = []
            for match in matches.reversed() {
                let isMatch = match.isMatch != inverted
                if isMatch, !previous, let last = parts.indices.last {
                    parts[last].start = match.start
                } else {
                    parts.append((match.start, match.end))
                }
                previous = isMatch
            }
            for (start, end) in parts.reversed() { part(start, end) }
        }
    }
}
