import CUTF8Proc

/// The `precompiled_charsmap` of SentencePiece: what characters and short groups of them are replaced with.
///
/// A double array holds the keys: each unit has a label, an offset to its children and whether a key ends there; what it is replaced with
/// follows as texts that end in a zero.
struct CharacterMap: Sendable {
    private let units: [UInt32]
    private let texts: [UInt8]

    /// Decodes the map.
    init(_ component: Component) throws(TokenizerError) {
        guard let bytes = Base64.decoded(try component.bytes()) else {
            throw component.error(.badFile, "is not Base64")
        }
        guard bytes.count >= 4 else { throw component.error(.badFile, "ends before the size of its table") }
        func unit(_ place: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << (8 * UInt32($1)) }
        }
        let size = Int(unit(0))
        guard size % 4 == 0, size > 0, size <= bytes.count - 4 else {
            throw component.error(
                .badFile,
                "has \(bytes.count) bytes, and announces a table of \(size), which ends beyond or inside a unit")
        }
        units = stride(from: 4, to: 4 + size, by: 4).map(unit)
        texts = Array(bytes[(4 + size)...])
        do { _ = try UTF8Span(validating: texts.span) } catch {
            throw component.error(.badFile, "has texts that are not valid UTF-8")
        }
    }

    /// A text with everything replaced that the map knows.
    ///
    /// A group of up to five bytes that is read as one character is looked up as a whole. Then, as in SentencePiece's own order of things, the
    /// shortest key that it begins with takes the place of all of it.
    func applied(to text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        text.withUnsafeBufferPointer { bytes in
            var start = 0
            while start < bytes.count {
                let end = Self.endOfGroup(bytes, from: start)
                if end - start < 6, let replacement = replacement(for: bytes, start, end) {
                    result += texts[replacement]
                    start = end
                    continue
                }
                while start < end {
                    let next = start + UTF8Bytes.scalar(bytes, at: start).1
                    if let replacement = replacement(for: bytes, start, next) {
                        result += texts[replacement]
                    } else {
                        result += bytes[start..<next]
                    }
                    start = next
                }
            }
        }
        return result
    }

    /// Where the group of characters ends that readers see as one.
    private static func endOfGroup(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
        var (scalar, length) = UTF8Bytes.scalar(bytes, at: start)
        var position = start + length
        var state: Int32 = 0
        while position < bytes.count {
            let next = bytes[position]
            // Of two ASCII characters only a line end is a group.
            if scalar < 0x80, next < 0x80, scalar != 0x0D || next != 0x0A { break }
            let previous = scalar
            (scalar, length) = UTF8Bytes.scalar(bytes, at: position)
            if utf8proc_grapheme_break_stateful(Int32(bitPattern: previous), Int32(bitPattern: scalar), &state) {
                break
            }
            position += length
        }
        return position
    }

    /// The text that takes the place of the shortest key that some bytes begin with.
    private func replacement(for bytes: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Range<Int>? {
        var node = offset(units[0])
        for byte in bytes[start..<end] {
            guard byte != 0 else { return nil }
            node ^= Int(byte)
            guard node < units.count else { return nil }
            let unit = units[node]
            guard unit & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
            node ^= offset(unit)
            guard unit >> 8 & 1 == 1 else { continue }
            guard node < units.count else { return nil }
            return text(at: Int(units[node] & 0x7FFF_FFFF))
        }
        return nil
    }

    private func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & 1 << 9) >> 6) }

    /// The text at a position, up to its zero; nil where none begins.
    private func text(at start: Int) -> Range<Int>? {
        guard start < texts.count, texts[start] & 0xC0 != 0x80 else { return nil }
        return start..<(texts[start...].firstIndex(of: 0) ?? texts.count)
    }
}
