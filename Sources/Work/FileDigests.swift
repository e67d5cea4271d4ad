import Checkpoints
import Glibc
import Synchronization
import SystemPackage
import TensorCore

/// The SHA-256 of files, each read once while the process runs: a file is known by its device, number, size and time of change.
public enum FileDigests {
    private struct Identity: Hashable {
        let device, number: UInt
        let size, seconds, nanoseconds: Int
    }

    private static let known = Mutex<[Identity: TensorDigest]>([:])

    /// The digest of a file's contents.
    ///
    /// - Throws: `IOError` when it cannot be read.
    public static func digest(of path: FilePath) throws -> TensorDigest {
        let file = try MappedFile(path)
        let identity = identity(of: path)
        if let identity, let digest = known.withLock({ $0[identity] }) { return digest }
        let digest = file.withUnsafeBytes { TensorDigest(of: $0) }
        if let identity { known.withLock { $0[identity] = digest } }
        return digest
    }

    /// Nil for a file that was changed just now: it may change again within one tick of the clock that stamps files.
    private static func identity(of path: FilePath) -> Identity? {
        var (status, now) = (stat(), timespec())
        guard stat(path.string, &status) == 0, clock_gettime(CLOCK_REALTIME, &now) == 0,
            now.tv_sec - status.st_mtim.tv_sec > 1
        else { return nil }
        return Identity(
            device: UInt(status.st_dev), number: UInt(status.st_ino), size: Int(status.st_size),
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    }
}
