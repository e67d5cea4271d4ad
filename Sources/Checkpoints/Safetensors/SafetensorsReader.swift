import SystemPackage
import TensorCore

/// Reads a safetensors file by mapping it; see `SafetensorsHeader` for the layout.
public final class SafetensorsReader: CheckpointReader {
    public let path: FilePath
    public let descriptors: [TensorDescriptor]
    public let metadata: Metadata
    public let warnings: [Warning]
    private let file: MappedFile
    private let ranges: [Range<Int>]
    /// What is wrong with the data of a file that is salvaged.
    let damage: [Damage]

    /// Opens a safetensors file and checks its header; tensor data is not touched. With `options.salvaging` tensors that the
    /// file ends before are not among the descriptors, and bytes behind the last one are no error: `verify` tells of both.
    ///
    /// - Throws: `FormatError` with the byte offset of the first rule that is broken, `IOError` when the file cannot be
    ///   read.
    public init(opening path: FilePath, options: ReadOptions = ReadOptions()) throws {
        self.path = path
        file = try EditJournal.map(path)
        let header = try file.withUnsafeBytes { bytes throws(FormatError) in
            try SafetensorsHeader(parsing: bytes, of: path, salvaging: options.salvaging)
        }
        descriptors = header.entries.map(\.descriptor)
        ranges = header.entries.map(\.range)
        damage = header.damage
        metadata = header.metadata
        warnings = options.notes + header.warnings
    }

    public var format: FormatID { .safetensors }
    public var files: [FilePath] { [path] }
    public func isMapped(_ index: Int) -> Bool { true }
    public func location(of index: Int) -> StoredLocation { StoredLocation(file: path, range: ranges[index]) }
    public func bytes(of index: Int) -> TensorBytes { TensorBytes(mapped: file, range: ranges[index]) }

    /// Reads the whole file. The format has no checksums, so damage is what the disk cannot return.
    ///
    /// - Throws: as `CheckpointReader.verify`.
    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        var result = try FileScan.verification(
            of: path, byteCount: file.byteCount, tensors: zip(descriptors.map(\.name), ranges), threads: threads,
            progress: progress)
        result.damage = damage + result.damage
        return result
    }
}
