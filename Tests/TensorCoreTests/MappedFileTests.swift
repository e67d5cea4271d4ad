import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite struct MappedFileTests {
    private let folder = TemporaryFolder()

    @Test func showsTheBytesOfAFile() throws {
        let file = try MappedFile(folder.write([1, 2, 3], to: "x"))
        #expect(file.byteCount == 3)
        #expect(file.withUnsafeBytes(Array.init) == [1, 2, 3])
        file.willNeed(1..<2)
        file.doneWith(0..<3)
        #expect(file.withUnsafeBytes(Array.init) == [1, 2, 3])
    }

    @Test func anEmptyFileHasNoBytes() throws {
        #expect(try MappedFile(folder.write([], to: "x")).withUnsafeBytes(\.isEmpty))
    }

    @Test func saysWhyAFileCannotBeRead() {
        let missing = #expect(throws: IOError.self) { try MappedFile(folder.file("no")) }
        #expect(missing?.code == "io.not_found")
        #expect(missing?.severity == .badInput)
        let directory = #expect(throws: IOError.self) { try MappedFile(folder.path) }
        #expect(directory?.code == "io.not_a_file")
    }
}
