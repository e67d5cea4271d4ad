import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// What a folder with several sets of weights stands for.
@Suite struct WeightSetTests {
    private let folder = TemporaryFolder()

    /// A file with one U8 tensor.
    private func add(_ name: String, tensor: String = "a") throws {
        let header = #"{"\#(tensor)":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
        _ = try folder.write(safetensorsFile(header, data: [7]), to: name)
    }

    private func addIndex(_ name: String, _ parts: (String, String)...) throws {
        let map = parts.map { "\"\($0)\":\"\($1)\"" }.joined(separator: ",")
        _ = try folder.write(Array(#"{"weight_map":{\#(map)}}"#.utf8), to: name)
    }

    private func taken() throws -> (name: String?, warnings: [String]) {
        let reader = try CheckpointFormat.open(folder.path)
        return (reader.path.lastComponent?.string, reader.warnings.map(\.text))
    }

    @Test(arguments: [
        "model.fp16-0000%-of-00002.safetensors", "model-0000%-of-00002.fp16.safetensors", "other_%.safetensors",
    ])
    func readsTheIndexOfAVariant(_ pattern: String) throws {
        let parts = ["1", "2"].map { number in pattern.split(separator: "%").joined(separator: number) }
        try add(parts[0], tensor: "a")
        try add(parts[1], tensor: "b")
        try addIndex("model.safetensors.index.fp16.json", ("a", parts[0]), ("b", parts[1]))
        let named = try CheckpointFormat.open(folder.file("model.safetensors.index.fp16.json"))
        #expect(named.descriptors.map(\.name.text) == ["a", "b"])
        // Parts by other names are files of their own, of which there are two.
        guard !pattern.hasPrefix("other") else { return }
        #expect(try taken() == ("model.safetensors.index.fp16.json", []))
    }

    @Test func theSetWithoutAVariantIsTaken() throws {
        for name in ["model.bf16.safetensors", "model.fp16.safetensors", "model.safetensors"] { try add(name) }
        let found = try taken()
        #expect(found.name == "model.safetensors")
        #expect(
            found.warnings == [
                "the folder \(folder.path) holds model.safetensors and model.bf16.safetensors, model.fp16.safetensors; "
                    + "model.safetensors is taken, as in transformers: name another file to work on it"
            ])
        unlink(folder.file("model.safetensors").string)
        try add("diffusion_pytorch_model.safetensors")
        unlink(folder.file("model.bf16.safetensors").string)
        unlink(folder.file("model.fp16.safetensors").string)
        try add("diffusion_pytorch_model.fp16.safetensors")
        #expect(try taken().name == "diffusion_pytorch_model.safetensors")
        #expect(try CheckpointFormat.open(folder.file("diffusion_pytorch_model.fp16.safetensors")).warnings.isEmpty)
    }

    /// A stray file beside an index, as a merge of an older version leaves it.
    @Test func aFileGoesBeforeTheIndexOfItsName() throws {
        try add("model-00001-of-00001.safetensors")
        try addIndex("model.safetensors.index.json", ("a", "model-00001-of-00001.safetensors"))
        #expect(try taken() == ("model.safetensors.index.json", []))
        try add("model.safetensors")
        let found = try taken()
        #expect(found.name == "model.safetensors")
        #expect(found.warnings.count == 1)
        #expect(found.warnings[0].contains("holds model.safetensors and model.safetensors.index.json;"))
    }

    @Test func severalSetsAreListedInATable() throws {
        try add("model.fp16.safetensors")
        try add("model.bf16-00001-of-00002.safetensors")
        try addIndex(
            "model.safetensors.index.bf16.json", ("a", "model.bf16-00001-of-00002.safetensors"),
            ("b", "model.bf16-00002-of-00002.safetensors"))
        let error = try #require(throws: FormatError.self) { try CheckpointFormat.open(folder.path) }
        #expect(error.category == .unknownFormat)
        #expect(error.message.hasSuffix("2 checkpoints (model.safetensors.index.bf16.json, model.fp16.safetensors)"))
        #expect(error.details?.columns == ["name", "format", "files", "tensors", "bytes"])
        // 8 bytes of length, 53 of header, 1 of data.
        #expect(
            error.details?.rows == [
                ["model.safetensors.index.bf16.json", "safetensors", "2 (1 missing)", "2", "62"],
                ["model.fp16.safetensors", "safetensors", "1", "1", "62"],
            ])
    }

    /// The weights of Mistral's own library beside those of transformers, and PyTorch's files beside either.
    @Test func consolidatedWeightsStandBesideShards() throws {
        try add("model-00001-of-00001.safetensors")
        try addIndex("model.safetensors.index.json", ("a", "model-00001-of-00001.safetensors"))
        try add("consolidated.safetensors")
        _ = try folder.write([0], to: "pytorch_model.bin")
        let found = try taken()
        #expect(found.name == "model.safetensors.index.json")
        #expect(found.warnings.count == 1 && found.warnings[0].contains("and consolidated.safetensors; "))
        #expect(try CheckpointFormat.open(folder.file("consolidated.safetensors")).warnings.isEmpty)
    }

    /// PyTorch files stand for a folder when it holds nothing else, and never the state of the training.
    @Test func pyTorchFilesComeLast() throws {
        let torch = try Fixtures.path("conformance/good/torch/hand_minimal.pt").contents()
        for name in ["training_args.bin", "optimizer.pt", "rng_state_0.pth"] { _ = try folder.write([0], to: name) }
        _ = try folder.write(torch, to: "pytorch_model-00001-of-00001.bin")
        try addIndex("pytorch_model.bin.index.json", ("w", "pytorch_model-00001-of-00001.bin"))
        let sharded = try CheckpointFormat.open(folder.path)
        #expect(sharded.path.lastComponent == "pytorch_model.bin.index.json")
        #expect(sharded.format == .torch)
        #expect(
            try NpyTensorSummary.all(sharded)
                == NpyTensorSummary.all(TorchReader(opening: folder.file("pytorch_model-00001-of-00001.bin"))))
        #expect(try sharded.verify().damage.isEmpty)
        _ = try folder.write(torch, to: "pytorch_model.bin")
        #expect(try CheckpointFormat.open(folder.path).path.lastComponent == "pytorch_model.bin")
        _ = try folder.write(Fixtures.path("suites/tiny/aux_mixed.npz").contents(), to: "other.npz")
        #expect(try CheckpointFormat.open(folder.path).path.lastComponent == "other.npz")
    }

    @Test func aShardOfPyTorchMustHoldWhatTheIndexSays() throws {
        _ = try folder.write(
            Fixtures.path("conformance/good/torch/hand_minimal.pt").contents(), to: "m-00001-of-00001.bin")
        try addIndex("m.bin.index.json", ("v", "m-00001-of-00001.bin"))
        let error = try #require(throws: FormatError.self) { try CheckpointFormat.open(folder.path) }
        #expect(error.category == .indexMismatch)
        try addIndex("m.bin.index.json", ("w", "m-00002-of-00002.bin"))
        #expect(throws: FormatError.self) { try CheckpointFormat.open(folder.path) }
    }
}
