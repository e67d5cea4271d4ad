import SystemPackage

/// What `CASE.expected.json` of the conformance files says.
struct NpyExpectation {
    let level: String
    let category: String?
    let tensors: [NpyTensorSummary]

    init(_ path: FilePath) throws {
        var parser = JSONReader(text: try npyFileBytes(path))
        guard case .object(let fields) = parser.value() else { throw Malformed(path: path.string) }
        level = fields["level"]?.text ?? "must"
        category = fields["category"]?.text
        var tensors: [NpyTensorSummary] = []
        for tensor in fields["tensors"]?.items ?? [] {
            guard case .object(let item) = tensor, let name = item["name"]?.text, let dtype = item["dtype"]?.text,
                let shape = item["shape"]?.items, let sha256 = item["sha256"]?.text
            else { throw Malformed(path: path.string) }
            tensors.append(
                NpyTensorSummary(name: name, dtype: dtype, shape: shape.compactMap(\.number), sha256: sha256))
        }
        self.tensors = tensors
    }

    struct Malformed: Error { let path: String }
}

/// Enough JSON for files that the tests themselves bring along.
private struct JSONReader {
    indirect enum Value {
        case object([String: Value])
        case array([Value])
        case string(String)
        case number(Int?)
        case word

        var text: String? { if case .string(let text) = self { text } else { nil } }
        var items: [Value]? { if case .array(let items) = self { items } else { nil } }
        var number: Int? { if case .number(let number) = self { number } else { nil } }
    }

    let text: [UInt8]
    private var position = 0

    init(text: [UInt8]) { self.text = text }

    private mutating func skip(_ separators: String) {
        while position < text.count, (" \n\r\t" + separators).utf8.contains(text[position]) { position += 1 }
    }

    mutating func value() -> Value {
        skip("")
        switch text[position] {
        case UInt8(ascii: "{"):
            position += 1
            var fields: [String: Value] = [:]
            while true {
                skip(",")
                if text[position] == UInt8(ascii: "}") { break }
                let key = string()
                skip(":")
                fields[key] = value()
            }
            position += 1
            return .object(fields)
        case UInt8(ascii: "["):
            position += 1
            var items: [Value] = []
            while true {
                skip(",")
                if text[position] == UInt8(ascii: "]") { break }
                items.append(value())
            }
            position += 1
            return .array(items)
        case UInt8(ascii: "\""): return .string(string())
        default:
            let start = position
            while position < text.count, !",]} \n".utf8.contains(text[position]) { position += 1 }
            let word = String(decoding: text[start..<position], as: UTF8.self)
            return "-0123456789".contains(word.prefix(1)) ? .number(Int(word)) : .word
        }
    }

    private mutating func string() -> String {
        position += 1
        var units: [UInt16] = []
        var plain: [UInt8] = []
        func flushed() -> [UInt16] { Array(String(decoding: plain, as: UTF8.self).utf16) }
        while text[position] != UInt8(ascii: "\"") {
            guard text[position] == UInt8(ascii: "\\") else {
                plain.append(text[position])
                position += 1
                continue
            }
            units += flushed()
            plain = []
            let escape = text[position + 1]
            position += 2
            switch escape {
            case UInt8(ascii: "u"):
                units.append(
                    UInt16(String(decoding: text[position..<position + 4], as: UTF8.self), radix: 16) ?? 0xFFFD)
                position += 4
            case UInt8(ascii: "n"): units.append(0x0A)
            case UInt8(ascii: "t"): units.append(0x09)
            default: units.append(UInt16(escape))
            }
        }
        position += 1
        units += flushed()
        return String(decoding: units, as: UTF16.self)
    }
}
