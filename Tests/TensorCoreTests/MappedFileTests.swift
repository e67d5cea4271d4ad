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

    /// Another beginning stays what it is when pages are given back, and the file does not have it.
    @Test(arguments: [1, 4095, 4096, 5000, 9000]) func showsAnotherBeginning(count: Int) throws {
        let stored = (0..<9000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let path = try folder.write(stored, to: "x")
        let descriptor = try MappedFile.open(path)
        let head = [UInt8](repeating: 0xEE, count: count)
        let file = try MappedFile(descriptor, at: path, beginningWith: head)
        try descriptor.close()
        file.doneWith(0..<9000)
        let isSeen = file.withUnsafeBytes { $0.elementsEqual(head + stored[count...]) }
        #expect(isSeen)
        let isKept = try MappedFile(path).withUnsafeBytes { $0.elementsEqual(stored) }
        #expect(isKept)
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
