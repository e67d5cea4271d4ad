import Glibc
import SystemPackage
import TensorCore

// Layout of `.NAME.edit`, the journal beside a file NAME whose head is being replaced, numbers little-endian:
//
//     8 bytes   "untangl1"
//     8 bytes   number of the file (inode)
//     8 bytes   size of the file
//     the rest  the new head

/// The new head of a file that is edited where it lies, kept beside it until the file has it.
///
/// A journal appears complete; then its head is written over the old one, which is no longer; then it goes. Whoever opens the
/// file while there is one waits for the process that holds the lock on the file, or, if that was killed, writes the head once
/// more, or sees it in place of the file's where nothing can be written. So the file is seen with its old head or with its new
/// one, whatever happens in between. What has the name of a journal and is none of the file is left alone.
enum EditJournal {
    private static let magic = Array("untangl1".utf8)
    private static let prefixByteCount = 24

    /// Replaces the head of a file.
    ///
    /// - Precondition: the file is writable, there is room for a journal, and what lies behind the head stays right.
    /// - Throws: `IOError`.
    static func replaceHead(of file: borrowing LockedFile, with head: [UInt8], sync: Bool) throws(IOError) {
        var journal = magic
        for number in [UInt64(file.status.identity.number), UInt64(file.status.byteCount)] {
            withUnsafeBytes(of: number.littleEndian) { journal += $0 }
        }
        let place = path(of: file.path)
        try AtomicOutput.write(
            journal + head, to: place, options: WriteOptions(force: true, sync: sync))
        try file.write(head, sync: sync)
        unlink(place.string)
    }

    /// Whether a journal may lie beside a file: what has its name there is none of somebody else's.
    static func hasRoom(beside file: FilePath) -> Bool {
        let place = path(of: file)
        return FileStatus(of: place, followsLinks: false) == nil || isJournal(place)
    }

    /// Maps a file as its last edit leaves it, also when that was interrupted.
    ///
    /// - Throws: `IOError` when the file cannot be read.
    static func map(_ path: FilePath) throws(IOError) -> MappedFile {
        guard isJournal(Self.path(of: path)) else { return try MappedFile(path) }
        return try map(try LockedFile(path))
    }

    /// Maps a file that is locked as its last edit leaves it.
    ///
    /// - Throws: `IOError` when the file cannot be read.
    static func map(_ file: borrowing LockedFile) throws(IOError) -> MappedFile {
        let journal = path(of: file.path)
        // The process that worked on the file may have ended meanwhile.
        guard let head = head(in: journal, of: file.status) else {
            return try MappedFile(file.descriptor, at: file.path)
        }
        do {
            try file.write(head, sync: true)
            unlink(journal.string)
            return try MappedFile(file.descriptor, at: file.path)
        } catch {
            return try MappedFile(file.descriptor, at: file.path, beginningWith: head)
        }
    }

    /// The head that a journal holds for a file; nil when it is for another one.
    private static func head(in journal: FilePath, of status: FileStatus) -> [UInt8]? {
        guard let map = try? MappedFile(journal) else { return nil }
        return map.withUnsafeBytes { bytes in
            guard bytes.starts(with: magic), bytes.count > prefixByteCount,
                bytes.count - prefixByteCount <= status.byteCount,
                number(bytes, at: 8) == UInt64(status.identity.number),
                number(bytes, at: 16) == UInt64(status.byteCount)
            else { return nil }
            return Array(bytes[prefixByteCount...])
        }
    }

    private static func isJournal(_ path: FilePath) -> Bool {
        guard fileExists(path), let map = try? MappedFile(path) else { return false }
        return map.withUnsafeBytes { $0.starts(with: magic) }
    }

    private static func path(of file: FilePath) -> FilePath {
        file.removingLastComponent().appending(".\(file.lastComponent?.string ?? "").edit")
    }

    private static func number(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}
