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
        for entry in self.metadata { try metadata.set(entry, file: file.path) }
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
}
