/// Bytes written as printable characters, as GPT-2 does.
enum ByteLevel {
    /// Where GPT-2 cuts a text.
    static let expression: RegularExpression = {
        let source = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
        // A constant: it compiles, or no test passes.
        guard let expression = try? RegularExpression(source) else { preconditionFailure("GPT-2's pattern compiles") }
        return expression
    }()

    /// The character of each byte: itself where that can be seen, and one above 255 where not.
    static let characters: [UInt32] = {
        var next: UInt32 = 256
        return (UInt32(0)..<256).map { byte in
            if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte) {
                return byte
            }
            defer { next += 1 }
            return next
        }
    }()

    /// Adds a text with a character in the place of each byte.
    static func append(_ text: some Sequence<UInt8>, to bytes: inout [UInt8]) {
        characters.withUnsafeBufferPointer { characters in
            for byte in text { UTF8Bytes.append(characters[Int(byte)], to: &bytes) }
        }
    }
}
