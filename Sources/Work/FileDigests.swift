import Checkpoints
import Glibc
import Synchronization
import SystemPackage
import TensorCore

/// The SHA-256 of files, each read once while the process runs: a file is known by its device, number, size and time of change.
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
        let file = try MappedFile(path)
        let identity = identity(of: path)
        if let identity, let digest = known.withLock({ $0[identity] }) { return digest }
        let digest = file.withUnsafeBytes { TensorDigest(of: $0) }
        if let identity { known.withLock { $0[identity] = digest } }
        return digest
    }

    /// Nil for a file that was changed just now: it may change again within one tick of the clock that stamps files.
    private static func identity(of path: FilePath) -> Identity? {
        var now = timespec()
        guard let status = FileStatus(of: path), clock_gettime(CLOCK_REALTIME, &now) == 0,
            now.tv_sec - status.modified.tv_sec > 1
        else { return nil }
        return Identity(
            file: status.identity, size: status.byteCount, seconds: status.modified.tv_sec,
            nanoseconds: status.modified.tv_nsec)
    }
}
