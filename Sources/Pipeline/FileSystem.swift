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

/// Makes sure that there is room for an array: Swift ends the process where an array does not fit into memory.
///
/// - Throws: `IOError` `io.memory` with the number of bytes.
func requireMemory<T>(count: Int, of type: T.Type) throws(IOError) {
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<T>.stride)
    guard byteCount > 0 || overflow else { return }
    let room =
        overflow ? MAP_FAILED : mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let room, room != MAP_FAILED else {
        throw IOError(
            kind: .memory, message: "there is no memory for \(count) numbers", file: nil,
            hint: "use less data at a time")
    }
    munmap(room, byteCount)
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
