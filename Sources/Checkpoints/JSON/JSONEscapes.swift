/// The escape sequences of JSON strings, both ways.
enum JSONEscapes {
    /// Replaces the escapes of a string whose syntax was checked.
    static func decode(_ escaped: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(escaped.count)
        var position = 0
        while position < escaped.count {
            let byte = escaped[position]
            position += 1
            guard byte == UInt8(ascii: "\\") else {
                result.append(byte)
                continue
            }
            let letter = escaped[position]
            position += 1
            switch letter {
            case UInt8(ascii: "b"): result.append(0x08)
            case UInt8(ascii: "f"): result.append(0x0C)
            case UInt8(ascii: "n"): result.append(0x0A)
            case UInt8(ascii: "r"): result.append(0x0D)
            case UInt8(ascii: "t"): result.append(0x09)
            case UInt8(ascii: "u"):
                var value = codeUnit(escaped, at: position) ?? 0xFFFD
                position += 4
                if (0xD800..<0xDC00).contains(value) {
                    // The parser has made sure that `\uDC00`…`\uDFFF` follows.
                    let low = codeUnit(escaped, at: position + 2) ?? 0xDC00
                    value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00)
                    position += 6
                }
                if let scalar = Unicode.Scalar(value) { result.append(contentsOf: UTF8.encode(scalar)!) }
            default: result.append(letter)
            }
        }
        return result
    }

    /// The value of four hexadecimal digits, nil when there are no four.
    static func codeUnit(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> UInt32? {
        guard position + 4 <= text.count else { return nil }
        var value: UInt32 = 0
        for byte in text[position..<position + 4] {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    /// Appends a quoted string; like serde_json and `ensure_ascii=False`, only what must be escaped is.
    static func append(_ text: String, to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                json.append(UInt8(ascii: "\\"))
                json.append(byte)
            case 0x08: json.append(contentsOf: "\\b".utf8)
            case 0x09: json.append(contentsOf: "\\t".utf8)
            case 0x0A: json.append(contentsOf: "\\n".utf8)
            case 0x0C: json.append(contentsOf: "\\f".utf8)
            case 0x0D: json.append(contentsOf: "\\r".utf8)
            case 0..<0x20:
                json.append(contentsOf: "\\u00".utf8)
                json.append(contentsOf: (byte < 16 ? "0" : "").utf8)
                json.append(contentsOf: String(byte, radix: 16).utf8)
            default: json.append(byte)
            }
        }
        json.append(UInt8(ascii: "\""))
    }
}
