import SystemPackage
import TensorCore

extension GGUFMetadata {
    /// Sets a key that is there to a value of its kind, and another one to a text, or to the kind behind a colon: `KEY:uint32`.
    ///
    /// - Parameter file: named in errors.
    /// - Throws: `EditError` `edit.bad_value` for a text that is no value of the kind, for a kind that there is not or that the key
    ///   does not have, for arrays, and for the alignment.
    public mutating func set(_ entry: Metadata.Entry, file: FilePath) throws(EditError) {
        let (key, asked) = try Self.parts(of: entry.key, isKnown: self[entry.key] != nil, file: file)
        try Self.requireFree(key, file: file)
        let name = key.escapingControlCharacters
        let kind = self[key]?.kind
        if let kind, let asked, kind != asked {
            throw EditError(
                .badValue, "\"\(name)\" is of the kind \(kind), not \(asked)", file: file,
                hint: "a key keeps its kind: leave out \":\(asked)\", or remove the key first")
        }
        let wanted = kind ?? asked ?? .string
        guard let value = GGUFValue(entry.value, as: wanted) else {
            throw EditError(
                .badValue,
                "\"\(entry.value.escapingControlCharacters)\" is no value of the kind \(wanted), which \"\(name)\" has",
                file: file, hint: wanted == .array ? "arrays are not set" : "give a value of that kind")
        }
        self[key] = value
    }

    /// A key and the kind behind its last colon. A key that is there may have a colon itself.
    private static func parts(
        of text: String, isKnown: Bool, file: FilePath
    ) throws(EditError) -> (key: String, kind: GGUFValue.Kind?) {
        guard !isKnown, let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return (text, nil) }
        let name = text[text.utf8.index(after: colon)...]
        guard let kind = GGUFValue.Kind.allCases.first(where: { "\($0)" == name }) else {
            let kinds = GGUFValue.Kind.allCases.filter { $0 != .array }.map { "\($0)" }
            throw EditError(
                .badValue, "\"\(String(name).escapingControlCharacters)\" is no kind of value", file: file,
                hint: "kinds are \(kinds.joined(separator: ", ")); a new key with a colon ends in \":string\"")
        }
        return (String(text[..<colon]), kind)
    }

    /// Makes sure that a key says something of the model, not where the data lie.
    static func requireFree(_ key: String, file: FilePath) throws(EditError) {
        guard key == GGUFHeader.alignmentKey else { return }
        throw EditError(
            .badValue, "\"\(key)\" says where the data of the file lie, and stays what it is", file: file,
            hint: "a file of the alignment \(GGUFHeader.defaultAlignment) is what `untangle convert` writes")
    }
}
