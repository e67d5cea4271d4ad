import Checkpoints
import SystemPackage
import TensorCore
import Testing
import TestSupport

/// Networks of `Fixtures/networks` through the commands.
@Suite struct NetworkToolTests {
    private func bytes(_ integers: [Int]) -> [UInt8] {
        integers.flatMap { withUnsafeBytes(of: Int64($0).littleEndian, Array.init) }
    }

    private func values(_ path: FilePath, _ name: TensorName) throws -> [Float] {
        guard let bytes = try TensorStore(opening: path).bytes(of: name) else { throw MissingFixture(name: name.text) }
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    /// The texts of a network with the class that the library's own logits choose for each.
    private func labelledTexts(_ name: String, _ tool: Tool) throws {
        let logits = try values(Fixtures.path("networks/\(name)/outputs.safetensors"), "logits.expert.linear")
        let labels = (0..<10).map { row in (0..<5).max { logits[row * 5 + $0] < logits[row * 5 + $1] } ?? 0 }
        let inputs = try TensorStore(opening: Fixtures.path("networks/\(name)/inputs.npz"))
        let tensors = try inputs.descriptors.enumerated().map { place, descriptor in
            StoredTensor(
                descriptor.name.text, descriptor.dtype.rawValue, descriptor.shape.dims,
                bytes: try inputs.reader.bytes(of: place).withUnsafeBytes(Array.init))
        }
        try tool.write("texts.safetensors", tensors + [StoredTensor("labels", "I64", [10], bytes: bytes(labels))])
    }

    @Test(arguments: ["bert-mean", "xlm-roberta-cls", "distilbert-mean"]) func textsAreEvaluated(name: String) throws {
        let tool = try Tool()
        try labelledTexts(name, tool)
        let network = "Fixtures/networks/\(name)"
        let outcome = try tool.run(
            "evaluate", "\(network)/expert.safetensors", "--head", "t=\(network)/head_linear.safetensors", "--data",
            "t=texts.safetensors", "--json", "--quiet")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try outcome.json()["mean_accuracy"].double == 1)
    }

    /// Losses within 5e-5 of those of PyTorch in float64, and a file like the expert's.
    @Test(arguments: ["openclip-full", "hf-clip-full", "timm-vit-registers", "roberta-mean-prefixed"])
    func expertsAreResolved(name: String) throws {
        let tool = try Tool()
        let network = "Fixtures/networks/\(name)"
        let outcome = try tool.run([
            "resolve", "--base", "\(network)/base.safetensors", "--expert", "linear=\(network)/expert.safetensors",
            "--expert", "zeroshot=\(network)/base.safetensors", "--head", "linear=\(network)/head_linear.safetensors",
            "--head", "zeroshot=\(network)/head_zeroshot.safetensors", "--auxiliary", "\(network)/inputs.npz",
            "--steps", "5",
            "--batch-size", "4", "--learning-rate", "1e-3", "--weight-decay", "1e-4", "--only-expert", "linear",
            "--output",
            "out", "--trace", "trace.csv", "--quiet",
        ])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let written = try TensorStore(opening: tool.folder.file("out/linear.safetensors"))
        let expert = try TensorStore(opening: Fixtures.path("networks/\(name)/expert.safetensors"))
        #expect(written.descriptors == expert.descriptors)
        let file = try MappedFile(Fixtures.path("networks/\(name)/expected.json"))
        let expected = try file.withUnsafeBytes { try JSONDocument.parse(Array($0)) }
        let losses = expected["runs"]?["linear"]?["loss_float64"]?.array?.compactMap(\.double) ?? []
        let trace = String(decoding: try tool.data("trace.csv"), as: UTF8.self).split(separator: "\n")
        let columns = trace[0].split(separator: ",")
        let place = try #require(columns.firstIndex(of: "loss"))
        let found = trace.dropFirst().compactMap { Double($0.split(separator: ",")[place]) }
        #expect(found.count == 5 && losses.count == 5)
        for (own, theirs) in zip(found, losses) { #expect(abs(own - theirs) <= 5e-5 * theirs) }
    }

    @Test(
        arguments: [
            ("attention_mask", [1, 1, 0, 0], "is 0 in all of text 1"),
            ("input_ids", [1, 2, 3, 60], "has the value 60 in text 1 at token 1"),
            ("token_type_ids", [0, 0, 0, 2], "has the value 2 in text 1 at token 1"),
        ]) func hostileTexts(tensor: String, numbers: [Int], message: String) throws
    {
        let tool = try Tool()
        let ids = StoredTensor("input_ids", "I64", [2, 2], bytes: bytes([1, 2, 3, 4]))
        let bad = StoredTensor(tensor, "I64", [2, 2], bytes: bytes(numbers))
        try tool.write("bad.safetensors", tensor == "input_ids" ? [bad] : [ids, bad])
        let network = "Fixtures/networks/bert-mean"
        let shared = [
            "--base", "\(network)/base.safetensors", "--expert", "t=\(network)/expert.safetensors", "--head",
            "t=\(network)/head_linear.safetensors", "--json", "--quiet",
        ]
        for arguments in [
            ["resolve", "--auxiliary", "bad.safetensors", "--output", "out"],
            ["interference", "--merged", "\(network)/base.safetensors", "--data", "t=bad.safetensors"],
        ] {
            let outcome = try tool.run(arguments + shared)
            #expect(outcome.status == 3 && outcome.output == "")
            let error = try outcome.error()
            #expect(error["code"].string == "input.bad_value" && error["message"].string?.contains(message) == true)
            #expect(error["file"].string == "bad.safetensors" && error["tensor"].string == tensor)
        }
    }

    @Test func noiseIsNoText() throws {
        let network = "Fixtures/networks/bert-mean"
        let outcome = try Tool().run(
            "resolve", "--auxiliary", "noise", "--base", "\(network)/base.safetensors", "--expert",
            "t=\(network)/expert.safetensors", "--head", "t=\(network)/head_linear.safetensors", "--output", "out",
            "--json",
            "--quiet")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "input.missing_data")
    }

    /// Estimates look at the tensors of the network, by the file's names.
    @Test func interferenceOfACLIPBesideItsTextTower() throws {
        let network = "Fixtures/networks/openclip-full"
        let outcome = try Tool().run(
            "interference", "--base", "\(network)/base.safetensors", "--expert", "a=\(network)/expert.safetensors",
            "--expert",
            "b=\(network)/adapted.safetensors", "--head", "a=\(network)/head_linear.safetensors", "--head",
            "b=\(network)/head_zeroshot.safetensors", "--data", "a=\(network)/inputs.npz", "--data",
            "b=\(network)/inputs.npz",
            "--method", "average", "--estimates", "--json", "--quiet")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let document = try outcome.json()
        #expect(document["tasks"].items.count == 2)
        #expect((document["total"].double ?? 0) > 0)
        #expect(document["estimates"]["pairs"].items.count == 1)
    }
}
