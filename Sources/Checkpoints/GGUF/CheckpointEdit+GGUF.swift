import TensorCore

extension CheckpointEdit {
    /// Works out what the edit makes of a GGUF file. The order of the data stays; values keep the kind that their key has.
    ///
    /// - Throws: `EditError`, `FormatError` for a file that breaks a rule, and for names that the format does not have.
    func gguf(_ file: FileDescription) throws -> EditedFile {
        let header = try file.file.withUnsafeBytes { bytes throws(FormatError) in
            try GGUFHeader(parsing: bytes, of: file.path)
        }
        var metadata = header.metadata
        try requireKeys(metadata.entries.map(\.key), in: file)
        for key in removedKeys { metadata[key] = nil }
        for entry in self.metadata { try Self.set(entry, in: &metadata, file) }
        let old = header.entries
        let tensors = try tensors(of: old.map(\.descriptor.name), in: file)
        let layout = try GGUFLayout(
            tensors.map { old[$0.index].descriptor.renamed($0.name) }, metadata: metadata, file: file.path)
        let parts = zip(tensors, layout.offsets).map { tensor, offset in
            EditedFile.Part(source: old[tensor.index].range, target: offset)
        }
        // The padding of the last tensor may be missing.
        let end = parts.last.map { $0.target + $0.source.count } ?? layout.head.count
        let stays = tensors.count == old.count && (end...layout.fileByteCount).contains(file.file.byteCount)
        return EditedFile(
            head: layout.head, parts: parts, byteCount: stays ? file.file.byteCount : layout.fileByteCount,
            renamedCount: tensors.count { $0.name != old[$0.index].descriptor.name },
            droppedCount: old.count - tensors.count)
    }

    /// Sets a key that is there to a value of its kind, and another one to a text, or to the kind behind a colon: `KEY:uint32`.
    private static func set(
        _ entry: Metadata.Entry, in metadata: inout GGUFMetadata, _ file: FileDescription
    ) throws(EditError) {
        var (key, kind) = (entry.key, metadata[entry.key]?.kind)
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
                    + "\"\(key.escapingControlCharacters)\" has", file: file.path,
                hint: kind == .array ? "arrays are not set" : nil)
        }
        metadata[key] = value
    }
}
