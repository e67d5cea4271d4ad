import SystemPackage
import TensorCore

/// One GGUF file, mapped: a checkpoint, or a part of one.
final class GGUFFile: Sendable {
    let path: FilePath
    let header: GGUFHeader
    private let map: MappedFile

    /// Maps a file and checks its head; tensor data is not touched.
    ///
    /// - Throws: `FormatError` with the byte offset of the first rule that is broken, `IOError` when the file cannot be read.
    init(opening path: FilePath, salvaging: Bool) throws {
        self.path = path
        map = try EditJournal.map(path)
        header = try map.withUnsafeBytes { bytes throws(FormatError) in
            try GGUFHeader(parsing: bytes, of: path, salvaging: salvaging)
        }
    }

    func location(of index: Int) -> StoredLocation { StoredLocation(file: path, range: header.entries[index].range) }

    func bytes(of index: Int) -> TensorBytes { TensorBytes(mapped: map, range: header.entries[index].range) }

    /// Reads the whole file. The format has no checksums, so damage is what the disk cannot return.
    ///
    /// - Throws: as `CheckpointReader.verify`.
    func verify(threads: Int, progress: @escaping @Sendable (Int) -> Void) throws -> Verification {
        var result = try FileScan.verification(
            of: path, byteCount: map.byteCount, tensors: header.entries.map { ($0.descriptor.name, $0.range) },
            threads: threads, progress: progress)
        result.damage = header.damage + result.damage
        return result
    }
}
