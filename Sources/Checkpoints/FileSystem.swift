import Glibc
import SystemPackage
import TensorCore

/// What the file system knows of what is at a path.
package struct FileStatus {
    /// Type and permissions.
    package let mode: mode_t
    package let byteCount: Int
    package let identity: Identity
    /// How many names a file has.
    package let linkCount: Int
    /// When the contents were last changed.
    package let modified: timespec

    /// What a file or folder is, whatever its names.
    package struct Identity: Hashable, Sendable {
        package let device: dev_t
        package let number: ino_t
    }

    /// Looks at a path.
    ///
    /// - Parameter followsLinks: whether what a symbolic link leads to counts, not the link.
    /// - Returns: nil when there is nothing.
    package init?(of path: FilePath, followsLinks: Bool = true) {
        var status = stat()
        guard (followsLinks ? stat(path.string, &status) : lstat(path.string, &status)) == 0 else { return nil }
        self.init(status)
    }

    /// Looks at an open file, whatever its path leads to by now.
    package init?(of file: FileDescriptor) {
        var status = stat()
        guard fstat(file.rawValue, &status) == 0 else { return nil }
        self.init(status)
    }

    private init(_ status: stat) {
        mode = status.st_mode
        byteCount = Int(status.st_size)
        identity = Identity(device: status.st_dev, number: status.st_ino)
        linkCount = Int(status.st_nlink)
        modified = status.st_mtim
    }

    /// One of `S_IFREG`, `S_IFDIR` and their kin.
    package var kind: mode_t { mode & S_IFMT }
    package var isFolder: Bool { kind == S_IFDIR }
    package var isRegularFile: Bool { kind == S_IFREG }
}

/// Whether there is anything at a path.
public func fileExists(_ path: FilePath) -> Bool { FileStatus(of: path) != nil }

extension FilePath {
    /// The path without links and dots; the path itself when there is nothing.
    var resolved: FilePath {
        guard let text = realpath(isEmpty ? "." : string, nil) else { return self }
        defer { free(text) }
        return FilePath(String(cString: text))
    }
}

/// Whether there is a folder at a path.
public func folderExists(_ path: FilePath) -> Bool { FileStatus(of: path)?.isFolder ?? false }

/// The size of a file; 0 when there is none.
package func fileByteCount(_ path: FilePath) -> Int { FileStatus(of: path)?.byteCount ?? 0 }

/// Whether two paths name one existing file, however they are spelt and linked.
func isSameFile(_ a: FilePath, _ b: FilePath) -> Bool {
    guard let first = FileStatus(of: a) else { return false }
    return first.identity == FileStatus(of: b)?.identity
}

/// Whether two paths name files with the same bytes, or one file.
package func haveSameContents(_ a: FilePath, _ b: FilePath) -> Bool {
    guard let first = FileStatus(of: a), let second = FileStatus(of: b), first.kind == S_IFREG, second.kind == S_IFREG,
        first.byteCount == second.byteCount
    else { return false }
    if first.identity == second.identity { return true }
    guard let first = try? MappedFile(a), let second = try? MappedFile(b) else { return false }
    return first.withUnsafeBytes { first in second.withUnsafeBytes { first.elementsEqual($0) } }
}

/// Whether files at two paths would be one file, however their folders are spelt and linked, and whether or not those are there yet.
package func isSamePlace(_ a: FilePath, _ b: FilePath) -> Bool { place(of: a) == place(of: b) }

/// A path whose existing part is written from the root and without links, except for the last component.
private func place(of path: FilePath) -> FilePath {
    var (folder, rest) = (path.removingLastComponent(), FilePath(root: nil, path.lastComponent.map { [$0] } ?? []))
    while true {
        if let text = realpath(folder.isEmpty ? "." : folder.string, nil) {
            defer { free(text) }
            return FilePath(String(cString: text)).appending(rest.components).lexicallyNormalized()
        }
        guard let last = folder.lastComponent else { return path }
        rest = FilePath(root: nil, [last] + Array(rest.components))
        folder.removeLastComponent()
    }
}

/// The names in a folder, sorted, without `.` and `..`.
///
/// - Parameter hidden: whether names that begin with a dot are among them.
/// - Throws: `IOError` when it cannot be read.
package func entries(of folder: FilePath, hidden: Bool = false) throws(IOError) -> [String] {
    guard let stream = opendir(folder.isEmpty ? "." : folder.string) else {
        throw IOError(Errno(rawValue: errno), action: "read the folder \(folder.string)", path: folder)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if hidden ? name != "." && name != ".." : !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
}

/// Makes a folder and those above it, where they are missing. Work that fails leaves none of them empty; see `UnfinishedOutputs`.
///
/// - Throws: `IOError` that names the folder.
public func makeFolder(_ path: FilePath) throws(IOError) {
    guard !path.isEmpty else { return }
    if let status = FileStatus(of: path) {
        guard status.isFolder else { throw .fileInsteadOfFolder(path) }
        return
    }
    try makeFolder(path.removingLastComponent())
    guard mkdir(path.string, 0o777) == 0 else {
        if errno == EEXIST { return }
        throw IOError(Errno(rawValue: errno), action: "make the folder \(path.string)", path: path)
    }
    UnfinishedOutputs.insert(folder: path)
}

/// Removes a file, if it is there.
///
/// - Throws: `IOError` that names the file.
package func removeFile(_ path: FilePath) throws(IOError) {
    guard unlink(path.string) == 0 || errno == ENOENT else {
        throw IOError(Errno(rawValue: errno), action: "remove \(path.string)", path: path)
    }
}

extension IOError {
    /// That something stands where an output is to go.
    ///
    /// - Parameter reason: why it is in the way, said of the path.
    package static func exists(
        _ path: FilePath, _ reason: String = "exists already", hint: String? = "use --force to replace it"
    ) -> IOError {
        IOError(kind: .exists, message: "\(path.string) \(reason)", file: path.string, hint: hint)
    }

    /// That a path where a folder is needed is taken by something else.
    static func fileInsteadOfFolder(_ path: FilePath) -> IOError {
        .exists(path, "is a file, and a folder is needed there", hint: nil)
    }
}
