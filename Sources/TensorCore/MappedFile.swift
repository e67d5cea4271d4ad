import Glibc
import SystemPackage

/// A file mapped read-only into memory.
///
/// The mapping lives as long as the object. What another process does to the file meanwhile is for `MappedFiles` to find out;
/// nothing in the product does it to its own inputs, because outputs appear by rename.
public final class MappedFile: Sendable {
    public let path: FilePath
    public let byteCount: Int
    // Safety: the address is set once, never written through, and unmapped in deinit only.
    private nonisolated(unsafe) let base: UnsafeRawPointer?

    /// Maps the whole file; no page is read yet.
    ///
    /// - Throws: `IOError` when the file cannot be opened or mapped.
    public convenience init(_ path: FilePath) throws(IOError) {
        let descriptor = try Self.open(path)
        defer { try? descriptor.close() }
        try self.init(descriptor, at: path)
    }

    /// Opens a file to be mapped; a pipe without a writer holds nobody up.
    ///
    /// - Throws: `IOError` when the file cannot be opened.
    package static func open(_ path: FilePath) throws(IOError) -> FileDescriptor {
        do { return try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking]) } catch {
            throw IOError(error as? Errno ?? .ioError, action: "open \(path.string)", path: path)
        }
    }

    /// Maps all of an open file, which may then be closed.
    ///
    /// - Parameter path: named in errors.
    /// - Throws: `IOError` when the file cannot be mapped.
    package init(_ descriptor: FileDescriptor, at path: FilePath) throws(IOError) {
        self.path = path
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else {
            throw IOError(Errno(rawValue: errno), action: "read the size of \(path.string)", path: path)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw IOError(
                kind: .notAFile, message: "\(path.string) is not a regular file", file: path.string)
        }
        byteCount = Int(status.st_size)
        guard byteCount > 0 else {
            base = nil
            return
        }
        let address = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor.rawValue, 0)
        guard let address, address != MAP_FAILED else {
            throw IOError(Errno(rawValue: errno), action: "map \(path.string)", path: path)
        }
        base = UnsafeRawPointer(address)
        MappedFiles.insert(
            MappedFiles.Region(path: path, byteCount: byteCount, version: MappedFiles.Version(status)),
            at: UInt(bitPattern: address))
    }

    deinit {
        guard let base else { return }
        // First, because the addresses may be those of another file at once.
        MappedFiles.remove(at: UInt(bitPattern: base))
        munmap(UnsafeMutableRawPointer(mutating: base), byteCount)
    }

    /// Calls `body` with the bytes of the file; the pointer must not outlive the call.
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        defer { withExtendedLifetime(self) {} }
        return try body(bytes)
    }

    /// The bytes of the file.
    ///
    /// Safety: valid while the object lives, and the compiler may release it after its last mention, which is this one in
    /// `MappedFile(path).bytes`. Only for owners that store the object; others call `withUnsafeBytes`.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }

    /// Asks the kernel to read a range ahead of its use.
    public func willNeed(_ range: Range<Int>) { advise(range, MADV_WILLNEED) }

    /// Drops the pages of a range from this process; they stay in the page cache.
    public func doneWith(_ range: Range<Int>) { advise(range, MADV_DONTNEED) }

    private func advise(_ range: Range<Int>, _ advice: Int32) {
        guard let base, !range.isEmpty else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let start = range.lowerBound / page * page
        madvise(UnsafeMutableRawPointer(mutating: base + start), range.upperBound - start, advice)
    }
}
