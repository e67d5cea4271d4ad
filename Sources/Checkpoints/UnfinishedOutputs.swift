import Glibc
import SystemPackage

/// The temporary files and folders of this process, so that an interrupt can remove them, and the folders that it has made for outputs.
///
/// One lock guards them, which whoever gives outputs their names holds as well, and the end of the process takes and keeps: nothing gets a
/// name while it is removed, and nothing new begins. It is recursive, since files that appear together each appear by themselves, too.
public enum UnfinishedOutputs {
    // Safety: used under the lock alone.
    private nonisolated(unsafe) static var paths: Set<String> = []
    /// Those above a folder before it.
    private nonisolated(unsafe) static var folders: [String] = []

    // Safety: made once, and never freed.
    private nonisolated(unsafe) static let lock = {
        let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        var attributes = pthread_mutexattr_t()
        pthread_mutexattr_init(&attributes)
        pthread_mutexattr_settype(&attributes, CInt(PTHREAD_MUTEX_RECURSIVE))
        pthread_mutex_init(lock, &attributes)
        pthread_mutexattr_destroy(&attributes)
        return lock
    }()

    static func insert(_ path: FilePath) { _ = hold { paths.insert(path.string) } }
    static func remove(_ path: FilePath) { _ = hold { paths.remove(path.string) } }
    static func insert(folder: FilePath) { hold { folders.append(folder.string) } }
    static func contains(_ path: FilePath) -> Bool { hold { paths.contains(path.string) } }

    /// Does work that an interrupt has to wait for, such as giving several files their names.
    static func hold<R, E: Error>(_ work: () throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return try work()
    }

    /// Does work that an interrupt has to wait for, and gives up a path as it ends.
    static func complete<E: Error>(_ path: FilePath, _ work: () throws(E) -> Void) throws(E) {
        try hold { () throws(E) in
            try work()
            paths.remove(path.string)
        }
    }

    /// Removes every unfinished output and ends the process; called when it is told to stop. Whoever is about to make an output or to
    /// give one its name waits for the end.
    public static func removeAll(thenEnd end: () -> Never) -> Never {
        hold {
            for path in paths { StaleOutputs.delete(path) }
            removeEmptyFolders()
            end()
        }
    }

    /// Removes the folders that were made and hold nothing; called when work has failed.
    public static func removeEmptyFolders() {
        hold {
            for folder in folders.reversed() { rmdir(folder) }
        }
    }
}
