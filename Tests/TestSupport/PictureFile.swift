import Checkpoints

/// Bytes of picture files and archives as other programs write them, put together by hand from their specifications.
public enum PictureFile {
    /// An 8-bit grey PNG whose pixels are stored uncompressed.
    ///
    /// - Source: PNG, third edition, 2025; RFC 1950 and 1951.
    public static func png(width: Int, height: Int, grey pixels: [UInt8]) -> [UInt8] {
        func big(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
        func chunk(_ kind: String, _ data: [UInt8]) -> [UInt8] {
            let body = Array(kind.utf8) + data
            return big(UInt32(data.count)) + body + big(body.withUnsafeBytes { CRC32.of($0) })
        }
        let rows = (0..<height).flatMap { [0] + pixels[$0 * width..<($0 + 1) * width] }
        var (a, b): (UInt32, UInt32) = (1, 0)
        for byte in rows {
            a = (a + UInt32(byte)) % 65521
            b = (b + a) % 65521
        }
        let length = UInt16(rows.count)
        let stored =
            [0x78, 0x01, 0x01, UInt8(length & 255), UInt8(length >> 8), UInt8(~length & 255), UInt8(~length >> 8)]
            + rows
            + big(b << 16 | a)
        return [0x89] + Array("PNG\r\n".utf8) + [0x1A, 0x0A]
            + chunk("IHDR", big(UInt32(width)) + big(UInt32(height)) + [8, 0, 0, 0, 0]) + chunk("IDAT", stored)
            + chunk("IEND", [])
    }

    /// A tar archive of members.
    ///
    /// - Parameter kind: the type flag of each: `0` a file, `1` a hard link, `2` a symbolic link.
    /// - Source: POSIX.1-1988, ustar.
    public static func tar(_ members: [(name: String, bytes: [UInt8], kind: Character)]) -> [UInt8] {
        members.flatMap { member -> [UInt8] in
            var header = [UInt8](repeating: 0, count: 512)
            func put(_ text: String, at place: Int) {
                for (offset, byte) in text.utf8.enumerated() { header[place + offset] = byte }
            }
            func octal(_ value: Int, _ width: Int) -> String {
                let digits = String(value, radix: 8)
                return String(repeating: "0", count: width - digits.count) + digits
            }
            put(member.name, at: 0)
            put(
                "0000644\0" + "0000000\0" + "0000000\0" + octal(member.bytes.count, 11) + "\0" + octal(0, 11) + "\0",
                at: 100)
            put("        " + String(member.kind), at: 148)
            if member.kind != "0" { put("target.png", at: 157) }
            put("ustar\u{0}00", at: 257)
            put(octal(header.reduce(0) { $0 + Int($1) }, 6) + "\0 ", at: 148)
            return header + member.bytes + [UInt8](repeating: 0, count: (512 - member.bytes.count % 512) % 512)
        } + [UInt8](repeating: 0, count: 1024)
    }
}
