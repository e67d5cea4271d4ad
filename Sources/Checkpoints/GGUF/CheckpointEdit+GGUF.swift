import SystemPackage
import TensorCore

extension CheckpointEdit {
    /// Works out what the edit makes of a GGUF file. The order and the alignment of the data stay; values keep the kind that their
    /// key has.
    ///
    /// - Throws: `EditError`, `FormatError` for a file that breaks a rule, and for names that the format does not have.
    func gguf(_ file: FileDescription) throws -> EditedFile {
        let header = try file.file.withUnsafeBytes { bytes throws(FormatError) in
            try GGUFHeader(parsing: bytes, of: file.path)
        }
        var metadata = header.metadata
        try requireKeys(metadata.entries.map(\.key), in: file)
        for key in removedKeys {
            try GGUFMetadata.requireFree(key, file: file.path)
            metadata[key] = nil
        }
        for entry in self.metadata { try metadata.set(entry, file: file.path) }
        let old = header.entries
        let tensors = try tensors(of: old.map(\.descriptor.name), in: file)
        let layout = try GGUFLayout(
            tensors.map { old[$0.index].descriptor.renamed($0.name) }, metadata: metadata, keepsAlignment: true,
            file: file.path)
        let parts = zip(tensors, layout.offsets).map { tensor, offset in
            EditedFile.Part(source: old[tensor.index].range, target: offset)
        }
        let changes = tensors.count != old.count || tensors.contains { $0.name != old[$0.index].descriptor.name }
        try Self.requireParts(header.metadata, metadata, changesTensors: changes, file: file.path)
        // The padding of the last tensor may be missing.
        let end = parts.last.map { $0.target + $0.source.count } ?? layout.head.count
        let stays = tensors.count == old.count && (end...layout.fileByteCount).contains(file.file.byteCount)
        return EditedFile(
            head: layout.head, parts: parts, byteCount: stays ? file.file.byteCount : layout.fileByteCount,
            renamedCount: tensors.count { $0.name != old[$0.index].descriptor.name },
            droppedCount: old.count - tensors.count)
    }

    /// Makes sure that the parts of a split checkpoint still belong together.
    private static func requireParts(
        _ old: GGUFMetadata, _ new: GGUFMetadata, changesTensors: Bool, file: FilePath
    ) throws {
        guard let part = try GGUFSplit(old, file: file) ?? GGUFSplit(new, file: file) else { return }
        guard changesTensors || !GGUFSplit.isEqual(old, new) else { return }
        let first = GGUFSplit.first(of: file).string
        throw EditError(
            .shard,
            "\(file.string) would be part \(part.number + 1) of \(part.count) parts that do not know what it holds",
            file: file,
            hint: "make one file of all parts with `untangle convert \(first) OUTPUT.gguf`, and edit that")
    }
}
