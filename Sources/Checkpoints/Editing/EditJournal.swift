import Glibc
import SystemPackage
import TensorCore

// Layout of `.NAME.edit`, the journal beside a file NAME whose head is being replaced, numbers little-endian:
//
//     8 bytes   "untangl1"
//     8 bytes   number of the file (inode)
//     8 bytes   size of the file
//     the rest  the new head

/// The new head of a file that is edited where it lies, kept beside it until the file has it.
///
/// A journal appears complete; then its head is written over the old one, which is no longer; then it goes. Whoever opens the
/// file while there is one waits for the process that holds the lock on the file, or, if that was killed, writes the head once
/// more. So the file is seen with its old head or with its new one, whatever happens in between.
enum EditJournal {
    private static let magic = Array("untangl1".utf8)
    private static let prefixByteCount = 24

    /// Replaces the head of a file.
    ///
    /// - Precondition: what lies behind the head stays right.
    /// - Throws: `IOError`.
    static func replaceHead(of path: FilePath, with head: [UInt8], sync: Bool) throws(IOError) {
        let file = try lock(path)
        defer { try? file.close() }
        guard let status = FileStatus(of: file) else {
            throw IOError(.ioError, action: "read \(path.string)", path: path)
        }
        var journal = magic
        for number in [UInt64(status.identity.number), UInt64(status.byteCount)] {
            withUnsafeBytes(of: number.littleEndian) { journal += $0 }
        }
        try AtomicOutput.write(
            journal + head, to: Self.path(of: path), options: WriteOptions(force: true, sync: sync))
        try finish(head, in: file, at: path, sync: sync)
    }

    /// Completes an edit that was interrupted; returns at once when there was none.
    ///
    /// - Throws: `IOError` when the file cannot be written.
    static func settle(_ path: FilePath) throws(IOError) {
        let journal = Self.path(of: path)
        guard fileExists(journal) else { return }
        let file = try lock(path)
        defer { try? file.close() }
        // The process that worked on the file may have ended meanwhile.
        guard let map = try? MappedFile(journal) else { return }
        let bytes = map.withUnsafeBytes(Array.init)
        guard let status = FileStatus(of: file), bytes.count > prefixByteCount, bytes.starts(with: magic),
            number(bytes, at: 8) == UInt64(status.identity.number), number(bytes, at: 16) == UInt64(status.byteCount)
        else {
            // Of another file that had the name.
            unlink(journal.string)
            return
        }
        try finish(Array(bytes[prefixByteCount...]), in: file, at: path, sync: true)
    }

    private static func finish(
        _ head: [UInt8], in file: FileDescriptor, at path: FilePath, sync: Bool
    ) throws(IOError) {
        var done = 0
        while done < head.count {
            let count = head.withUnsafeBytes { pwrite(file.rawValue, $0.baseAddress! + done, head.count - done, done) }
            if count < 0 {
                if errno == EINTR { continue }
                throw IOError(Errno(rawValue: errno), action: "write \(path.string)", path: path)
            }
            done += count
        }
        if sync, fsync(file.rawValue) != 0 {
            throw IOError(Errno(rawValue: errno), action: "flush \(path.string)", path: path)
        }
        unlink(Self.path(of: path).string)
    }

    /// Opens a file for reading and writing and waits until nobody else edits it.
    private static func lock(_ path: FilePath) throws(IOError) -> FileDescriptor {
        while true {
            let file: FileDescriptor
            do { file = try FileDescriptor.open(path, .readWrite, options: [.closeOnExec, .nonBlocking]) } catch {
                throw IOError(error as? Errno ?? .ioError, action: "edit \(path.string)", path: path)
            }
            // File systems without locks have nobody to wait for.
            while flock(file.rawValue, LOCK_EX) != 0, errno == EINTR {}
            if FileStatus(of: file)?.identity == FileStatus(of: path)?.identity { return file }
            // Another file took the name meanwhile.
            try? file.close()
        }
    }

    private static func path(of file: FilePath) -> FilePath {
        file.removingLastComponent().appending(".\(file.lastComponent?.string ?? "").edit")
    }

    private static func number(_ bytes: [UInt8], at offset: Int) -> UInt64 {
        bytes[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
