import CLinux
import Glibc
import Synchronization
import SystemPackage
import TensorCore

/// A file that appears at its path complete or not at all.
///
/// Writes go to a hidden sibling, created exclusively and with its space reserved; `commit()` flushes it, renames it over
/// the path and flushes the folder. An input may therefore be replaced while it is still mapped. A symbolic link is
/// replaced as well, and what it points to stays as it is: in the cache of the Hugging Face hub that is a file which several
/// snapshots share. Released without a commit, the sibling is removed.
public final class AtomicOutput: Sendable {
    public let path: FilePath
    private let temporary: FilePath
    private let descriptor: FileDescriptor
    private let sync: Bool
    private let force: Bool
    private let willAppear: (@Sendable (FilePath, FilePath) throws(IOError) -> Void)?
    private let state = Mutex(State.open)
    private let writtenByteCount = Atomic<Int>(0)
    /// How much is written before the disk is set to work, so that little is left for the flush at the end.
    private static let flushStep = 32 << 20

    private enum State { case open, committed, discarded }

    /// Creates the sibling.
    ///
    /// - Parameter byteCount: space to reserve, so that a full disk is reported before work begins; nil when unknown.
    /// - Throws: `IOError`; what `checkPlace` throws.
    public init(creating path: FilePath, byteCount: Int?, options: WriteOptions) throws(IOError) {
        self.path = path
        sync = options.sync
        force = options.force
        willAppear = options.willAppear
        try Self.checkPlace(path, options: options)
        let (temporary, descriptor) = try Self.makeSibling(of: path)
        self.temporary = temporary
        self.descriptor = descriptor
        // A replaced file keeps its permissions; a failure leaves those of a new one.
        if let status = FileStatus(of: path) { fchmod(descriptor.rawValue, status.mode & 0o777) }
        if let byteCount, byteCount > 0 {
            var failure: Int32 = 0
            repeat { failure = posix_fallocate(descriptor.rawValue, 0, byteCount) } while failure == EINTR
            // File systems that cannot reserve answer EOPNOTSUPP or EINVAL: writing then reports a full disk itself.
            if failure != 0, failure != EOPNOTSUPP, failure != EINVAL {
                discard()
                throw IOError(
                    Errno(rawValue: failure), action: "reserve \(byteCount) bytes for \(path.string)", path: path)
            }
        }
    }

    deinit { discard() }

    /// Finds out whether a file may take its place at a path, before the work that it takes to make it.
    ///
    /// A device, a pipe or a socket never gives way to a file, not even by force: the rename would replace what other programs
    /// know by its name.
    ///
    /// - Throws: `io.is_directory`, `io.not_a_file`; `io.exists` when there is a file and `options.force` is not set; `io.permission` when
    ///   nothing can be made in the folder, or in the one that a missing folder would be made in.
    public static func checkPlace(_ path: FilePath, options: WriteOptions) throws(IOError) {
        // What a link points to counts, but one that leads nowhere is in the way as well.
        if let status = FileStatus(of: path) ?? FileStatus(of: path, followsLinks: false) {
            try checkKind(status, path, options)
        }
        var folder = path.removingLastComponent()
        while !folder.isEmpty, !fileExists(folder), folder.removeLastComponent() {}
        let host = folder.isEmpty ? "." : folder.string
        guard FileStatus(of: FilePath(host))?.kind == S_IFDIR, access(host, W_OK | X_OK) != 0 else { return }
        throw IOError(Errno(rawValue: errno), action: "create \(path.string)", path: path)
    }

    private static func checkKind(
        _ status: FileStatus, _ path: FilePath, _ options: WriteOptions
    ) throws(IOError) {
        switch status.kind {
        case S_IFDIR:
            throw IOError(
                kind: .isDirectory, message: "cannot write \(path.string): it is a folder", file: path.string)
        case S_IFREG, S_IFLNK:
            // `/dev/stdout` is one of the links into /proc, whatever the stream has been redirected to.
            if leadsIntoProc(path) { throw notAFile(path, "an open stream") }
            if !options.force { throw .exists(path) }
        case S_IFCHR, S_IFBLK: throw notAFile(path, "a device")
        case S_IFIFO: throw notAFile(path, "a pipe")
        case S_IFSOCK: throw notAFile(path, "a socket")
        default: throw notAFile(path, "no file")
        }
    }

    /// Removes the unfinished siblings that killed processes have left of a file, as making the file does.
    package static func removeRemains(of path: FilePath) {
        let name = path.lastComponent?.string
        removeRemains(in: path.removingLastComponent()) { $0 == name }
    }

    /// Removes the unfinished siblings that killed processes have left of files in a folder.
    ///
    /// - Parameter belongs: whether a name is one of those files.
    package static func removeRemains(in folder: FilePath, of belongs: (String) -> Bool) {
        StaleOutputs.remove(in: folder, of: belongs)
    }

    private static func leadsIntoProc(_ path: FilePath) -> Bool {
        let start = Array("/proc/".utf8CString.dropLast())
        var target = [CChar](repeating: 0, count: start.count)
        return readlink(path.string, &target, start.count) == start.count && target == start
    }

    private static func notAFile(_ path: FilePath, _ what: String) -> IOError {
        IOError(
            kind: .notAFile, message: "cannot write \(path.string): it is \(what)", file: path.string,
            hint: "a checkpoint is written into a file; give the output a name of its own")
    }

    private static func makeSibling(of path: FilePath) throws(IOError) -> (FilePath, FileDescriptor) {
        let folder = path.removingLastComponent()
        let name = path.lastComponent?.string ?? "output"
        StaleOutputs.remove(in: folder) { $0 == name }
        for attempt in 0..<100 {
            let temporary = folder.appending(StaleOutputs.name(for: name, attempt: attempt))
            // Before it exists, so that an interrupt in between leaves nothing behind.
            UnfinishedOutputs.insert(temporary)
            do {
                let descriptor = try FileDescriptor.open(
                    temporary, .readWrite, options: [.create, .exclusiveCreate, .closeOnExec],
                    permissions: [.ownerReadWrite, .groupRead, .otherRead])
                if StaleOutputs.claim(descriptor) { return (temporary, descriptor) }
                try? descriptor.close()
                UnfinishedOutputs.remove(temporary)
            } catch {
                UnfinishedOutputs.remove(temporary)
                let errno = error as? Errno ?? .ioError
                if errno != .fileExists { throw IOError(errno, action: "create \(path.string)", path: path) }
            }
        }
        throw IOError(
            kind: .failed, message: "cannot create a temporary file beside \(path.string)", file: path.string)
    }

    /// Writes all bytes at a position. Safe from several threads on disjoint ranges.
    ///
    /// - Throws: `IOError`, `io.disk_full` among them.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(IOError) {
        var done = 0
        while done < bytes.count {
            let count = pwrite(descriptor.rawValue, bytes.baseAddress! + done, bytes.count - done, offset + done)
            if count < 0 {
                if errno == EINTR { continue }
                let failure = Errno(rawValue: errno)
                // What is written may be an input that somebody has cut: the kernel then finds no bytes.
                if failure == .badAddress, let input = MappedFiles.path(at: UInt(bitPattern: bytes.baseAddress)) {
                    throw .changed(input)
                }
                throw IOError(failure, action: "write \(path.string)", path: path)
            }
            done += count
        }
        let (before, after) = writtenByteCount.wrappingAdd(done, ordering: .relaxed)
        if sync, before / Self.flushStep != after / Self.flushStep {
            // Starts writing what is dirty and does not wait. A failure shows in the flush.
            sync_file_range(descriptor.rawValue, 0, 0, syncFileRangeWrite)
        }
    }

    /// Reads back bytes that were written.
    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(IOError) {
        var done = 0
        while done < target.count {
            let count = pread(descriptor.rawValue, target.baseAddress! + done, target.count - done, offset + done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw IOError(
                    count == 0 ? .ioError : Errno(rawValue: errno), action: "read back \(path.string)", path: path)
            }
            done += count
        }
    }

    /// Writes a whole file.
    ///
    /// - Throws: as `init(creating:byteCount:options:)`, `write` and `commit`.
    public static func write(_ contents: [UInt8], to path: FilePath, options: WriteOptions) throws(IOError) {
        let output = try AtomicOutput(creating: path, byteCount: contents.count, options: options)
        try output.write(contents, at: 0)
        try output.commit()
    }

    /// Writes all bytes of an array at a position.
    ///
    /// - Throws: `IOError`, `io.disk_full` among them.
    public func write(_ bytes: [UInt8], at offset: Int) throws(IOError) {
        try bytes.withUnsafeBufferPointer { (buffer) throws(IOError) in
            try write(UnsafeRawBufferPointer(buffer), at: offset)
        }
    }

    /// Flushes the file to the disk, unless the options say not to.
    ///
    /// `commit()` does this too. Outputs of several files are all flushed first, so that a full disk is known before any
    /// of them gets its name.
    ///
    /// - Throws: `IOError` when the disk does not take the file.
    public func flush() throws(IOError) {
        if sync, fsync(descriptor.rawValue) != 0 {
            throw IOError(Errno(rawValue: errno), action: "flush \(path.string)", path: path)
        }
    }

    /// Flushes the file and gives it its name.
    ///
    /// - Throws: `IOError`; `io.exists` when the path has come into being meanwhile and may not be replaced; `io.changed` when a
    ///   mapped file did not stay as it was.
    public func commit() throws(IOError) {
        try flush()
        try MappedFiles.requireUnchanged()
        try UnfinishedOutputs.complete(temporary) { () throws(IOError) in
            try willAppear?(path, temporary)
            try moveIntoPlace()
        }
        state.withLock { $0 = .committed }
        try? descriptor.close()
        if sync { Self.flushFolder(of: path) }
    }

    private func moveIntoPlace() throws(IOError) {
        if !force {
            // A hard link never replaces. Where there are none, the plain rename works or says why not.
            if link(temporary.string, path.string) == 0 {
                unlink(temporary.string)
                return
            }
            if errno == EEXIST { throw .exists(path) }
        }
        guard rename(temporary.string, path.string) == 0 else {
            throw IOError(Errno(rawValue: errno), action: "rename the finished file to \(path.string)", path: path)
        }
    }

    /// Removes the sibling unless it was committed.
    public func discard() {
        let wasOpen = state.withLock { state in
            defer { if state == .open { state = .discarded } }
            return state == .open
        }
        guard wasOpen else { return }
        try? descriptor.close()
        unlink(temporary.string)
        UnfinishedOutputs.remove(temporary)
    }

    private static func flushFolder(of path: FilePath) {
        let folder = path.removingLastComponent()
        let target = folder.isEmpty ? "." : folder.string
        let descriptor = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }
}
