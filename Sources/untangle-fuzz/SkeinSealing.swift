import CXXHash

/// Makes the checksums of a changed .skein file right again, as far as it is whole.
enum SkeinSealing {
    /// The index repeated at its second place, and its checksum in both seals. Chunks keep theirs.
    static func sealed(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count >= 128, let size = Int(exactly: word(24, of: bytes)), size <= bytes.count - 128 else {
            return bytes
        }
        var bytes = bytes
        let index = Array(bytes[64..<64 + size])
        if let second = Int(exactly: word(32, of: bytes)), second >= 64 + size, second <= bytes.count - 64 - size {
            bytes.replaceSubrange(second..<second + size, with: index)
        }
        // The footer says what the header does, behind its own magic.
        let footer = bytes.count - 64
        bytes.replaceSubrange(footer + 8..<bytes.count, with: Array(bytes[8..<64]))
        for seal in [0, footer] {
            set(hash(index), at: seal + 48, of: &bytes)
            set(hash(Array(bytes[seal..<seal + 56])), at: seal + 56, of: &bytes)
        }
        return bytes
    }

    private static func word(_ offset: Int, of bytes: [UInt8]) -> UInt64 {
        bytes[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private static func set(_ value: UInt64, at offset: Int, of bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<offset + 8, with: $0) }
    }

    private static func hash(_ bytes: [UInt8]) -> UInt64 { XXH3_64bits(bytes, bytes.count) }
}
