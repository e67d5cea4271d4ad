import CArchive
import Checkpoints
import Glibc
import SystemPackage
import TensorCore

/// The pictures of a tar or zip archive, as WebDataset and others pack them.
///
/// The directory is read once. Members that lie in the archive as they are, as in a plain tar, are read from where they lie; those that
/// are compressed are kept in memory, still encoded as pictures. Nothing is ever unpacked to disk, and names are but names.
final class PictureArchive: Sendable {
    let path: FilePath
    /// What kept members take.
    let heldByteCount: Int
    private let file: MappedFile
    private let members: [(name: String, content: Content?, refusal: String?, classText: String?)]

    /// Where the bytes of a member are.
    enum Content: Sendable {
        case mapped(Range<Int>)
        case held([UInt8])
    }

    /// No picture has more bytes.
    private static let memberByteLimit = 1 << 30

    /// Reads the directory, and the members that are compressed.
    ///
    /// - Parameter heldByteCount: what members may take that are kept in memory.
    /// - Throws: `input.bad_archive` for what is no archive or is damaged, with the place; `IOError`.
    init(_ path: FilePath, heldByteCount limit: Int) throws {
        self.path = path
        let file = try MappedFile(path)
        self.file = file
        (members, heldByteCount) = try file.withUnsafeBytes { bytes in
            try ArchiveWalk(bytes, path: path, heldByteLimit: limit, memberByteLimit: Self.memberByteLimit).run()
        }
    }

    /// The pictures, sorted by name, with what `.cls` members of their names say.
    var entries: [PictureCollection.Entry] {
        var classes: [String: String] = [:]
        for member in members { if let text = member.classText { classes[Self.key(of: member.name)] = text } }
        return members.filter { isPictureName($0.name) }.map { member in
            let place: PictureCollection.Place =
                member.content.map { .member(self, $0) } ?? .refused(member.refusal ?? "is not there")
            return PictureCollection.Entry(
                name: member.name, place: place, classText: classes[Self.key(of: member.name)])
        }.sorted { isBefore($0.name, $1.name) }
    }

    /// Lends the bytes of a member.
    func withBytes<Result>(_ content: Content, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        switch content {
        case .mapped(let range): try file.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        case .held(let bytes): try bytes.withUnsafeBytes(body)
        }
    }

    /// The name of a sample: WebDataset's members of one sample differ after the first dot of the last component.
    private static func key(of name: String) -> String {
        let start = name.utf8.lastIndex(of: UInt8(ascii: "/")).map { name.utf8.index(after: $0) } ?? name.startIndex
        let dot = name.utf8[start...].firstIndex(of: UInt8(ascii: ".")) ?? name.endIndex
        return String(name[..<dot])
    }
}

/// One pass over an archive.
private struct ArchiveWalk {
    let bytes: UnsafeRawBufferPointer
    let path: FilePath
    let heldByteLimit: Int
    let memberByteLimit: Int

    typealias Member = (name: String, content: PictureArchive.Content?, refusal: String?, classText: String?)

    init(_ bytes: UnsafeRawBufferPointer, path: FilePath, heldByteLimit: Int, memberByteLimit: Int) {
        (self.bytes, self.path) = (bytes, path)
        (self.heldByteLimit, self.memberByteLimit) = (heldByteLimit, memberByteLimit)
    }

    func run() throws -> (members: [Member], heldByteCount: Int) {
        guard let archive = archive_read_new() else {
            throw IOError(kind: .memory, message: "cannot allocate an archive's reader", file: path.string)
        }
        defer { archive_read_free(archive) }
        // By name: with all of them libarchive would start programs for some.
        for support in [
            archive_read_support_filter_gzip, archive_read_support_filter_bzip2, archive_read_support_filter_xz,
            archive_read_support_filter_zstd, archive_read_support_filter_lz4, archive_read_support_format_tar,
            archive_read_support_format_zip,
        ] { _ = support(archive) }
        guard archive_read_open_memory(archive, bytes.baseAddress, bytes.count) == ARCHIVE_OK else {
            throw damaged("cannot be opened", archive)
        }
        var members: [Member] = []
        var held = 0
        while true {
            var header: OpaquePointer?
            let status = archive_read_next_header(archive, &header)
            if status == ARCHIVE_EOF { break }
            guard status == ARCHIVE_OK || status == ARCHIVE_WARN, let header else {
                throw damaged("has no readable member after \(members.count)", archive)
            }
            let name = name(of: header, number: members.count)
            let isClass = FilePath(name).extension?.lowercased() == "cls"
            guard isPictureName(name) || isClass else { continue }
            if let refusal = refusal(of: header, name) {
                members.append((name, nil, refusal, nil))
                continue
            }
            // A class is a number or a name.
            let content: PictureArchive.Content
            do {
                content = try self.content(
                    of: name, archive, isClass ? min(memberByteLimit, 4096) : memberByteLimit,
                    heldLimit: max(0, heldByteLimit - held))
            } catch let refusal as OversizedMember {
                members.append((name, nil, refusal.reason, nil))
                continue
            }
            if isClass {
                let text = withBytes(content) { String(validating: $0, as: UTF8.self) }
                members.append((name, nil, nil, text.map(Self.trimmed)))
                continue
            }
            if case .held(let kept) = content { held += kept.count }
            members.append((name, content, nil, nil))
        }
        return (members, held)
    }

    private func withBytes<Result>(
        _ content: PictureArchive.Content, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        switch content {
        case .mapped(let range): body(UnsafeRawBufferPointer(rebasing: bytes[range]))
        case .held(let kept): kept.withUnsafeBytes(body)
        }
    }

    private static func trimmed(_ text: String) -> String {
        String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }

    private func name(of header: OpaquePointer, number: Int) -> String {
        // In a locale without UTF-8 the one is there, and without a name in UTF-8 the other.
        guard let name = archive_entry_pathname_utf8(header) ?? archive_entry_pathname(header) else {
            return "member \(number + 1)"
        }
        return String(cString: name)
    }

    /// Why a member is not read, where it is none that a data set has.
    private func refusal(of header: OpaquePointer, _ name: String) -> String? {
        if archive_entry_hardlink(header) != nil || archive_entry_filetype(header) == S_IFLNK { return "is a link" }
        guard archive_entry_filetype(header) == S_IFREG else { return "is no regular file" }
        if name.hasPrefix("/") { return "has a name that begins at the root" }
        let leads = FilePath(name).components.contains { $0.kind == .parentDirectory }
        return leads ? "has a name that leads out of the archive" : nil
    }

    private func content(
        of name: String, _ archive: OpaquePointer, _ limit: Int, heldLimit: Int
    ) throws -> PictureArchive.Content {
        var kept: [UInt8] = []
        var lying: Range<Int>?
        while true {
            var block: UnsafeRawPointer?
            var (count, offset) = (0, la_int64_t(0))
            let status = archive_read_data_block(archive, &block, &count, &offset)
            if status == ARCHIVE_EOF { break }
            guard status == ARCHIVE_OK || status == ARCHIVE_WARN else {
                throw damaged("has a member \(name.escapingControlCharacters) that cannot be read", archive)
            }
            guard count > 0, let block else { continue }
            let end = (lying?.count ?? 0) + kept.count + count
            guard end <= limit, offset == end - count else {
                throw OversizedMember(reason: "has more than \(limit) bytes, or holes")
            }
            let place = bytes.baseAddress.map { block - $0 } ?? -1
            if kept.isEmpty, place >= 0, place + count <= bytes.count, lying == nil || lying?.upperBound == place {
                lying = (lying?.lowerBound ?? place)..<place + count
            } else {
                guard end <= heldLimit else {
                    throw OversizedMember(
                        reason:
                            "is compressed once more and does not fit into the \(heldLimit) bytes of memory that are left for such "
                            + "pictures; unpack the archive into a folder, or pack it as a plain .tar")
                }
                if let range = lying { kept = Array(bytes[range]) }
                lying = nil
                kept += UnsafeRawBufferPointer(start: block, count: count)
            }
        }
        return lying.map { .mapped($0) } ?? .held(kept)
    }

    private func damaged(_ what: String, _ archive: OpaquePointer) -> InputError {
        let reason = archive_error_string(archive).map { ": \(String(cString: $0).escapingControlCharacters)" } ?? ""
        return InputError(
            .badArchive, "the archive \(path.string) \(what)\(reason)", file: path,
            byteOffset: max(0, Int(archive_filter_bytes(archive, 0))),
            hint: ".tar, also compressed, and .zip are read; if it is one of them, fetch it again")
    }
}

/// A member that is not kept, and why.
private struct OversizedMember: Error {
    let reason: String
}
