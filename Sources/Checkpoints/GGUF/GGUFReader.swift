import SystemPackage
import TensorCore

/// Reads a GGUF checkpoint by mapping it, of one file or of several; see `GGUFHeader` for the layout. Quantised tensors are given as
/// the blocks that are stored.
public final class GGUFReader: CheckpointReader {
    public let path: FilePath
    public let descriptors: [TensorDescriptor]
    /// The key-value pairs with their types; of a split checkpoint those of the first part, without the keys that make it one.
    public let typedMetadata: GGUFMetadata
    public let warnings: [Warning]
    private let parts: [GGUFFile]
    private let places: [(part: Int, index: Int)]

    /// Opens a file and checks its head; tensor data is not touched. Of a split checkpoint the first part is opened, and the
    /// others are found beside it. With `options.salvaging` tensors that a file ends before are not among the descriptors:
    /// `verify` tells of them.
    ///
    /// - Throws: `FormatError` with the byte offset of the first rule that is broken; of a split checkpoint `missing_shard` with
    ///   the name of the part, `index_mismatch` for a part of another checkpoint; `IOError` when a file cannot be read.
    public init(opening path: FilePath, options: ReadOptions = ReadOptions()) throws {
        let first = try GGUFFile(opening: path, salvaging: options.salvaging)
        var metadata = first.header.metadata
        if let split = try GGUFSplit(metadata, file: path) {
            parts = try split.parts(following: first, salvaging: options.salvaging)
            GGUFSplit.removeKeys(from: &metadata)
        } else {
            parts = [first]
        }
        self.path = path
        typedMetadata = metadata
        descriptors = parts.flatMap { $0.header.entries.map(\.descriptor) }
        places = parts.enumerated().flatMap { part, file in file.header.entries.indices.map { (part, $0) } }
        warnings = options.notes
    }

    /// Models of known architectures under the names that transformers gives, with the rows of queries and keys as there, and of the
    /// metadata what stays true of the model.
    ///
    /// - Throws: `FormatError` `bad_shape` when the heads do not fill the rows of queries or keys.
    public func inCommonNames() throws -> any CheckpointReader {
        if let translation = GGUFTranslation(typedMetadata) {
            return try translation.fromGGUF(self, metadata: typedMetadata.modelTexts)
        }
        let tensors = descriptors.enumerated().map { ViewedTensor(self, $0.offset, named: $0.element.name) }
        return CheckpointView(
            self, tensors, metadata: typedMetadata.modelTexts,
            notes: [GGUFTranslation.obstacle(in: typedMetadata)].compactMap { $0 })
    }

    public var format: FormatID { .gguf }
    public var files: [FilePath] { parts.map(\.path) }
    public var metadata: Metadata { typedMetadata.texts }
    public func isMapped(_ index: Int) -> Bool { true }
    public func bytes(of index: Int) -> TensorBytes { parts[places[index].part].bytes(of: places[index].index) }
    public func location(of index: Int) -> StoredLocation {
        parts[places[index].part].location(of: places[index].index)
    }

    /// Reads all files. The format has no checksums, so damage is what the disk cannot return.
    ///
    /// - Throws: as `CheckpointReader.verify`.
    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        var result = Verification()
        for part in parts {
            result += try part.verify(threads: threads, progress: progress)
        }
        return result
    }
}
