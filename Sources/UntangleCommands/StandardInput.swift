import Glibc
import SystemPackage
import TensorCore

/// Standard input, read to its end.
enum StandardInput {
    /// All that comes.
    ///
    /// - Throws: `IOError` when it cannot be read.
    static func bytes() throws(IOError) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(STDIN_FILENO, $0.baseAddress, $0.count) }
            if count == 0 { return bytes }
            if count > 0 {
                bytes += buffer[..<count]
            } else if errno != EINTR {
                throw IOError(Errno(rawValue: errno), action: "read standard input", path: "standard input")
            }
        }
    }
}
