import TensorCore

/// A value inside a `JSONDocument`. Every accessor answers nil when the value is of another kind.
public struct JSONValue: Sendable {
    let document: JSONDocument
    let index: Int

    private var node: JSONNode { document.nodes[index] }
    private var textRange: Range<Int> { Int(node.start)..<Int(node.end) }

    public var kind: JSONKind { node.kind }
    public var isNull: Bool { kind == .null }

    /// Where the value begins in its file.
    public var byteOffset: Int {
        document.base + Int(node.start) - (kind == .string ? 1 : 0)
    }

    public var bool: Bool? {
        switch kind {
        case .true: true
        case .false: false
        default: nil
        }
    }

    /// The unescaped text of a string.
    public var string: String? {
        guard kind == .string else { return nil }
        // The document was validated, so decoding repairs nothing.
        if node.hasEscapes { return String(decoding: unescapedBytes, as: UTF8.self) }
        return document.text.withUnsafeBufferPointer { String(decoding: $0[textRange], as: UTF8.self) }
    }

    /// Whether the value is this very string, without making a `String`.
    func isString(_ expected: StaticString) -> Bool {
        guard kind == .string else { return false }
        if node.hasEscapes { return string?.utf8.elementsEqual(String(describing: expected).utf8) ?? false }
        guard textRange.count == expected.utf8CodeUnitCount else { return false }
        return document.text.withUnsafeBufferPointer { text in
            // Safety: a literal longer than one scalar has a pointer representation; the length was compared.
            for offset in 0..<textRange.count where text[textRange.lowerBound + offset] != expected.utf8Start[offset] {
                return false
            }
            return true
        }
    }

    /// The bytes of a string after unescaping.
    var unescapedBytes: [UInt8] {
        document.text.withUnsafeBufferPointer { JSONEscapes.decode(UnsafeBufferPointer(rebasing: $0[textRange])) }
    }

    /// A number as it is written.
    public var numberText: String? {
        guard kind == .number else { return nil }
        return document.text.withUnsafeBufferPointer { String(decoding: $0[textRange], as: UTF8.self) }
    }

    /// An integer of up to 2^64-1 written with digits only: `4.0`, `4e0` and `-0` are not.
    public var uint64: UInt64? {
        guard kind == .number else { return nil }
        return document.text.withUnsafeBufferPointer { text in
            var value: UInt64 = 0
            for position in textRange {
                let digit = text[position] &- UInt8(ascii: "0")
                guard digit <= 9 else { return nil }
                let (tens, tooLarge) = value.multipliedReportingOverflow(by: 10)
                let (sum, overflow) = tens.addingReportingOverflow(UInt64(digit))
                if tooLarge || overflow { return nil }
                value = sum
            }
            return value
        }
    }

    /// An integer that fits `Int`, with or without a sign.
    public var int: Int? { numberText.flatMap(Int.init) }

    /// Any number, rounded to the nearest double; infinite when it is out of range.
    public var double: Double? { numberText.flatMap(Double.init) }

    /// The elements of an array.
    public var array: JSONElements? {
        guard kind == .array else { return nil }
        return JSONElements(document: document, start: index + 1, end: Int(node.next))
    }

    /// The members of an object in the order of the text.
    public var object: JSONMembers? {
        guard kind == .object else { return nil }
        return JSONMembers(document: document, start: index + 1, end: Int(node.next))
    }

    /// The value of an object's key, compared by bytes; nil when the key is missing or the value no object.
    public subscript(key: String) -> JSONValue? {
        object?.first { $0.key.utf8.elementsEqual(key.utf8) }?.value
    }
}

/// The elements of an array, in order.
public struct JSONElements: Sequence, Sendable {
    let document: JSONDocument
    let start: Int
    let end: Int

    /// The number of elements; walks over them.
    public var count: Int { reduce(0) { count, _ in count + 1 } }

    public struct Iterator: IteratorProtocol {
        let document: JSONDocument
        var position: Int
        let end: Int

        public mutating func next() -> JSONValue? {
            guard position < end else { return nil }
            defer { position = Int(document.nodes[position].next) }
            return JSONValue(document: document, index: position)
        }
    }

    public func makeIterator() -> Iterator { Iterator(document: document, position: start, end: end) }
}

/// The members of an object, in the order of the text.
public struct JSONMembers: Sequence, Sendable {
    let document: JSONDocument
    let start: Int
    let end: Int

    /// One key with its value.
    public struct Member: Sendable {
        /// The key as a string value, with its byte offset.
        public let name: JSONValue
        public let value: JSONValue
        /// The unescaped key.
        public var key: String { name.string ?? "" }
    }

    public struct Iterator: IteratorProtocol {
        let document: JSONDocument
        var position: Int
        let end: Int

        public mutating func next() -> Member? {
            guard position < end else { return nil }
            defer { position = Int(document.nodes[position + 1].next) }
            return Member(
                name: JSONValue(document: document, index: position),
                value: JSONValue(document: document, index: position + 1))
        }
    }

    public func makeIterator() -> Iterator { Iterator(document: document, position: start, end: end) }
}
