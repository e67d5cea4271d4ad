import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport

/// The toy models of `Fixtures/recipes/models.tsv`, made here as `make_references.py` makes them.
enum RecipeToyModels {
    /// A folder of models as `--models-dir` takes it, made once.
    static let folder: TemporaryFolder? = try? makeFolder()

    static func lines(of name: String) throws -> [[String]] {
        let text = try MappedFile(Fixtures.path("recipes/\(name)")).withUnsafeBytes {
            String(decoding: $0, as: UTF8.self)
        }
        return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
    }

    private static func makeFolder() throws -> TemporaryFolder {
        let folder = TemporaryFolder()
        for line in try lines(of: "models.tsv") {
            let model = line[0]
            let organisation = FilePath(model).removingLastComponent().string
            if !fileExists(folder.file(organisation)) { try folder.makeFolder(organisation) }
            try folder.makeFolder(model)
            try folder.checkpoint("\(model)/model.safetensors", tensors(of: model, layerCount: Int(line[1]) ?? 0))
            let tokens = (0..<8).map { #""w\#($0)": \#($0)"# }.joined(separator: ", ")
            try folder.write(#"{"model": {"vocab": {\#(tokens)}}, "added_tokens": []}"#, to: "\(model)/tokenizer.json")
        }
        return folder
    }

    static func tensors(of model: String, layerCount: Int) -> [TestTensor] {
        let (width, inner, tokens) = (4, 6, 8)
        var shapes: [(String, [Int])] = [
            ("lm_head.weight", [tokens, width]), ("model.embed_tokens.weight", [tokens, width]),
        ]
        for layer in 0..<layerCount {
            let matrices: [(String, [Int])] = [
                ("input_layernorm", [width]), ("mlp.down_proj", [width, inner]), ("mlp.gate_proj", [inner, width]),
                ("mlp.up_proj", [inner, width]), ("post_attention_layernorm", [width]),
                ("self_attn.k_proj", [width / 2, width]), ("self_attn.o_proj", [width, width]),
                ("self_attn.q_proj", [width, width]), ("self_attn.v_proj", [width / 2, width]),
            ]
            shapes += matrices.map { ("model.layers.\(layer).\($0.0).weight", $0.1) }
        }
        shapes.append(("model.norm.weight", [width]))
        return shapes.map { name, shape in
            let (common, own) = (hash(name), hash("\(model)/\(name)"))
            let values = (0..<UInt64(shape.reduce(1, *))).map { index in
                let base = Double(Int(mix(common, index) >> 54) - 512) * 0x1p-14
                return Float(base + Double(Int(mix(own, index) >> 41) - (1 << 22)) * 0x1p-28)
            }
            return TestTensor(TensorName(name), shape, values)
        }
    }

    /// FNV-1a.
    private static func hash(_ text: String) -> UInt64 {
        text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    /// SplitMix64.
    private static func mix(_ seed: UInt64, _ index: UInt64) -> UInt64 {
        var z = seed &+ (index &+ 1) &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
