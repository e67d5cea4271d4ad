import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// What happens to a process whose inputs change is for the tests of the tool to show.
@Suite struct MappedFilesTests {
    private let folder = TemporaryFolder()

    @Test func knowsWhichFileIsMappedAtAnAddress() throws {
        var first: MappedFile? = try MappedFile(folder.write([1, 2, 3], to: "first"))
        let second = try MappedFile(folder.write([4, 5], to: "second"))
        let start = UInt(bitPattern: try #require(first).bytes.baseAddress)
        let other = UInt(bitPattern: second.bytes.baseAddress)
        #expect(MappedFiles.path(at: start) == folder.file("first"))
        #expect(MappedFiles.path(at: start + 2) == folder.file("first"))
        #expect(MappedFiles.path(at: other + 1) == folder.file("second"))
        // Behind the last byte.
        #expect(MappedFiles.path(at: other + 2) == nil)
        #expect(MappedFiles.path(at: 0) == nil)
        first = nil
        #expect(MappedFiles.path(at: other) == folder.file("second"))
        withExtendedLifetime(second) {}
    }

    @Test func anAddressIsForgottenWithItsMapping() throws {
        let path = try folder.write([1], to: "x")
        let address = try {
            let file = try MappedFile(path)
            return file.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        }()
        // Another test may map another file there.
        #expect(MappedFiles.path(at: address) != path)
    }

    /// A format is recognised by one mapping, and read by another.
    @Test func whatChangesAfterAMappingIsNoticed() throws {
        let path = try folder.write([1, 2, 3], to: "kept")
        let version = try MappedFile(path).version
        try version.requireCurrent(at: path)
        // Another file with the name is another matter.
        _ = try folder.write([4], to: "other")
        let replaced = try folder.write([1, 2, 3], to: "replaced")
        let before = try MappedFile(replaced).version
        #expect(rename(folder.file("other").string, replaced.string) == 0)
        try before.requireCurrent(at: replaced)
        #expect(truncate(path.string, 1) == 0)
        let error = try #require(throws: IOError.self) { try version.requireCurrent(at: path) }
        #expect(error.code == "io.changed" && error.file == path.string)
    }
}
