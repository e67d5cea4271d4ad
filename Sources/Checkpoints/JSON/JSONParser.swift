import SystemPackage
import TensorCore

/// Checks a JSON text and lists its values; see `JSONDocument`.
///
/// One loop with an explicit stack of open containers, so that nesting costs no stack of the process.
struct JSONParser {
    private(set) var nodes: [JSONNode] = []
    private let text: [UInt8]
    private let file: FilePath?
    private let base: Int
    private var position = 0
    /// Table positions of the containers that are open.
    private var open: [Int] = []
    /// The first duplicate key. Reported after the syntax, which is the more basic rule.
    private var duplicate: JSONNode?

    /// What may come next.
    private enum Expectation {
        case value, elementOrEnd, keyOrEnd, key, commaOrEnd
    }

    init(text: [UInt8], file: FilePath?, base: Int) {
        self.text = text
        self.file = file
        self.base = base
        // Every value but the first follows one of these bytes: a bound that the text itself pays for.
        let bound = text.reduce(into: 1) { count, byte in
            if byte == UInt8(ascii: ",") || byte == UInt8(ascii: ":") || byte == UInt8(ascii: "[")
                || byte == UInt8(ascii: "{")
            {
                count += 1
            }
        }
        nodes.reserveCapacity(min(bound, JSONDocument.valueLimit))
    }

    mutating func run() throws(FormatError) {
        var expectation = Expectation.value
        while true {
            skipSpace()
            switch expectation {
            case .value: expectation = try value()
            case .elementOrEnd: expectation = peek == UInt8(ascii: "]") ? try close() : .value
            case .keyOrEnd: expectation = peek == UInt8(ascii: "}") ? try close() : .key
            case .key:
                guard peek == UInt8(ascii: "\"") else { throw unexpected("a key in double quotes") }
                try string()
                skipSpace()
                guard peek == UInt8(ascii: ":") else { throw unexpected("`:` after a key") }
                position += 1
                expectation = .value
            case .commaOrEnd:
                guard let container = open.last else {
                    guard position == text.count else { throw unexpected("the end of the text") }
                    if let duplicate { throw duplicateKey(duplicate) }
                    return
                }
                let isObject = nodes[container].kind == .object
                if peek == UInt8(ascii: ",") {
                    position += 1
                    expectation = isObject ? .key : .value
                } else if peek == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
                    expectation = try close()
                } else {
                    throw unexpected(isObject ? "`,` or `}`" : "`,` or `]`")
                }
            }
        }
    }

    // MARK: Values

    private mutating func value() throws(FormatError) -> Expectation {
        switch peek {
        case UInt8(ascii: "{"): return try openContainer(.object)
        case UInt8(ascii: "["): return try openContainer(.array)
        case UInt8(ascii: "\""): try string()
        case UInt8(ascii: "t"): try literal("true", .true)
        case UInt8(ascii: "f"): try literal("false", .false)
        case UInt8(ascii: "n"): try literal("null", .null)
        case let byte? where byte == UInt8(ascii: "-") || byte.isDigit: try number()
        default: throw unexpected("a value")
        }
        return .commaOrEnd
    }

    private mutating func openContainer(_ kind: JSONKind) throws(FormatError) -> Expectation {
        guard open.count < JSONDocument.depthLimit else {
            throw fault(.nestingTooDeep, "values are nested more than \(JSONDocument.depthLimit) deep")
        }
        open.append(nodes.count)
        try append(kind, from: position, to: position)
        position += 1
        return kind == .object ? .keyOrEnd : .elementOrEnd
    }

    private mutating func close() throws(FormatError) -> Expectation {
        position += 1
        let container = open.removeLast()
        nodes[container].end = UInt32(position)
        nodes[container].next = UInt32(nodes.count)
        if nodes[container].kind == .object { noteDuplicates(of: container) }
        return .commaOrEnd
    }

    private mutating func literal(_ word: StaticString, _ kind: JSONKind) throws(FormatError) {
        let start = position
        for offset in 0..<word.utf8CodeUnitCount {
            guard peek == word.utf8Start[offset] else { throw unexpected("a value") }
            position += 1
        }
        try append(kind, from: start, to: position)
    }

    private mutating func number() throws(FormatError) {
        let start = position
        if peek == UInt8(ascii: "-") { position += 1 }
        if peek == UInt8(ascii: "0") {
            position += 1
            if peek?.isDigit ?? false { throw fault(.invalidJSON, "a number has a leading zero") }
        } else {
            try digits()
        }
        if peek == UInt8(ascii: ".") {
            position += 1
            try digits()
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            position += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        try append(.number, from: start, to: position)
    }

    private mutating func digits() throws(FormatError) {
        let start = position
        while peek?.isDigit ?? false { position += 1 }
        guard position > start else { throw unexpected("a digit") }
    }

    private mutating func string() throws(FormatError) {
        position += 1
        let start = position
        var hasEscapes = false
        while let byte = peek, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else {
                throw fault(.invalidJSON, "a string holds the control byte \(hexadecimal(byte)), which must be escaped")
            }
            position += 1
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                try escape()
            }
        }
        guard position < text.count else { throw unexpected("the closing quote of a string") }
        try append(.string, from: start, to: position, hasEscapes: hasEscapes)
        position += 1
    }

    /// Checks what follows a backslash.
    private mutating func escape() throws(FormatError) {
        switch peek {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 1
        case UInt8(ascii: "u"):
            position += 1
            let unit = try codeUnit()
            if (0xDC00..<0xE000).contains(unit) { throw loneSurrogate() }
            guard (0xD800..<0xDC00).contains(unit) else { return }
            guard peek == UInt8(ascii: "\\") else { throw loneSurrogate() }
            position += 1
            guard peek == UInt8(ascii: "u") else { throw loneSurrogate() }
            position += 1
            guard (0xDC00..<0xE000).contains(try codeUnit()) else { throw loneSurrogate() }
        default: throw unexpected("an escape sequence")
        }
    }

    private mutating func codeUnit() throws(FormatError) -> UInt32 {
        guard let unit = text.withUnsafeBufferPointer({ JSONEscapes.codeUnit($0, at: position) }) else {
            throw unexpected("four hexadecimal digits after `\\u`")
        }
        position += 4
        return unit
    }

    private mutating func append(
        _ kind: JSONKind, from start: Int, to end: Int, hasEscapes: Bool = false
    ) throws(FormatError) {
        guard nodes.count < JSONDocument.valueLimit else {
            throw fault(.headerTooLarge, "the JSON text holds more than \(JSONDocument.valueLimit) values")
        }
        nodes.append(
            JSONNode(
                start: UInt32(start), end: UInt32(end), next: UInt32(nodes.count + 1), kind: kind,
                hasEscapes: hasEscapes))
    }

    // MARK: Bytes

    private var peek: UInt8? { position < text.count ? text[position] : nil }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    // MARK: Duplicate keys

    /// Remembers the first key that an object holds twice.
    private mutating func noteDuplicates(of object: Int) {
        if let found = JSONKeys(text: text, nodes: nodes, object: object).firstDuplicate,
            duplicate.map({ found.start < $0.start }) ?? true
        {
            duplicate = found
        }
    }

    // MARK: Errors

    private func fault(_ category: FormatCategory, _ message: String, at place: Int? = nil) -> FormatError {
        FormatError(category, message, file: file, byteOffset: base + (place ?? position))
    }

    private func duplicateKey(_ key: JSONNode) -> FormatError {
        let value = JSONValue(document: JSONDocument(text: text, nodes: [key], base: base), index: 0)
        return fault(
            .duplicateKey, "the key \"\((value.string ?? "").escapingControlCharacters)\" appears twice in one object",
            at: Int(key.start) - 1)
    }

    private func loneSurrogate() -> FormatError {
        fault(.invalidJSON, "a string holds half of a surrogate pair")
    }

    private func unexpected(_ wanted: String) -> FormatError {
        guard let byte = peek else {
            return fault(.invalidJSON, "the JSON text ends where \(wanted) should be")
        }
        let found =
            (0x21..<0x7F).contains(byte) ? "`\(Character(Unicode.Scalar(byte)))`" : "byte \(hexadecimal(byte))"
        return fault(.invalidJSON, "the JSON text has \(found) where \(wanted) should be")
    }

    private func hexadecimal(_ byte: UInt8) -> String {
        "0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }
}

extension UInt8 {
    fileprivate var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }
}
