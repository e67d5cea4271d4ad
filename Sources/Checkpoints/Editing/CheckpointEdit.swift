import TensorCore

/// Changes to what a file says of its tensors and of itself; the numbers stay what they are.
public struct CheckpointEdit: Sendable {
    /// Entries of the metadata that are added, or replaced where their key is there.
    public var metadata: [Metadata.Entry]
    /// Keys of entries that are removed.
    public var removedKeys: [String]
    /// Which tensors are left out.
    public var dropped: TensorPatterns
    /// New names, applied one after the other to those of all tensors that stay.
    public var renames: [TensorRename]

    public init(
        metadata: [Metadata.Entry] = [], removedKeys: [String] = [], dropped: TensorPatterns = TensorPatterns(),
        renames: [TensorRename] = []
    ) {
        self.metadata = metadata
        self.removedKeys = removedKeys
        self.dropped = dropped
        self.renames = renames
    }

    /// Whether there is nothing to be changed.
    public var isEmpty: Bool { metadata.isEmpty && removedKeys.isEmpty && dropped.isEmpty && renames.isEmpty }
}

/// What an edit did.
public struct EditReport: Sendable, Hashable {
    /// Whether the data stayed where it was.
    public let isInPlace: Bool
    public let renamedCount: Int
    public let droppedCount: Int
    /// The size of the file.
    public let byteCount: Int
}

// MARK: - Names

/// One tensor under its old and its new name.
struct EditedTensor {
    /// The position in the file.
    let index: Int
    let name: TensorName
}

extension CheckpointEdit {
    /// The tensors that stay, under their new names.
    ///
    /// - Throws: `EditError` when a pattern of what is left out matches nothing, or two tensors get one name.
    func tensors(of names: [TensorName], in file: FileDescription) throws -> [EditedTensor] {
        if let pattern = dropped.unused(among: names).first {
            throw EditError.missing(.noSuchTensor, "no tensor matches \"\(pattern)\"", file)
        }
        let kept = names.enumerated().filter { !dropped.contains($0.element) }
        let renamed = try Renaming(renames).names(of: kept.map(\.element)) { collision in
            EditError(
                .duplicateName, collision.message, file: file.path, hint: "change the rules, or drop one of them")
        }
        return zip(kept, renamed.names).map { EditedTensor(index: $0.offset, name: $1) }
    }

    /// Makes sure that the keys to be removed are there.
    ///
    /// - Throws: `EditError` `edit.no_such_key`.
    func requireKeys(_ keys: some Sequence<String>, in file: FileDescription) throws(EditError) {
        let known = Set(keys.map { TensorName($0) })
        if let key = removedKeys.first(where: { !known.contains(TensorName($0)) }) {
            throw .missing(.noSuchKey, "the metadata has no \"\(key.escapingControlCharacters)\"", file)
        }
    }
}
