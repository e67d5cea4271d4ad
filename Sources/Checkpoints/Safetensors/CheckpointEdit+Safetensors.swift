import TensorCore

extension CheckpointEdit {
    /// What a header that had to be written anew has room for, so that the next edit leaves the data where it is.
    private static let spareByteCount = 4096

    /// Works out what the edit makes of a safetensors file. The order of the data stays.
    ///
    /// - Throws: `EditError`, `FormatError` for a file that breaks a rule, and for names that the format does not have.
    func safetensors(_ file: FileDescription) throws -> EditedFile {
        let header = try file.file.withUnsafeBytes { bytes throws(FormatError) in
            try SafetensorsHeader(parsing: bytes, of: file.path)
        }
        var metadata = header.metadata
        try requireKeys(metadata.entries.map(\.key), in: file)
        for key in removedKeys { metadata[key] = nil }
        for entry in self.metadata { metadata[entry.key] = entry.value }
        let old = header.entries
        let tensors = try tensors(of: old.map(\.descriptor.name), in: file)
        if let reserved = tensors.first(where: { $0.name == "__metadata__" }) {
            throw FormatError(
                .badName, "safetensors keeps the name \"__metadata__\" for itself", file: file.path,
                tensor: old[reserved.index].descriptor.name)
        }

        var entries: [SafetensorsHeader.Entry] = []
        var end = 0
        for tensor in tensors {
            let entry = old[tensor.index]
            // No more than the file has.
            entries.append(
                SafetensorsHeader.Entry(
                    descriptor: entry.descriptor.renamed(tensor.name), range: end..<end + entry.range.count))
            end += entry.range.count
        }
        let oldHeadByteCount = old.map(\.range.lowerBound).min() ?? file.file.byteCount
        var head = try SafetensorsHeader.bytes(entries, metadata: metadata, file: file.path)
        let stays = tensors.count == old.count
        if stays, head.count <= oldHeadByteCount {
            head = try SafetensorsHeader.bytes(
                entries, metadata: metadata, byteCount: oldHeadByteCount, file: file.path)
        } else if head.count <= SafetensorsHeader.byteCountLimit - Self.spareByteCount {
            head = try SafetensorsHeader.bytes(
                entries, metadata: metadata, byteCount: head.count + Self.spareByteCount, file: file.path)
        }
        return EditedFile(
            head: head,
            parts: zip(tensors, entries).map { tensor, entry in
                EditedFile.Part(source: old[tensor.index].range, target: head.count + entry.range.lowerBound)
            },
            byteCount: head.count + end,
            renamedCount: tensors.count { $0.name != old[$0.index].descriptor.name },
            droppedCount: old.count - tensors.count)
    }
}
