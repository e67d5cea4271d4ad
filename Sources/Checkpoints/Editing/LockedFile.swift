import Glibc
import SystemPackage
import TensorCore

/// A file that nobody else edits meanwhile.
struct LockedFile: ~Copyable {
    let path: FilePath
    let descriptor: FileDescriptor
    /// What the path led to once the lock was had.
    let status: FileStatus
    /// Whether it may be written into, or only be read and replaced.
    let isWritable: Bool

    /// Opens a file and waits until nobody else edits it. A file that was replaced meanwhile is opened anew, so that what is read
    /// from the descriptor is what has the name.
    ///
    /// - Throws: `IOError` when the file cannot be opened.
    init(_ path: FilePath) throws(IOError) {
        while true {
            let writable = try? FileDescriptor.open(path, .readWrite, options: [.closeOnExec, .nonBlocking])
            let file: FileDescriptor
            if let writable { file = writable } else { file = try MappedFile.open(path) }
            // File systems without locks have nobody to wait for.
            while flock(file.rawValue, LOCK_EX) != 0, errno == EINTR {}
            if let status = FileStatus(of: file), status.identity == FileStatus(of: path)?.identity {
                self.path = path
                self.status = status
                descriptor = file
                isWritable = writable != nil
                return
            }
            try? file.close()
        }
    }

    deinit { try? descriptor.close() }

    /// Lets others edit the file.
    consuming func release() {}

    /// Writes over the beginning of the file.
    ///
    /// - Throws: `IOError`.
    func write(_ head: [UInt8], sync: Bool) throws(IOError) {
        var done = 0
        while done < head.count {
            let count = head.withUnsafeBytes {
                pwrite(descriptor.rawValue, $0.baseAddress! + done, head.count - done, done)
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw IOError(Errno(rawValue: errno), action: "write \(path.string)", path: path)
            }
            done += count
        }
        if sync, fsync(descriptor.rawValue) != 0 {
            throw IOError(Errno(rawValue: errno), action: "flush \(path.string)", path: path)
        }
    }
}
