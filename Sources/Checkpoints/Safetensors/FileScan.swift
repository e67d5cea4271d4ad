import Glibc
import SystemPackage
import TensorCore

/// Reads a file from end to end through a buffer, where a bad sector is an error and not a signal.
enum FileScan {
    private static let blockByteCount = 4 << 20

    /// Reads the first `byteCount` bytes in blocks.
    ///
    /// - Parameter visit: receives each range, with the error when it could not be read.
    /// - Throws: `IOError` when the file cannot be opened or there is no memory for the buffer.
    static func read(_ path: FilePath, byteCount: Int, _ visit: (Range<Int>, Errno?) -> Void) throws(IOError) {
        let descriptor = open(path.string, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw IOError(Errno(rawValue: errno), action: "open \(path.string)", path: path)
        }
        defer { close(descriptor) }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
        let buffer = try AlignedBuffer(byteCount: min(blockByteCount, max(byteCount, 1)), alignment: 4096)
        defer { withExtendedLifetime(buffer) {} }
        var position = 0
        while position < byteCount {
            let wanted = min(buffer.byteCount, byteCount - position)
            let count = pread(descriptor, buffer.address, wanted, position)
            if count < 0, errno == EINTR { continue }
            if count > 0 {
                visit(position..<position + count, nil)
                position += count
            } else {
                // Zero bytes before the end: the file was cut short since it was opened.
                visit(position..<position + wanted, count == 0 ? .ioError : Errno(rawValue: errno))
                position += wanted
            }
        }
    }
}
