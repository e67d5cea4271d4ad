import Glibc
import SystemPackage
import TensorCore

/// Whether there is anything at a path.
func fileExists(_ path: FilePath) -> Bool {
    var status = stat()
    return stat(path.string, &status) == 0
}

/// Makes a folder and those above it, where they are missing.
///
/// - Throws: `IOError` that names the folder.
func makeFolder(_ path: FilePath) throws(IOError) {
    guard !path.isEmpty, !fileExists(path) else { return }
    try makeFolder(path.removingLastComponent())
    guard mkdir(path.string, 0o777) == 0 || errno == EEXIST else {
        throw IOError(Errno(rawValue: errno), action: "make the folder \(path.string)", path: path)
    }
}
