extension JSONOutput {
    /// How a document is laid out.
    public enum Layout: Sendable {
        /// Indented by two spaces; arrays of numbers, such as shapes, stay on one line.
        case pretty
        /// No white space.
        case compact
    }

    /// The document as UTF-8 text, without a newline at the end.
    public func rendered(_ layout: Layout = .pretty) -> String { String(decoding: bytes(layout), as: UTF8.self) }

    /// The same as bytes.
    public func bytes(_ layout: Layout = .pretty) -> [UInt8] {
        var writer = JSONWriter(layout: layout)
        writer.append(self, depth: 0)
        return writer.bytes
    }
}

/// Appends values to a growing byte array, which is several times faster than appending to a `String`.
private struct JSONWriter {
    let layout: JSONOutput.Layout
    var bytes: [UInt8] = []

    mutating func append(_ value: JSONOutput, depth: Int) {
        switch value {
        case .null: append("null")
        case .bool(let flag): append(flag ? "true" : "false")
        case .integer(let number): append(String(number))
        case .number(let number): append(number)
        case .string(let text): appendQuoted(text)
        case .array(let items):
            let breaksLines = items.contains { !$0.isNumberLike }
            appendList("[", "]", items, depth: depth, breaksLines: breaksLines) { writer, item, depth in
                writer.append(item, depth: depth)
            }
        case .rows(let table):
            let keys = KeyTree(of: table)
            appendList("[", "]", table.rows, depth: depth, breaksLines: true) { writer, row, depth in
                writer.append(keys.object(row), depth: depth)
            }
        case .object(let members):
            appendList("{", "}", members, depth: depth, breaksLines: true) { writer, member, depth in
                writer.appendQuoted(member.key)
                writer.append(writer.layout == .pretty ? ": " : ":")
                writer.append(member.value, depth: depth)
            }
        }
    }

    private mutating func appendList<Items: Collection>(
        _ open: String, _ close: String, _ items: Items, depth: Int, breaksLines: Bool,
        _ appendItem: (inout JSONWriter, Items.Element, Int) -> Void
    ) {
        append(open)
        let pretty = layout == .pretty
        for (position, item) in items.enumerated() {
            if position > 0 { append(pretty && !breaksLines ? ", " : ",") }
            if pretty && breaksLines { startLine(depth + 1) }
            appendItem(&self, item, depth + 1)
        }
        if pretty && breaksLines && !items.isEmpty { startLine(depth) }
        append(close)
    }

    private mutating func startLine(_ depth: Int) {
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * depth))
    }

    private mutating func append(_ number: Double) {
        if number.isNaN {
            append("\"nan\"")
        } else if number.isInfinite {
            append(number < 0 ? "\"-inf\"" : "\"inf\"")
        } else {
            // Swift prints the shortest digits that round-trip, in a form that is also JSON (`1e-07`, `5.0`).
            append(number.description)
        }
    }

    private mutating func appendQuoted(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        defer { bytes.append(UInt8(ascii: "\"")) }
        // Nearly all texts are such, and scalars cost several times as much to look at.
        if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
            return append(text)
        }
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": append("\\\"")
            case "\\": append("\\\\")
            case "\n": append("\\n")
            case "\r": append("\\r")
            case "\t": append("\\t")
            case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}",
                _ where scalar.properties.isBidiControl:
                let digits = String(scalar.value, radix: 16)
                append("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
            default: bytes.append(contentsOf: UTF8.encode(scalar)!)
            }
        }
    }

    private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }
}

extension JSONOutput {
    /// Numbers, truth values and nulls, and the strings that stand for numbers JSON lacks.
    fileprivate var isNumberLike: Bool {
        switch self {
        case .null, .bool, .integer, .number: true
        case .string, .array, .object, .rows: false
        }
    }
}
