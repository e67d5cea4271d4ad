import Glibc
import SystemPackage
import TensorCore

/// A file that is read by position, where a bad sector is an error and not a signal.
final class SkeinFile: Sendable {
    let path: FilePath
    let byteCount: Int
    private let descriptor: Int32

    init(_ path: FilePath) throws(IOError) {
        self.path = path
        descriptor = open(path.string, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw IOError(Errno(rawValue: errno), action: "open \(path.string)", path: path)
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw IOError(kind: .notAFile, message: "\(path.string) is not a regular file", file: path.string)
        }
        byteCount = Int(status.st_size)
    }

    deinit { close(descriptor) }

    /// Why a range cannot be read.
    struct Fault: Error {
        let reason: String
    }

    /// Fills a buffer from a position.
    func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws(Fault) {
        guard offset >= 0, target.count <= byteCount, offset <= byteCount - target.count else {
            throw Fault(reason: "the file ends before it, at byte \(byteCount)")
        }
        var done = 0
        while done < target.count {
            let count = pread(descriptor, target.baseAddress! + done, target.count - done, offset + done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw Fault(reason: count == 0 ? "the file was cut short" : "\(Errno(rawValue: errno))")
            }
            done += count
        }
    }

    func read(_ range: Range<Int>) throws(Fault) -> [UInt8] {
        // Before anything is allocated.
        guard range.upperBound <= byteCount else {
            throw Fault(reason: "the file ends before it, at byte \(byteCount)")
        }
        var bytes = [UInt8](repeating: 0, count: range.count)
        try bytes.withUnsafeMutableBufferPointer { (buffer) throws(Fault) in
            try read(into: UnsafeMutableRawBufferPointer(buffer), at: range.lowerBound)
        }
        return bytes
    }
}
