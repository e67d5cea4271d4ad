import Glibc
import SystemPackage

/// A folder that is removed with everything in it when the object is released.
public final class TemporaryFolder: Sendable {
    public let path: FilePath

    public init() {
        var template = Array("/tmp/untangle-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { fatalError("cannot create a temporary folder") }
        path = FilePath(String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self))
    }

    deinit { Self.remove(path.string) }

    public func file(_ name: String) -> FilePath { path.appending(name) }

    public func write(_ bytes: [UInt8], to name: String) throws -> FilePath {
        let target = file(name)
        let descriptor = try FileDescriptor.open(
            target, .writeOnly, options: [.create, .truncate], permissions: .ownerReadWrite)
        _ = try descriptor.closeAfter { try descriptor.writeAll(bytes) }
        return target
    }

    /// Removes a tree; a symbolic link goes itself, never what it points to.
    private static func remove(_ path: String) {
        var status = stat()
        let isFolder = lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
        if isFolder, let folder = opendir(path) {
            while let entry = readdir(folder) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != ".", name != ".." { remove(path + "/" + name) }
            }
            closedir(folder)
            rmdir(path)
        } else {
            unlink(path)
        }
    }
}
