import Glibc
import SystemPackage
import TensorCore

/// Folders that an output path with a slash at its end asks for.
enum OutputFolder {
    /// Makes a folder unless it is there.
    static func make(_ path: FilePath) throws(IOError) {
        guard mkdir(path.string, 0o777) != 0, errno != EEXIST else { return }
        throw IOError(Errno(rawValue: errno), action: "make the folder \(path)", path: path)
    }
}
