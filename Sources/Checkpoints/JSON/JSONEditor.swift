/// Changes single values of a JSON text and leaves every other byte as it is: order, spaces, unknown keys, forms of numbers.
public struct JSONEditor {
    public private(set) var text: [UInt8]

    /// Takes a text to edit.
    ///
    /// - Throws: `FormatError` when the text is not strict JSON.
    public init(_ text: [UInt8]) throws(FormatError) {
        _ = try JSONDocument.parse(text)
        self.text = text
    }

    /// The whole document as it stands.
    public var root: JSONValue {
        get throws(FormatError) { try JSONDocument.parse(text) }
    }

    /// Replaces the value of a key, or adds the key behind the last one of its object.
    ///
    /// - Parameters:
    ///   - path: the keys down to the value. Without an object to hold the last key, nothing is changed.
    ///   - literal: the new value as JSON text.
    /// - Returns: whether the text has changed.
    /// - Throws: `FormatError` when the literal makes the text no JSON.
    @discardableResult
    public mutating func set(_ path: [String], to literal: String) throws(FormatError) -> Bool {
        guard let key = path.last, let object = try value(at: path.dropLast()), object.kind == .object else {
            return false
        }
        if let value = object[key] {
            let range = value.sourceRange
            guard !text[range].elementsEqual(literal.utf8) else { return false }
            text.replaceSubrange(range, with: literal.utf8)
        } else {
            insert(key, literal, into: object)
        }
        return true
    }

    /// Removes a key with its value, and the comma that parted it from its neighbours.
    ///
    /// - Parameter path: the keys down to the value.
    /// - Returns: whether the key was there.
    /// - Throws: nothing that the text was not refused for before.
    @discardableResult
    public mutating func remove(_ path: [String]) throws(FormatError) -> Bool {
        guard let key = path.last, let members = try value(at: path.dropLast())?.object.map(Array.init),
            let place = members.firstIndex(where: { $0.key.utf8.elementsEqual(key.utf8) })
        else { return false }
        let member = members[place].name.sourceRange.lowerBound..<members[place].value.sourceRange.upperBound
        if place + 1 < members.count {
            text.removeSubrange(member.lowerBound..<members[place + 1].name.sourceRange.lowerBound)
        } else if place > 0 {
            text.removeSubrange(members[place - 1].value.sourceRange.upperBound..<member.upperBound)
        } else {
            text.removeSubrange(member)
        }
        return true
    }

    /// Text as a JSON string with its quotes.
    public static func quoted(_ text: String) -> String {
        var json: [UInt8] = []
        JSONEscapes.append(text, to: &json)
        return String(decoding: json, as: UTF8.self)
    }

    private func value(at path: some Sequence<String>) throws(FormatError) -> JSONValue? {
        var value: JSONValue? = try root
        for key in path { value = value?[key] }
        return value
    }

    /// Adds a member with the white space that the object has before its first key and behind its first colon.
    private mutating func insert(_ key: String, _ literal: String, into object: JSONValue) {
        var members = object.object?.makeIterator()
        let start = object.sourceRange.lowerBound + 1
        guard let first = members?.next() else {
            text.replaceSubrange(start..<start, with: "\(Self.quoted(key)): \(literal)".utf8)
            return
        }
        var last = first
        while let next = members?.next() { last = next }
        let lead = text[start..<first.name.sourceRange.lowerBound]
        let gap = text[first.name.sourceRange.upperBound..<first.value.sourceRange.lowerBound]
        var member: [UInt8] = [UInt8(ascii: ",")]
        member += lead.isEmpty && gap.count > 1 ? [UInt8(ascii: " ")] : Array(lead)
        member += Self.quoted(key).utf8
        member += gap
        member += literal.utf8
        let end = last.value.sourceRange.upperBound
        text.replaceSubrange(end..<end, with: member)
    }
}

extension JSONValue {
    /// Where the value stands in its text, with the quotes of a string.
    fileprivate var sourceRange: Range<Int> {
        let node = document.nodes[index]
        let quote = node.kind == .string ? 1 : 0
        return Int(node.start) - quote..<Int(node.end) + quote
    }
}
