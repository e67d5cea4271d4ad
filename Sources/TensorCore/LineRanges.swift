/// Where the lines of a text lie: each ends in a line feed, with or without a carriage return before it; the last one may lack both.
package struct LineRanges: Sequence, IteratorProtocol {
    private let bytes: UnsafeRawBufferPointer
    private var start: Int

    /// Cuts a text into lines.
    ///
    /// - Parameter start: where the first line begins.
    /// Safety: the bytes outlive the sequence.
    package init(of bytes: UnsafeRawBufferPointer, from start: Int = 0) {
        (self.bytes, self.start) = (bytes, start)
    }

    /// The next line, without what ends it.
    package mutating func next() -> Range<Int>? {
        guard start < bytes.count else { return nil }
        let feed = bytes[start...].firstIndex(of: UInt8(ascii: "\n"))
        var end = feed ?? bytes.count
        if feed != nil, end > start, bytes[end - 1] == UInt8(ascii: "\r") { end -= 1 }
        defer { start = (feed ?? bytes.count) + 1 }
        return start..<end
    }
}
