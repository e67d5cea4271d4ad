import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Checkpoints in several GGUF files.
@Suite struct GGUFSplitTests {
    private let folder = TemporaryFolder()

    /// Writes part `number` of three, with a tensor of one number.
    @discardableResult
    private func writePart(
        _ number: Int, of count: Int = 3, as name: String? = nil, tensor: String? = nil, tensorCount: Int = 3
    ) throws -> FilePath {
        var metadata = GGUFMetadata()
        if number == 0 { metadata["general.architecture"] = .string("llama") }
        metadata["split.no"] = .uint16(UInt16(number))
        metadata["split.count"] = .uint16(UInt16(count))
        metadata["split.tensors.count"] = .int32(Int32(tensorCount))
        let descriptor = try TensorDescriptor(name: TensorName(tensor ?? "t\(number)"), dtype: .f32, shape: [1])
        let path = folder.file(name ?? "m.Q8-0000\(number + 1)-of-0000\(count).gguf")
        let writer = try GGUFWriter(
            creating: path, declaring: [descriptor], metadata: metadata, options: WriteOptions(force: true, sync: false)
        )
        try write([[UInt8(number), 0, 0, 0]], with: writer)
        return path
    }

    private func refusal(_ path: FilePath) throws -> FormatError {
        try #require(throws: FormatError.self) { try GGUFReader(opening: path) }
    }

    @Test func opensAllPartsFromTheFirst() throws {
        let first = try writePart(0)
        let others = [try writePart(1), try writePart(2)]
        let reader = try GGUFReader(opening: first)
        #expect(reader.files == [first] + others)
        #expect(reader.descriptors.map(\.name) == ["t0", "t1", "t2"])
        for index in 0..<3 {
            #expect(reader.bytes(of: index).withUnsafeBytes { $0[0] } == UInt8(index))
            #expect(reader.location(of: index).file == reader.files[index])
        }
        // The parts' own keys are not the model's.
        #expect(reader.typedMetadata.entries.map(\.key) == ["general.architecture"])
        #expect(try reader.verify().damage.isEmpty)
    }

    @Test func aTreeHasTheFirstPartForAll() throws {
        let first = try writePart(0)
        try writePart(1)
        try writePart(2)
        let stray = try writePart(1, of: 2)
        let tree = try CheckpointTree(folder.path)
        #expect(Set(tree.checkpoints) == [first, stray])
        #expect(tree.otherFileCount == 0)
    }

    @Test func namesAMissingPart() throws {
        let first = try writePart(0)
        try writePart(2)
        let error = try refusal(first)
        #expect(error.category == .missingShard)
        #expect(error.message.contains("m.Q8-00002-of-00003.gguf"))
    }

    @Test func namesTheFirstPart() throws {
        try writePart(0)
        let error = try refusal(try writePart(1))
        #expect(error.category == .indexMismatch)
        #expect(error.hint?.contains("m.Q8-00001-of-00003.gguf") == true)
    }

    @Test func refusesPartsThatDoNotBelongTogether() throws {
        let first = try writePart(0)
        try writePart(1)
        try writePart(1, as: "m.Q8-00003-of-00003.gguf")
        #expect(try refusal(first).category == .indexMismatch)
        try writePart(2, of: 4, as: "m.Q8-00003-of-00003.gguf")
        #expect(try refusal(first).category == .indexMismatch)
        try writePart(2, tensor: "t0")
        #expect(try refusal(first).category == .duplicateKey)
        try writePart(2)
        try writePart(0, tensorCount: 4)
        #expect(try refusal(first).category == .indexMismatch)
    }

    @Test func refusesAPartOfAnotherName() throws {
        #expect(try refusal(try writePart(0, as: "model.gguf")).category == .missingShard)
        #expect(try refusal(try writePart(0, as: "m-00001-of-00002.gguf")).category == .missingShard)
    }

    /// What is left of a part that was cut short is had by way of the first.
    @Test func namesTheFirstPartWhereAnotherIsCut() throws {
        let first = try writePart(0)
        let second = try writePart(1)
        try writePart(2)
        _ = try folder.write(try second.contents().dropLast(32).map { $0 }, to: "m.Q8-00002-of-00003.gguf")
        let error = try refusal(first)
        #expect(error.category == .truncated && error.file == second.string)
        #expect(error.hint?.contains("convert \(first.string) ") == true)
        let renamed = try refusal(try writePart(0, as: "model.gguf"))
        #expect(renamed.hint?.contains("NAME-00001-of-00003.gguf") == true)
    }

    @Test func refusesNumbersThatAreNone() throws {
        #expect(try refusal(try writePart(3, as: "m-00004-of-00003.gguf")).category == .badValue)
    }

    @Test func aPartOfOneIsWhole() throws {
        let reader = try GGUFReader(opening: try writePart(0, of: 1, as: "model.gguf"))
        #expect(reader.descriptors.count == 1)
    }
}
