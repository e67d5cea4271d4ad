import CUTF8Proc

/// Lower case as Rust's standard library has it, character by character: without regard to the end of a word.
enum LetterCase {
    /// Adds the lower case of a character.
    @inline(__always) static func appendLower(_ scalar: UInt32, to bytes: inout [UInt8]) {
        if scalar < 0x80 {
            let isUpper = scalar >= 0x41 && scalar <= 0x5A
            bytes.append(UInt8(truncatingIfNeeded: isUpper ? scalar + 0x20 : scalar))
        } else if scalar == 0x130 {
            // The one character that becomes two: an i and the dot above it.
            bytes.append(UInt8(ascii: "i"))
            UTF8Bytes.append(0x307, to: &bytes)
        } else {
            UTF8Bytes.append(newerLower(scalar) ?? UInt32(bitPattern: utf8proc_tolower(Int32(scalar))), to: &bytes)
        }
    }

    /// Lower case that is newer than Unicode 15.
    @inline(__always) private static func newerLower(_ scalar: UInt32) -> UInt32? {
        switch scalar {
        case 0x1C89, 0xA7CC, 0xA7CE, 0xA7D2, 0xA7D4, 0xA7DA: scalar + 1
        case 0xA7CB: 0x264
        case 0xA7DC: 0x19B
        case 0x10D50...0x10D65: scalar + 0x20
        case 0x16EA0...0x16EB8: scalar + 0x1B
        default: nil
        }
    }
}
