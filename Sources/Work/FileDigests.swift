import Checkpoints
import Glibc
import Synchronization
import SystemPackage
import TensorCore

/// The SHA-256 of files, each read once while the process runs: a file is known by its device, number, size and time of change,
/// and only when these are the same before it is read and after.
public enum FileDigests {
    private struct Identity: Hashable {
        let file: FileStatus.Identity
        let size, seconds, nanoseconds: Int
    }

    private static let known = Mutex<[Identity: TensorDigest]>([:])

    /// The digest of a file's contents.
    ///
    /// - Throws: `IOError` when it cannot be read.
    public static func digest(of path: FilePath) throws(IOError) -> TensorDigest {
        // The open file is asked, because another may take its path at any time.
        let file = try MappedFile.open(path)
        defer { try? file.close() }
        let identity = identity(of: file)
        if let identity, let digest = known.withLock({ $0[identity] }) { return digest }
        let digest = try MappedFile(file, at: path).withUnsafeBytes { TensorDigest(of: $0) }
        if let identity, identity == self.identity(of: file) { known.withLock { $0[identity] = digest } }
        return digest
    }

    /// Nil for a file that was changed just now: it may change again within one tick of the clock that stamps files.
    private static func identity(of file: FileDescriptor) -> Identity? {
        var now = timespec()
        guard let status = FileStatus(of: file), clock_gettime(CLOCK_REALTIME, &now) == 0,
            now.tv_sec - status.modified.tv_sec > 1
        else { return nil }
        return Identity(
            file: status.identity, size: status.byteCount, seconds: status.modified.tv_sec,
            nanoseconds: status.modified.tv_nsec)
    }
}
