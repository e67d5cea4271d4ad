import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// `edit` of GGUF files. `.ci/interop` has the Python package gguf read what comes of it.
@Suite struct GGUFEditTests {
    private let tool: Tool
    private let folder: TemporaryFolder

    init() throws {
        tool = try Tool()
        folder = tool.folder
    }

    private static let shapes: [(TensorName, Shape)] = [("blk.0.a", [3, 5]), ("blk.0.b", [7]), ("out", [2, 2])]

    /// Writes a file of three tensors, each of bytes of its own.
    private func write(_ name: String, _ more: [(String, GGUFValue)] = []) throws {
        var metadata = GGUFMetadata()
        metadata["general.architecture"] = .string("toy")
        metadata["toy.context_length"] = .uint32(8)
        metadata["toy.base"] = .float32(1)
        metadata["toy.words"] = .array(GGUFArray(.string, [.string("a"), .string("b")]))
        for (key, value) in more { metadata[key] = value }
        let tensors = try Self.shapes.map { try TensorDescriptor(name: $0, dtype: .f32, shape: $1) }
        let writer = try GGUFWriter(
            creating: folder.file(name), declaring: tensors, metadata: metadata, options: WriteOptions(sync: false))
        for (place, tensor) in tensors.enumerated() {
            let bytes = (0..<tensor.byteCount).map { UInt8(truncatingIfNeeded: $0 + 100 * place) }
            try bytes.withUnsafeBytes { try writer.write($0, tensor: place, at: 0) }
        }
        _ = try writer.finish()
    }

    private func reader(_ name: String) throws -> GGUFReader { try GGUFReader(opening: folder.file(name)) }

    private func contents(_ path: FilePath) throws -> [UInt8] { try MappedFile(path).withUnsafeBytes(Array.init) }

    /// The tensors by name, with their bytes.
    private func tensors(_ name: String) throws -> [TensorName: [UInt8]] {
        let reader = try reader(name)
        return Dictionary(
            uniqueKeysWithValues: reader.descriptors.enumerated().map {
                ($0.element.name, reader.bytes(of: $0.offset).withUnsafeBytes(Array.init))
            })
    }

    @Test(arguments: [false, true]) func setsAndRemovesMetadata(copied: Bool) throws {
        try write("a.gguf")
        let before = try tensors("a.gguf")
        let output = copied ? ["--output", "b.gguf"] : []
        let outcome = try tool.run(
            ["edit", "a.gguf", "--json", "--metadata", "toy.context_length=4096", "--metadata", "note=ключ=x"]
                + ["--metadata", "toy.flag:bool=true", "--remove", "toy.base"] + output)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let name = copied ? "b.gguf" : "a.gguf"
        let metadata = try reader(name).typedMetadata
        #expect(
            metadata.entries.map(\.key) == [
                "general.architecture", "toy.context_length", "toy.words", "note", "toy.flag",
            ])
        #expect(metadata["toy.context_length"] == .uint32(4096))
        #expect(metadata["note"] == .string("ключ=x"))
        #expect(metadata["toy.flag"] == .bool(true))
        #expect(metadata["toy.words"] == .array(GGUFArray(.string, [.string("a"), .string("b")])))
        #expect(try tensors(name) == before)
        if copied { #expect(try reader("a.gguf").typedMetadata["toy.base"] == .float32(1)) }
    }

    /// A number of the same size leaves the head as long as it was.
    @Test func staysInPlaceWhereTheHeadDoes() throws {
        try write("a.gguf")
        let before = try tensors("a.gguf")
        let outcome = try tool.run("edit", "a.gguf", "--json", "--metadata", "toy.context_length=9")
        #expect(try outcome.json()["in_place"].bool == true)
        #expect(try reader("a.gguf").typedMetadata["toy.context_length"] == .uint32(9))
        #expect(try tensors("a.gguf") == before)
    }

    @Test(arguments: [false, true]) func renamesAndDropsTensors(copied: Bool) throws {
        try write("a.gguf")
        let before = try tensors("a.gguf")
        let output = copied ? ["--output", "b.gguf"] : []
        let outcome = try tool.run(
            ["edit", "a.gguf", "--rename", "^blk=>layers", "--drop", "*.a"] + output)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let after = try tensors(copied ? "b.gguf" : "a.gguf")
        #expect(after == ["layers.0.b": before["blk.0.b"] ?? [], "out": before["out"] ?? []])
        if copied { #expect(try tensors("a.gguf") == before) }
    }

    /// A value keeps its kind and its range; what is no kind is no part of a name.
    @Test(arguments: [
        "toy.base=1e50", "toy.base=1e-60", "toy.base=x", "toy.context_length=-1", "toy.context_length=4294967296",
        "new:unit32=5", "toy.context_length:string=abc", "toy.words=c", "new:array=1", "general.alignment=64",
        "general.alignment:uint32=64", "new:float64=1e999", "new:bool=1",
    ]) func refusesWrongValues(entry: String) throws {
        try write("a.gguf")
        let before = try contents(folder.file("a.gguf"))
        let outcome = try tool.run("edit", "a.gguf", "--json", "--metadata", entry)
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "edit.bad_value")
        let isKept = try contents(folder.file("a.gguf")) == before
        #expect(isKept)
    }

    @Test func takesTheValuesOfAKind() throws {
        try write("a.gguf")
        let entries = [
            "toy.base=inf", "zero:float32=0e9", "least:float32=1e-45", "toy.context_length:uint32=7", "a:b:string=c",
        ]
        let outcome = try tool.run(["edit", "a.gguf"] + entries.flatMap { ["--metadata", $0] })
        #expect(outcome.status == 0, "\(outcome.errors)")
        let metadata = try reader("a.gguf").typedMetadata
        #expect(metadata["toy.base"] == .float32(.infinity))
        #expect(metadata["zero"] == .float32(0))
        #expect(metadata["least"] == .float32(.leastNonzeroMagnitude))
        #expect(metadata["toy.context_length"] == .uint32(7))
        #expect(metadata["a:b"] == .string("c"))
    }

    /// Data of another alignment keep it.
    @Test func keepsTheAlignment() throws {
        let bytes = try contents(Fixtures.path("conformance/good/gguf/alignment_64.gguf"))
        _ = try folder.write(bytes, to: "a.gguf")
        let before = try tensors("a.gguf")
        #expect(try tool.run("edit", "a.gguf", "--metadata", "note=x").status == 0)
        let reader = try reader("a.gguf")
        let alignment = try #require(reader.typedMetadata["general.alignment"]?.integer)
        #expect(alignment != 32)
        for index in reader.descriptors.indices {
            #expect(reader.location(of: index).range.lowerBound % alignment == 0)
        }
        #expect(try tensors("a.gguf") == before)
        let removed = try tool.run("edit", "a.gguf", "--remove", "general.alignment", "--json")
        #expect(try removed.error()["code"].string == "edit.bad_value")
    }

    @Test(arguments: [
        ["--drop", "blk.*"], ["--rename", "blk=>x"], ["--metadata", "split.no=0"], ["--remove", "split.count"],
        ["--drop", "blk.*", "--output", "m-00002-of-00003.gguf", "--force"],
    ]) func thePartsOfASplitStayWhatTheyAre(arguments: [String]) throws {
        let name = "m-00002-of-00003.gguf"
        try write(
            name, [("split.no", .uint16(1)), ("split.count", .uint16(3)), ("split.tensors.count", .int32(9))])
        let before = try contents(folder.file(name))
        let outcome = try tool.run(["edit", name, "--json"] + arguments)
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "edit.shard")
        #expect(try outcome.error()["hint"].string?.contains("m-00001-of-00003.gguf") == true)
        let isKept = try contents(folder.file(name)) == before
        #expect(isKept)
        #expect(try tool.run("edit", name, "--metadata", "note=x").status == 0)
    }

    @Test func noFileBecomesAPart() throws {
        try write("a.gguf")
        let outcome = try tool.run(
            "edit", "a.gguf", "--json", "--metadata", "split.count:uint16=3", "--metadata", "split.no:uint16=0")
        #expect(try outcome.error()["code"].string == "edit.shard")
    }
}
