/// A Python literal of the kinds that occur in the header of an array.
enum NpyLiteral {
    case text([UInt8])
    /// A decimal integer without sign; nil when it needs more than 63 bits.
    case integer(Int?)
    /// A number that is no dimension: negative, a fraction or complex.
    case otherNumber
    case boolean(Bool)
    case none
    case tuple([NpyLiteral])
    case list([NpyLiteral])
    case dictionary([Pair])
    /// One value in round brackets and no comma: the value itself to Python, and nothing that NumPy writes.
    case bracketed

    struct Pair {
        let key: NpyLiteral
        let value: NpyLiteral
        /// Where the key begins.
        let position: Int
    }

    /// What the literal is, for messages.
    var kind: String {
        switch self {
        case .text: "a string"
        case .integer: "an integer"
        case .otherNumber: "a number that is no non-negative integer"
        case .boolean: "a boolean"
        case .none: "None"
        case .tuple: "a tuple"
        case .list: "a list"
        case .dictionary: "a dictionary"
        case .bracketed: "a value in brackets"
        }
    }
}

/// A header text breaks the grammar.
struct NpyGrammarError: Error {
    let position: Int
    let expectation: String
}

/// Parses the header text of an array: literals only, nothing is ever evaluated.
///
/// Accepts what NumPy on Python 2 and 3 writes: strings with either quote and an optional `u`, decimal integers with an optional
/// `L`, `True`, `False`, `None`, tuples, lists and dictionaries with an optional last comma.
struct NpyLiteralParser {
    private let text: [UInt8]
    private var position = 0

    private static let maximumDepth = 8

    init(_ text: [UInt8]) { self.text = text }

    /// The one literal that the whole text is.
    mutating func parse() throws(NpyGrammarError) -> NpyLiteral {
        let literal = try value(depth: 0)
        skipSpace()
        if position < text.count { throw failure("nothing but white space after the closing bracket") }
        return literal
    }

    private func failure(_ expectation: String) -> NpyGrammarError {
        NpyGrammarError(position: position, expectation: expectation)
    }

    private var next: UInt8? { position < text.count ? text[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || (0x09...0x0D).contains(byte) { position += 1 }
    }

    private mutating func take(_ byte: Character) -> Bool {
        skipSpace()
        guard next == byte.asciiValue else { return false }
        position += 1
        return true
    }

    private mutating func value(depth: Int) throws(NpyGrammarError) -> NpyLiteral {
        skipSpace()
        guard depth < Self.maximumDepth else { throw failure("at most \(Self.maximumDepth) levels of brackets") }
        guard let byte = next else { throw failure("a value") }
        switch byte {
        case UInt8(ascii: "{"): return try dictionary(depth: depth)
        case UInt8(ascii: "("):
            position += 1
            let (items, hasComma) = try items(until: ")", depth: depth)
            return items.count == 1 && !hasComma ? .bracketed : .tuple(items)
        case UInt8(ascii: "["):
            position += 1
            return .list(try items(until: "]", depth: depth).items)
        case UInt8(ascii: "'"), UInt8(ascii: "\""): return .text(try string())
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."):
            return try number()
        default: return try word()
        }
    }

    private mutating func items(
        until close: Character, depth: Int
    ) throws(NpyGrammarError) -> (items: [NpyLiteral], hasComma: Bool) {
        var items: [NpyLiteral] = []
        var hasComma = false
        while !take(close) {
            if !items.isEmpty, !hasComma { throw failure("a comma or \"\(close)\"") }
            items.append(try value(depth: depth + 1))
            hasComma = take(",")
        }
        return (items, hasComma)
    }

    private mutating func dictionary(depth: Int) throws(NpyGrammarError) -> NpyLiteral {
        position += 1
        var pairs: [NpyLiteral.Pair] = []
        var hasComma = true
        while !take("}") {
            guard hasComma else { throw failure("a comma or \"}\"") }
            skipSpace()
            let start = position
            let key = try value(depth: depth + 1)
            guard take(":") else { throw failure("a colon after the key") }
            pairs.append(NpyLiteral.Pair(key: key, value: try value(depth: depth + 1), position: start))
            hasComma = take(",")
        }
        return .dictionary(pairs)
    }

    private mutating func string() throws(NpyGrammarError) -> [UInt8] {
        let quote = text[position]
        position += 1
        let start = position
        while let byte = next, byte != quote {
            if byte == UInt8(ascii: "\\") { throw failure("a string without escapes") }
            if byte < 0x20 { throw failure("a closing quote") }
            position += 1
        }
        guard next == quote else { throw failure("a closing quote") }
        position += 1
        return Array(text[start..<position - 1])
    }

    private mutating func number() throws(NpyGrammarError) -> NpyLiteral {
        let start = position
        while let byte = next, Self.continuesNumber(byte) { position += 1 }
        let run = text[start..<position]
        guard run.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            guard Self.isNumber(run) else {
                position = start
                throw failure("a decimal integer")
            }
            return .otherNumber
        }
        if run.count > 1, run.first == UInt8(ascii: "0") {
            position = start
            throw failure("a decimal integer without leading zeros")
        }
        if next == UInt8(ascii: "L") || next == UInt8(ascii: "l") { position += 1 }
        return .integer(Int(String(decoding: run, as: UTF8.self)))
    }

    /// Digits, a point, an exponent and `j` for imaginary numbers; a sign inside is an expression's.
    private static func isNumber(_ run: ArraySlice<UInt8>) -> Bool {
        var previous: UInt8?
        for byte in run {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"),
                UInt8(ascii: "j"), UInt8(ascii: "J"):
                break
            case UInt8(ascii: "+"), UInt8(ascii: "-"):
                if let previous, previous | 0x20 != UInt8(ascii: "e") { return false }
            default: return false
            }
            previous = byte
        }
        return run.contains { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }

    private static func continuesNumber(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "+"),
            UInt8(ascii: "_"):
            true
        case UInt8(ascii: "L"), UInt8(ascii: "l"): false
        default: isLetter(byte)
        }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    private mutating func word() throws(NpyGrammarError) -> NpyLiteral {
        let start = position
        while let byte = next, Self.isLetter(byte) { position += 1 }
        switch String(decoding: text[start..<position], as: UTF8.self) {
        case "True": return .boolean(true)
        case "False": return .boolean(false)
        case "None": return .none
        case "u", "U":
            if next == UInt8(ascii: "'") || next == UInt8(ascii: "\"") { return .text(try string()) }
        default: break
        }
        position = start
        throw failure("a string, number, True, False, None or bracket")
    }
}
