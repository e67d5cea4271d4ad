import Glibc
import Synchronization
import SystemPackage
import TensorCore

/// A folder of files that appears complete or not at all.
///
/// The files are written into a hidden folder beside it (inside it, where that is not possible). A folder that does not exist
/// yet then appears by one rename. Into one that exists the finished files are moved one after the other, so that inputs in it
/// may be replaced while they are mapped and files of other kinds stay; the file that makes them a checkpoint moves last.
/// Released without a commit, the hidden folder is removed.
public final class AtomicFolder: Sendable {
    public let path: FilePath
    /// Where the files are to be written; no folders are made in it.
    public let staging: FilePath
    private let exists: Bool
    private let options: WriteOptions
    private let lock: FileDescriptor
    private let state = Mutex(State.open)

    private enum State { case open, committed, discarded }

    /// Makes the hidden folder, and removes those that killed runs of the same output left.
    ///
    /// - Throws: `IOError`; `io.exists` when the path is a file.
    public init(creating path: FilePath, options: WriteOptions) throws(IOError) {
        self.path = path
        self.options = options
        let status = FileStatus(of: path)
        exists = status != nil
        if status?.isFolder == false { throw .fileInsteadOfFolder(path) }
        // `.` and links to folders have their siblings elsewhere than their spelling says.
        let target = exists ? path.resolved : path
        let name = target.lastComponent?.string ?? "folder"
        let parent = target.removingLastComponent()
        StaleOutputs.remove(in: parent) { $0 == name }
        if exists { StaleOutputs.remove(in: target) { $0 == name } }
        let isBesides = status.map { Self.isWritable(parent, on: $0.identity.device) } ?? true
        let host = isBesides ? parent : target
        (staging, lock) = try Self.makeStaging(name, in: host, for: path)
    }

    deinit { discard() }

    /// Whether files can be made in a folder and be moved from there to a device.
    private static func isWritable(_ folder: FilePath, on device: dev_t) -> Bool {
        let folder = folder.isEmpty ? "." : folder
        return FileStatus(of: folder)?.identity.device == device && access(folder.string, W_OK | X_OK) == 0
    }

    private static func makeStaging(
        _ name: String, in folder: FilePath, for path: FilePath
    ) throws(IOError) -> (FilePath, FileDescriptor) {
        for attempt in 0..<100 {
            let staging = folder.appending(StaleOutputs.name(for: name, attempt: attempt))
            UnfinishedOutputs.insert(staging)
            if mkdir(staging.string, 0o777) == 0 {
                let lock = try? FileDescriptor.open(
                    staging.appending(StaleOutputs.lockName), .readWrite,
                    options: [.create, .exclusiveCreate, .closeOnExec], permissions: .ownerReadWrite)
                if let lock, StaleOutputs.claim(lock) { return (staging, lock) }
                // Taken for stale in the moment before it was locked.
                try? lock?.close()
                StaleOutputs.delete(staging.string)
                UnfinishedOutputs.remove(staging)
                continue
            }
            let failure = Errno(rawValue: errno)
            UnfinishedOutputs.remove(staging)
            if failure != .fileExists { throw IOError(failure, action: "create \(path.string)", path: path) }
        }
        throw IOError(
            kind: .failed, message: "cannot create a temporary folder beside \(path.string)", file: path.string)
    }

    /// Gives the files their places. Without force a file that is there already may stay in its place only as the same one.
    ///
    /// - Parameters:
    ///   - last: the file that makes the others a checkpoint.
    ///   - withdrawn: names that are removed before the first file moves, because they would vouch for the wrong files; also of
    ///     files that take their places.
    ///   - obsolete: names that are removed once all files are in their places, in this order and after everything else.
    /// - Throws: `IOError`; what `AtomicOutput.checkPlace` throws when something has come into being meanwhile; `io.changed` when a
    ///   mapped file did not stay as it was.
    public func commit(
        last: String, withdrawing withdrawn: [String] = [], removing obsolete: [String] = []
    ) throws(IOError) {
        if options.sync { Self.flush(staging) }
        try MappedFiles.requireUnchanged()
        let names = try entries(of: staging, hidden: true).filter { $0 != last && $0 != StaleOutputs.lockName } + [last]
        if exists {
            try FolderLock.hold(path) { () throws(IOError) in
                try checkPlaces(of: names.filter { !withdrawn.contains($0) })
                try UnfinishedOutputs.complete(staging) { () throws(IOError) in
                    try moveFiles(names, withdrawn: withdrawn, obsolete: obsolete)
                }
            }
        } else {
            try UnfinishedOutputs.complete(staging) { () throws(IOError) in try moveFolder(holding: last) }
        }
        state.withLock { $0 = .committed }
        try? lock.close()
        if options.sync {
            Self.flush(path)
            Self.flush(path.removingLastComponent())
        }
    }

    private func moveFolder(holding name: String) throws(IOError) {
        // From here to the rename the folder has no `.lock`, and a lock on one of its files says that it is owned.
        let held = try? FileDescriptor.open(staging.appending(name), .readWrite, options: .closeOnExec)
        defer { try? held?.close() }
        if let held { _ = StaleOutputs.claim(held) }
        unlink(staging.appending(StaleOutputs.lockName).string)
        guard rename(staging.string, path.string) == 0 else {
            let failure = Errno(rawValue: errno)
            if failure == .directoryNotEmpty || failure == .fileExists || failure == .notDirectory {
                throw .exists(path)
            }
            throw IOError(failure, action: "rename the finished folder to \(path.string)", path: path)
        }
    }

    /// Finds out whether files may take their places.
    private func checkPlaces(of names: [String]) throws(IOError) {
        for name in names {
            let target = path.appending(name)
            let isThere = !options.force && haveSameContents(staging.appending(name), target)
            try AtomicOutput.checkPlace(target, options: isThere ? WriteOptions(force: true) : options)
        }
    }

    private func moveFiles(_ names: [String], withdrawn: [String], obsolete: [String]) throws(IOError) {
        for name in withdrawn { unlink(path.appending(name).string) }
        for name in names {
            let target = path.appending(name)
            guard rename(staging.appending(name).string, target.string) == 0 else {
                throw IOError(
                    Errno(rawValue: errno), action: "rename the finished file to \(target.string)", path: target)
            }
        }
        // Not empty where a file was there already by another hard link: such a rename does nothing.
        StaleOutputs.delete(staging.string)
        for name in obsolete { unlink(path.appending(name).string) }
    }

    /// Removes the hidden folder unless its files have been given their places.
    public func discard() {
        let wasOpen = state.withLock { state in
            defer { if state == .open { state = .discarded } }
            return state == .open
        }
        guard wasOpen else { return }
        StaleOutputs.delete(staging.string)
        try? lock.close()
        UnfinishedOutputs.remove(staging)
    }

    private static func flush(_ folder: FilePath) {
        let descriptor = open(folder.isEmpty ? "." : folder.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }
}
