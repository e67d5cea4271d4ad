import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Rules of the zip directory, each broken by changing single fields of a sound archive.
@Suite struct ZipDirectoryTests {
    /// An archive as bytes, with the places of its records.
    struct Archive {
        var bytes: [UInt8]
        let directoryHeaders: [Int]
        let localHeaders: [Int]
        var end: Int { bytes.count - 22 }

        init(_ path: FilePath) throws {
            bytes = try npyFileBytes(path)
            directoryHeaders = Self.places(of: [0x50, 0x4B, 1, 2], in: bytes)
            localHeaders = Self.places(of: [0x50, 0x4B, 3, 4], in: bytes)
        }

        private static func places(of signature: [UInt8], in bytes: [UInt8]) -> [Int] {
            (0..<bytes.count - 4).filter { bytes[$0..<$0 + 4].elementsEqual(signature) }
        }

        mutating func set(_ place: Int, _ values: UInt8...) {
            bytes.replaceSubrange(place..<place + values.count, with: values)
        }

        /// Gives a member another name of the same length, in both headers.
        mutating func rename(_ member: Int, _ name: String) {
            let name = Array(name.utf8)
            bytes.replaceSubrange(
                directoryHeaders[member] + 46..<directoryHeaders[member] + 46 + name.count, with: name)
            bytes.replaceSubrange(localHeaders[member] + 30..<localHeaders[member] + 30 + name.count, with: name)
        }
    }

    struct Rule: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let category: String
        let change: @Sendable (inout Archive) -> Void

        init(_ name: String, _ category: String, _ change: @escaping @Sendable (inout Archive) -> Void) {
            testDescription = name
            self.category = category
            self.change = change
        }
    }

    static func refusal(_ archive: Archive) -> String? {
        let folder = TemporaryFolder()
        return npyRefusal { _ = try NpyTensorSummary.readThrough(try folder.write(archive.bytes, to: "a.npz")) }
    }

    /// Two stored members, arr_0.npy and arr_1.npy, saved by NumPy.
    static let sound = Fixtures.path("conformance/good/npz/positional_names.npz")

    static let rules: [Rule] = [
        Rule("masked headers", "encrypted") { $0.set($0.directoryHeaders[0] + 9, 0x20) },
        Rule("strong encryption", "encrypted") { $0.set($0.directoryHeaders[0] + 8, 0x40) },
        Rule("AES", "encrypted") { $0.set($0.directoryHeaders[1] + 10, 99) },
        Rule("bzip2", "unsupported_compression") { $0.set($0.directoryHeaders[0] + 10, 12) },
        Rule("a member on another disk", "zip_structure") { $0.set($0.directoryHeaders[0] + 34, 1) },
        Rule("the directory on another disk", "zip_structure") { $0.set($0.end + 6, 1) },
        Rule("counts that differ", "zip_structure") { $0.set($0.end + 8, 1) },
        Rule("more members than there are", "zip_structure") { $0.set($0.end + 8, 3, 0, 3, 0) },
        Rule("fewer members than there are", "zip_structure") { $0.set($0.end + 8, 1, 0, 1, 0) },
        Rule("60,000 members in a hundred bytes", "zip_structure") { $0.set($0.end + 8, 0x60, 0xEA, 0x60, 0xEA) },
        Rule("saturated counts without zip64", "zip_structure") { $0.set($0.end + 8, 0xFF, 0xFF, 0xFF, 0xFF) },
        Rule("no directory header", "zip_structure") { $0.set($0.directoryHeaders[1], 0) },
        Rule("no local header", "zip_structure") { $0.set($0.localHeaders[1], 0) },
        Rule("a local header beyond the end", "zip_structure") {
            $0.set($0.directoryHeaders[0] + 42, 0xF0, 0xFF, 0xFF, 0x7F)
        },
        Rule("a name beyond the directory", "zip_structure") { $0.set($0.directoryHeaders[1] + 28, 0xFF, 0xFF) },
        Rule("an extra field beyond the directory", "zip_structure") {
            $0.set($0.directoryHeaders[1] + 30, 0xFF, 0xFF)
        },
        Rule("a comment beyond the directory", "zip_structure") { $0.set($0.directoryHeaders[1] + 32, 1) },
        Rule("another local method", "header_mismatch") { $0.set($0.localHeaders[0] + 8, 8) },
        Rule("another local name", "header_mismatch") { $0.set($0.localHeaders[0] + 30, UInt8(ascii: "b")) },
        Rule("another local sum", "header_mismatch") {
            $0.set($0.localHeaders[0] + 14, $0.bytes[$0.localHeaders[0] + 14] ^ 1)
        },
        // NumPy's local sizes are in the zip64 field behind the name.
        Rule("another local size", "header_mismatch") { $0.set($0.localHeaders[0] + 30 + 9 + 4, 1) },
        Rule("encrypted by the local header only", "header_mismatch") { $0.set($0.localHeaders[0] + 6, 1) },
        Rule("a stored member of two sizes", "header_mismatch") { $0.set($0.directoryHeaders[0] + 24, 1) },
        Rule("a member that reaches into the next", "overlapping_members") {
            for place in [$0.directoryHeaders[0] + 20, $0.directoryHeaders[0] + 24] { $0.set(place, 0xFF, 0) }
            for place in [$0.localHeaders[0] + 43, $0.localHeaders[0] + 51] { $0.set(place, 0xFF, 0) }
        },
        Rule("a member that reaches into the directory", "overlapping_members") {
            for place in [$0.directoryHeaders[1] + 20, $0.directoryHeaders[1] + 24] { $0.set(place, 0x90, 0) }
            for place in [$0.localHeaders[1] + 43, $0.localHeaders[1] + 51] { $0.set(place, 0x90, 0) }
        },
        Rule("two directory headers for one member", "overlapping_members") {
            let first = $0.directoryHeaders[0]
            let second = $0.directoryHeaders[1]
            $0.bytes.replaceSubrange(second..<second + 46, with: $0.bytes[first..<first + 46])
            $0.bytes.replaceSubrange(second + 46..<second + 55, with: "arr_0.npy".utf8)
        },
        Rule("one name twice", "duplicate_member") { $0.rename(1, "arr_0.npy") },
        Rule("an absolute name", "path_traversal") { $0.rename(0, "/etc/.npy") },
        Rule("a drive", "path_traversal") { $0.rename(0, "C:rr0.npy") },
        Rule("a backslash", "path_traversal") { $0.rename(0, "a\\rr0.npy") },
        Rule("the parent", "path_traversal") { $0.rename(0, "../r0.npy") },
        Rule("the parent at the end", "path_traversal") { $0.rename(0, "a.npy/b/..") },
        Rule("a dot inside", "path_traversal") { $0.rename(0, "a/./0.npy") },
        Rule("a NUL", "bad_name") { $0.rename(0, "ar\0_0.npy") },
        Rule("a folder with content", "bad_member") { $0.rename(0, "arr_0npy/") },
        Rule("a symbolic link", "bad_member") { $0.set($0.directoryHeaders[0] + 40, 0xFF, 0xA1) },
    ]

    @Test func theArchiveIsSound() throws {
        #expect(try NpyTensorSummary.readThrough(Self.sound).count == 2)
        let archive = try Archive(Self.sound)
        #expect(archive.directoryHeaders.count == 2 && archive.localHeaders.count == 2)
    }

    @Test(arguments: rules) func refuses(_ rule: Rule) throws {
        var archive = try Archive(Self.sound)
        rule.change(&archive)
        #expect(Self.refusal(archive) == rule.category)
    }

    @Test func innerSlashesAndDotsAreNames() throws {
        for name in ["a/b.c.npy", "..a/b.npy", "a...b.npy"] {
            var archive = try Archive(Self.sound)
            archive.rename(0, name)
            let folder = TemporaryFolder()
            let reader = try NpzReader(opening: try folder.write(archive.bytes, to: "a.npz"), options: ReadOptions())
            #expect(reader.descriptors[0].name.text == String(name.dropLast(4)))
        }
    }

    @Test func aDeflatedSizeThatNoStreamCanHaveIsRefusedAtOpening() throws {
        var archive = try Archive(Fixtures.path("npz/descriptor_deflated.npz"))
        archive.set(archive.directoryHeaders[0] + 24, 0, 0, 0, 0x40)
        let folder = TemporaryFolder()
        let path = try folder.write(archive.bytes, to: "a.npz")
        #expect(npyRefusal { _ = try NpzReader(opening: path, options: ReadOptions()) } == "size_mismatch")
    }

    /// A comment belongs to the archive; anything else behind it was appended, and costs no array.
    @Test func bytesBehindTheArchiveAreToldFromACut() throws {
        let folder = TemporaryFolder()
        let original = try npyFileBytes(Fixtures.path("npz/folders_comment.npz"))
        let appended = try folder.write(original + Array("appended".utf8), to: "a.npz")
        let error = try #require(throws: FormatError.self) { try NpzReader(opening: appended, options: ReadOptions()) }
        #expect(error.category == .trailingBytes)
        #expect(error.byteOffset == UInt64(original.count))
        let reader = try NpzReader(opening: appended, options: ReadOptions(salvaging: true))
        let whole = try NpzReader(opening: Fixtures.path("npz/folders_comment.npz"), options: ReadOptions())
        #expect(try NpyTensorSummary.all(reader) == NpyTensorSummary.all(whole))
        #expect(try reader.verify().damage.map(\.offset) == [original.count])
        let cut = try folder.write(Array(original.dropLast(1)), to: "b.npz")
        #expect(
            npyRefusal { _ = try NpzReader(opening: cut, options: ReadOptions(salvaging: true)) } == "zip_structure")
    }

    /// The stream of a member, with bytes put behind it, left off or changed, in an archive that is otherwise right. A size
    /// that is too small for the array is noticed by the array's own header.
    @Test(
        arguments: [
            ("whole", nil), ("surplus", "size_mismatch"), ("cut", "bad_deflate"),
            ("reserved block type", "bad_deflate"),
            ("empty", "size_mismatch"), ("declared longer", "size_mismatch"), ("declared shorter", "truncated"),
            ("another sum", "bad_crc"),
        ] as [(String, String?)])
    func faultsOfADeflateStreamAreToldApart(_ fault: String, _ category: String?) throws {
        let path = Fixtures.path("npz/compressible.npz")
        let file = try MappedFile(path)
        let entry = try CentralDirectory(of: file.bytes, path: path).entries[0]
        var stream = Array(file.bytes[entry.data])
        var member = ZipRecord.Member(
            name: Array("x.npy".utf8), method: .deflated, crc32: entry.crc32, compressedByteCount: 0,
            byteCount: entry.byteCount, localHeaderOffset: 0, padding: 0)
        switch fault {
        case "surplus": stream += [0, 0, 0]
        case "cut": stream.removeLast(2)
        case "reserved block type": stream[0] |= 6
        case "empty": stream = []
        case "declared longer": member.byteCount += 1
        case "declared shorter": member.byteCount -= 1
        case "another sum": member.crc32 ^= 1
        default: break
        }
        member.compressedByteCount = stream.count
        // A size that is not refused for its proportion, so that the stream itself is looked at.
        if stream.isEmpty { member.byteCount = 200 }
        let local = ZipRecord.localHeader(member) + stream
        let header = ZipRecord.directoryHeader(member)
        let end = ZipRecord.end(entryCount: 1, directory: local.count..<local.count + header.count)
        let folder = TemporaryFolder()
        let damaged = try folder.write(local + header + end, to: "a.npz")
        #expect(npyRefusal { _ = try NpyTensorSummary.readThrough(damaged) } == category)
    }

    @Test func aFileThatIsNoZipIsToldApart() throws {
        let folder = TemporaryFolder()
        func refusal(_ bytes: [UInt8]) throws -> String? {
            let path = try folder.write(bytes, to: "x.npz")
            return npyRefusal { _ = try NpzReader(opening: path, options: ReadOptions()) }
        }
        #expect(try refusal([]) == "truncated")
        #expect(try refusal(Array("hello, this is a text".utf8)) == "bad_magic")
        #expect(try refusal(Array("PK".utf8)) == "zip_structure")
        let missing = folder.file("missing.npz")
        #expect(throws: IOError.self) { try NpzReader(opening: missing, options: ReadOptions()) }
    }
}
