import Glibc
import SystemPackage

/// A file mapped read-only into memory.
///
/// The mapping lives as long as the object. What another process does to the file meanwhile is for `MappedFiles` to find out;
/// nothing in the product does it to its own inputs, because outputs appear by rename.
public final class MappedFile: Sendable {
    public let path: FilePath
    public let byteCount: Int
    /// The file as it was when it was mapped.
    package let version: MappedFiles.Version
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
    /// - Parameters:
    ///   - path: named in errors.
    ///   - head: what is seen in place of the first bytes of the file, which itself stays as it is; no longer than the file.
    /// - Throws: `IOError` when the file cannot be mapped.
    package init(
        _ descriptor: FileDescriptor, at path: FilePath, beginningWith head: [UInt8] = []
    ) throws(IOError) {
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
        version = MappedFiles.Version(status)
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
            MappedFiles.Region(path: path, byteCount: byteCount, version: version),
            at: UInt(bitPattern: address))
        if !head.isEmpty { try replaceBeginning(with: head, of: descriptor, at: address) }
    }

    /// Puts memory with other contents in place of the pages that the file begins with. It is shared, not private, so that
    /// `doneWith` does not lose what was written there.
    private func replaceBeginning(
        with head: [UInt8], of descriptor: FileDescriptor, at address: UnsafeMutableRawPointer
    ) throws(IOError) {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let count = (head.count + page - 1) / page * page
        let kept = try read(min(count, byteCount), from: descriptor)
        let place = mmap(
            address, count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
        guard place == address else { throw IOError(Errno(rawValue: errno), action: "map \(path.string)", path: path) }
        address.copyMemory(from: kept, byteCount: kept.count)
        address.copyMemory(from: head, byteCount: min(head.count, byteCount))
        mprotect(address, count, PROT_READ)
    }

    /// The first bytes of an open file.
    private func read(_ count: Int, from descriptor: FileDescriptor) throws(IOError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let got = bytes.withUnsafeMutableBytes {
                pread(descriptor.rawValue, $0.baseAddress! + done, count - done, off_t(done))
            }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else {
                throw IOError(got == 0 ? .ioError : Errno(rawValue: errno), action: "read \(path.string)", path: path)
            }
            done += got
        }
        return bytes
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
