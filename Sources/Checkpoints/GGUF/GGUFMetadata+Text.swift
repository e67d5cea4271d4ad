import SystemPackage

extension GGUFMetadata {
    /// Sets a key that is there to a value of its kind, and another one to a text, or to the kind behind a colon: `KEY:uint32`.
    ///
    /// - Parameter file: named in errors.
    /// - Throws: `EditError` `edit.bad_value` for a text that is no value of the kind, and for arrays.
    public mutating func set(_ entry: Metadata.Entry, file: FilePath) throws(EditError) {
        var (key, kind) = (entry.key, self[entry.key]?.kind)
        if kind == nil, let colon = key.utf8.lastIndex(of: UInt8(ascii: ":")),
            let named = GGUFValue.Kind.allCases.first(where: { "\($0)" == key[key.utf8.index(after: colon)...] })
        {
            (key, kind) = (String(key[..<colon]), named)
        }
        guard let value = GGUFValue(entry.value, as: kind ?? .string) else {
            let name = kind.map { "\($0)" } ?? "string"
            throw EditError(
                .badValue,
                "\"\(entry.value.escapingControlCharacters)\" is no value of the kind \(name), which "
                    + "\"\(key.escapingControlCharacters)\" has", file: file,
                hint: kind == .array ? "arrays are not set" : "give a value of that kind")
        }
        self[key] = value
    }
}
