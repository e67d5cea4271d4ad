import SystemPackage
import TensorCore

extension ContentHash {
    /// The XXH3-128 of all bytes of a file, the same that `xxhsum -H128 FILE` prints.
    ///
    /// - Cost: one pass at the speed of memory, on the calling thread.
    /// - Throws: `IOError` when the file cannot be read.
    public static func ofFile(_ path: FilePath) throws(IOError) -> ContentHash {
        try MappedFile(path).withUnsafeBytes { SkeinHash.digest($0) }
    }
}
