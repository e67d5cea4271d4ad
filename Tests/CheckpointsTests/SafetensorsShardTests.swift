import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite struct SafetensorsShardTests {
    private let folder = TemporaryFolder()

    /// Four tensors of 10, 10, 30 and 5 bytes, which lie in this order in a file.
    private func write(limit: Int, force: Bool = false) throws -> WrittenCheckpoint {
        try writer(limit: limit, force: force).finish()
    }

    /// All bytes written, and no file with a name yet.
    private func writer(limit: Int, force: Bool = false) throws -> any CheckpointWriter {
        let descriptors = try [("a", 10), ("b", 10), ("c", 30), ("d", 5)].map { name, count in
            try TensorDescriptor(name: TensorName(name), dtype: .u8, shape: [count])
        }
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: folder.file("x.safetensors"), declaring: descriptors, metadata: metadata,
            options: WriteOptions(force: force, sync: false, shardByteCount: limit))
        for (index, descriptor) in descriptors.enumerated() {
            let bytes = [UInt8](repeating: UInt8(index + 1), count: descriptor.byteCount)
            try bytes.withUnsafeBytes { try writer.write($0, tensor: index, at: 0) }
        }
        return writer
    }

    private var metadata: Metadata {
        var metadata = Metadata()
        metadata["format"] = "pt"
        return metadata
    }

    @Test func splitsGreedilyAndGivesALargeTensorItsOwnShard() throws {
        // 10 + 10 fit into 20; 30 is above the limit; 5 is left.
        let written = try write(limit: 20)
        let names = [
            "x-00001-of-00003.safetensors", "x-00002-of-00003.safetensors", "x-00003-of-00003.safetensors",
            "x.safetensors.index.json",
        ]
        #expect(written.files.map { $0.lastComponent?.string } == names)
        #expect(folder.path.listing() == names)
        let index = try JSONDocument.parse(folder.file(names[3]).contents())
        #expect(index["metadata"]?["total_size"]?.int == 55)
        #expect(index["weight_map"]?["c"]?.string == names[1])

        let store = try TensorStore(opening: folder.file(names[3]))
        #expect(store.descriptors.map(\.name) == ["a", "b", "c", "d"])
        #expect(try store.copy(of: "d") == [4, 4, 4, 4, 4])
        #expect(store.metadata["format"] == "pt")
        #expect(store.reader.warnings.isEmpty)
        #expect(store.reader.files.count == 4)
        #expect(try store.reader.verify().checkedByteCount > 55)
    }

    @Test func aCheckpointWithinTheLimitIsOnePlainFile() throws {
        #expect(try write(limit: 55).files.map { $0.lastComponent?.string } == ["x.safetensors"])
        #expect(folder.path.listing() == ["x.safetensors"])
    }

    /// A single file left beside the index would be opened in its place.
    @Test func shardsReplaceASingleFileOnlyByForce() throws {
        _ = try write(limit: 100)
        let error = #expect(throws: IOError.self) { try write(limit: 20) }
        #expect(error?.code == "io.exists")
        #expect(folder.path.listing() == ["x.safetensors"])
        _ = try write(limit: 20, force: true)
        #expect(!folder.file("x.safetensors").isThere)
        #expect(try CheckpointFormat.open(folder.path).descriptors.count == 4)
    }

    /// Two processes with one output: what the first has written stays as it is.
    @Test func aSingleFileReplacesShardsOnlyByForce() throws {
        _ = try write(limit: 20)
        _ = try folder.write([1], to: "y-00001-of-00002.safetensors")
        let before = folder.path.listing()
        let error = #expect(throws: IOError.self) { try write(limit: 55) }
        #expect(error?.code == "io.exists" && error?.file?.hasSuffix("x.safetensors.index.json") == true)
        #expect(folder.path.listing() == before)
        #expect(try write(limit: 55, force: true).files.count == 1)
        #expect(folder.path.listing() == ["x.safetensors", "y-00001-of-00002.safetensors"])
    }

    @Test func shardsThatAppearMeanwhileStay() throws {
        let (first, second) = (try writer(limit: 20), try writer(limit: 20))
        _ = try first.finish()
        let names = folder.path.listing().filter { !$0.hasPrefix(".") }
        #expect(names.count == 4)
        let error = #expect(throws: IOError.self) { try second.finish() }
        #expect(error?.code == "io.exists")
        #expect(try CheckpointFormat.open(folder.file("x.safetensors.index.json")).descriptors.count == 4)
        #expect(folder.path.listing().filter { !$0.hasPrefix(".") } == names)
    }

    @Test(arguments: ["../x.safetensors", "/x", "a/b", "a\\b", "..", ".", "", "C:x", "a\u{0}b"])
    func shardNamesStayInTheFolder(_ name: String) throws {
        let escaped = name.replacing("\\", with: "\\\\").replacing("\u{0}", with: "\\u0000")
        let path = try folder.write(Array(#"{"weight_map":{"t":"\#(escaped)"}}"#.utf8), to: "m.safetensors.index.json")
        #expect(throws: FormatError.self) { try CheckpointFormat.open(path) }
        do { _ = try CheckpointFormat.open(path) } catch let error as FormatError {
            #expect(error.category == .pathTraversal)
            #expect(error.tensor == "t")
        }
    }

    @Test(arguments: [
        (#"[]"#, FormatCategory.badIndex), (#"{}"#, .badIndex), (#"{"weight_map":{"a":1}}"#, .badIndex),
        (#"{"weight_map":{"a":"x","a":"y"}}"#, .duplicateKey), (#"{"weight_map":"#, .invalidJSON),
        (#"{"weight_map":{"a":"not-there.safetensors"}}"#, .missingShard),
    ])
    func refusesABrokenIndex(_ text: String, _ category: FormatCategory) throws {
        let path = try folder.write(Array(text.utf8), to: "m.safetensors.index.json")
        let error = #expect(throws: FormatError.self) { try CheckpointFormat.open(path) }
        #expect(error?.category == category)
    }

    @Test func aTensorThatTheIndexDoesNotKnowIsAMismatch() throws {
        _ = try write(limit: 20)
        let text = #"{"weight_map":{"a":"x-00001-of-00003.safetensors"}}"#
        let path = try folder.write(Array(text.utf8), to: "m.safetensors.index.json")
        let error = #expect(throws: FormatError.self) { try CheckpointFormat.open(path) }
        #expect(error?.category == .indexMismatch)
        #expect(error?.tensor == "b")
    }

    /// A part that is a folder or the index itself, and a part that is a link out of the folder, as in the hub's cache.
    @Test func partsAreFilesThatHoldTheirTensors() throws {
        _ = try write(limit: 100)
        func open(_ part: String) throws -> Int {
            let map = ["a", "b", "c", "d"].map { "\"\($0)\":\"\(part)\"" }.joined(separator: ",")
            let path = try folder.write(Array(#"{"weight_map":{\#(map)}}"#.utf8), to: "m.safetensors.index.json")
            return try CheckpointFormat.open(path).descriptors.count
        }
        #expect(try open("x.safetensors") == 4)
        mkdir(folder.file("folder.safetensors").string, 0o755)
        #expect(throws: (any Error).self) { try open("folder.safetensors") }
        #expect(throws: FormatError.self) { try open("m.safetensors.index.json") }
        symlink("../\(folder.path.lastComponent!)/x.safetensors", folder.file("link.safetensors").string)
        #expect(try open("link.safetensors") == 4)
        symlink("nowhere", folder.file("broken.safetensors").string)
        let error = #expect(throws: FormatError.self) { try open("broken.safetensors") }
        #expect(error?.category == .missingShard)
    }

    /// As an older split leaves them, or one that was not finished.
    @Test func warnsOfPartsThatTheIndexDoesNotName() throws {
        _ = try write(limit: 20)
        #expect(try CheckpointFormat.open(folder.path).warnings.isEmpty)
        for name in ["x-00001-of-00002.safetensors", "y-00001-of-00002.safetensors", "x-00001-of-00002.bin"] {
            _ = try folder.write([0], to: name)
        }
        let reader = try CheckpointFormat.open(folder.file("x.safetensors.index.json"))
        #expect(reader.warnings.map(\.code) == ["format.other_parts"])
        #expect(
            reader.warnings.map(\.text) == [
                "\(folder.file("x.safetensors.index.json")) does not name x-00001-of-00002.safetensors beside it, as of an "
                    + "older split; it is left out"
            ])
    }

    @Test func warnsOfAWrongTotalSize() throws {
        _ = try write(limit: 100)
        let text =
            #"{"metadata":{"total_size":56},"weight_map":{"a":"x.safetensors","b":"x.safetensors","c":"x.safetensors","d":"x.safetensors"}}"#
        let path = try folder.write(Array(text.utf8), to: "m.safetensors.index.json")
        #expect(try CheckpointFormat.open(path).warnings.count == 1)
    }
}
