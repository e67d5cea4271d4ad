import Glibc
import SystemPackage

/// The right to move files of one output into a folder: those of two processes would otherwise be mixed.
enum FolderLock {
    /// Does work while no other process holds the lock on a folder; waits for it.
    static func hold<R, E: Error>(_ folder: FilePath, _ work: () throws(E) -> R) throws(E) -> R {
        let descriptor = open(folder.isEmpty ? "." : folder.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if descriptor >= 0 { close(descriptor) } }
        // File systems without locks have nobody to wait for.
        while descriptor >= 0, flock(descriptor, LOCK_EX) != 0, errno == EINTR {}
        return try work()
    }
}
