/// A stretch of a text on its way through the normalizers.
struct NormalizedText {
    var bytes: [UInt8]
    /// Whether the first byte comes from the first character of the whole text: `Metaspace` asks.
    var isAtStart: Bool

    /// The longest text in which patterns are replaced: a few of them, one after the other, can make a short text as long as memory.
    private static let byteLimit = 1 << 26

    /// Takes out characters.
    @inline(__always) mutating func remove(where isRemoved: (UInt32) -> Bool) {
        var isFirst = true
        var losesFirst = false
        bytes = bytes.mappingScalars { scalar, result in
            if !isRemoved(scalar) { UTF8Bytes.append(scalar, to: &result) } else if isFirst { losesFirst = true }
            isFirst = false
        }
        if losesFirst { isAtStart = false }
    }

    /// Takes white space off the ends.
    mutating func strip(left: Bool, right: Bool) {
        let range = bytes.withUnsafeBufferPointer { bytes in
            var start = 0
            var end = bytes.count
            while left, start < end {
                let (scalar, length) = UTF8Bytes.scalar(bytes, at: start)
                guard ScalarClass.of(scalar).contains(.whiteSpace) else { break }
                start += length
            }
            while right, end > start {
                let (scalar, length) = UTF8Bytes.scalar(bytes, endingAt: end)
                guard ScalarClass.of(scalar).contains(.whiteSpace) else { break }
                end -= length
            }
            return start..<end
        }
        if range.lowerBound > 0 { isAtStart = false }
        bytes = Array(bytes[range])
    }

    /// Puts a text into the place of every match.
    ///
    /// - Throws: `TokenizerError` `tokenizer.pattern_limit`.
    mutating func replace(_ pattern: Pattern, with content: [UInt8]) throws(TokenizerError) {
        guard !bytes.isEmpty else { return }
        guard bytes.count <= Self.byteLimit else {
            throw TokenizerError(
                .patternLimit, "a text has over \(Self.byteLimit) bytes where a pattern is to be replaced",
                hint: "cut the text into shorter lines")
        }
        var matches: [Match] = []
        try bytes.withUnsafeBufferPointer { (text) throws(TokenizerError) in try pattern.match(text, into: &matches) }
        guard matches.contains(where: \.isMatch) else { return }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        for match in matches {
            if match.isMatch { result.append(contentsOf: content) } else { result += bytes[match.start..<match.end] }
        }
        // What is put in counts as the last character that it replaces.
        if let first = matches.first(where: { !$0.isMatch || !content.isEmpty }) {
            let lastStart = bytes.withUnsafeBufferPointer {
                first.isMatch && !(first.start..<first.end).isEmpty
                    ? first.end - UTF8Bytes.scalar($0, endingAt: first.end).1 : first.start
            }
            if lastStart > 0 { isAtStart = false }
        }
        bytes = result
    }
}
