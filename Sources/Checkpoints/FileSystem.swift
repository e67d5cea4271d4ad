import Glibc
import SystemPackage
import TensorCore

/// Whether there is anything at a path.
public func fileExists(_ path: FilePath) -> Bool {
    var status = stat()
    return stat(path.string, &status) == 0
}

/// The size of a file; 0 when there is none.
package func fileByteCount(_ path: FilePath) -> Int {
    var status = stat()
    return stat(path.string, &status) == 0 ? Int(status.st_size) : 0
}

/// Makes a folder and those above it, where they are missing.
///
/// - Throws: `IOError` that names the folder.
public func makeFolder(_ path: FilePath) throws(IOError) {
    guard !path.isEmpty else { return }
    if fileExists(path) {
        var status = stat()
        guard stat(path.string, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw IOError(
                kind: .exists, message: "\(path.string) is a file, and a folder is needed there", file: path.string)
        }
        return
    }
    try makeFolder(path.removingLastComponent())
    guard mkdir(path.string, 0o777) == 0 || errno == EEXIST else {
        throw IOError(Errno(rawValue: errno), action: "make the folder \(path.string)", path: path)
    }
}
