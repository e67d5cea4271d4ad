import Checkpoints
import Glibc
import Kernels
import Reporting
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

    /// The digests of several files, taken on all threads, with progress.
    ///
    /// - Throws: `IOError` when one cannot be read.
    public static func digests(of paths: [FilePath], in context: Context) throws(IOError) -> [TensorDigest] {
        let progress = context.progress
        progress.begin("digesting inputs", total: paths.reduce(0) { $0 + fileByteCount($1) }, unit: .bytes)
        defer { progress.end() }
        return try parallelMap(count: paths.count, threads: context.budget.threads) { place throws(IOError) in
            try digest(of: paths[place]) { progress.advance(by: $0) }
        }
    }

    /// The digest of a file's contents.
    ///
    /// - Parameter advance: told of every byte, as soon as it is done with.
    /// - Throws: `IOError` when it cannot be read.
    public static func digest(
        of path: FilePath, advance: (Int) -> Void = { _ in }
    ) throws(IOError) -> TensorDigest {
        // The open file is asked, because another may take its path at any time.
        let file = try MappedFile.open(path)
        defer { try? file.close() }
        let identity = identity(of: file)
        if let identity, let digest = known.withLock({ $0[identity] }) {
            advance(identity.size)
            return digest
        }
        let digest = try MappedFile(file, at: path).withUnsafeBytes { bytes in
            let (accumulator, length) = (TensorDigest.Accumulator(), 1 << 22)
            for start in stride(from: 0, to: bytes.count, by: length) {
                let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + length, bytes.count)])
                accumulator.update(piece)
                advance(piece.count)
            }
            return accumulator.finish()
        }
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
