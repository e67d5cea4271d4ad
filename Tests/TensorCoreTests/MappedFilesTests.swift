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
    @Test func whatChangesBetweenTwoMappingsIsNoticed() throws {
        let (kept, cut, replaced) = ("kept", "cut", "replaced")
        for name in [kept, cut, replaced] { try folder.write([1, 2, 3], to: name) }
        var record = MappedFiles.Record()
        func map(_ name: String, at address: UInt) throws -> MappedFiles.Region {
            let path = folder.file(name)
            let version = try #require(MappedFiles.Version(of: path))
            let region = MappedFiles.Region(path: path, byteCount: 3, version: version)
            record.insert(region, at: address)
            return region
        }
        for (place, name) in [kept, cut, replaced].enumerated() {
            let region = try map(name, at: UInt(place))
            #expect(record.remove(at: UInt(place)) != nil)
            record.end(region, isChanged: region.isChanged)
        }
        #expect(truncate(folder.file(cut).string, 1) == 0)
        try folder.write([4], to: "other")
        #expect(rename(folder.file("other").string, folder.file(replaced).string) == 0)
        for (place, name) in [kept, replaced].enumerated() { _ = try map(name, at: UInt(place)) }
        #expect(record.changed == nil)
        _ = try map(cut, at: 2)
        #expect(record.changed == folder.file(cut))
    }
}
