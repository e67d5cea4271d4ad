import Checkpoints

/// Makes the checksums of a changed PNG right again, as far as its chunks are whole.
enum PNGSealing {
    static func sealed(_ png: [UInt8]) -> [UInt8] {
        var png = png
        var place = 8
        while place + 12 <= png.count {
            let size = png[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
            guard size <= png.count - place - 12 else { break }
            let sum = png[place + 4..<place + 8 + size].withUnsafeBytes(CRC32.of)
            for byte in 0..<4 { png[place + 8 + size + byte] = UInt8(truncatingIfNeeded: sum >> (24 - 8 * byte)) }
            place += 12 + size
        }
        return png
    }
}
