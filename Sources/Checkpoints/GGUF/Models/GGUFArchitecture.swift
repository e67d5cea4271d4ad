import TensorCore

/// An architecture of llama.cpp whose tensors are those of a class of transformers under other names.
///
/// Source: `gguf-py/gguf/tensor_mapping.py` and `conversion/` of llama.cpp.
public struct GGUFArchitecture: Sendable, Hashable {
    /// The value of `general.architecture`.
    public let name: String
    /// The classes in the `architectures` of a `config.json`.
    let classes: [String]
    /// Whether the rows of queries and keys lie in another order, as llama.cpp turns neighbouring pairs.
    let isPermuted: Bool
    /// Whether queries and keys are normalised.
    let hasHeadNorms: Bool

    static let all = [
        GGUFArchitecture(
            name: "llama", classes: ["LlamaForCausalLM", "MistralForCausalLM"], isPermuted: true, hasHeadNorms: false),
        GGUFArchitecture(name: "qwen2", classes: ["Qwen2ForCausalLM"], isPermuted: false, hasHeadNorms: false),
        GGUFArchitecture(name: "qwen3", classes: ["Qwen3ForCausalLM"], isPermuted: false, hasHeadNorms: true),
    ]

    /// The one table of names: in transformers and in GGUF, without `.weight` or `.bias`, `#` for the number of the layer.
    private static let names = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers.#.input_layernorm", "blk.#.attn_norm"),
        ("model.layers.#.self_attn.q_proj", "blk.#.attn_q"),
        ("model.layers.#.self_attn.k_proj", "blk.#.attn_k"),
        ("model.layers.#.self_attn.v_proj", "blk.#.attn_v"),
        ("model.layers.#.self_attn.o_proj", "blk.#.attn_output"),
        ("model.layers.#.post_attention_layernorm", "blk.#.ffn_norm"),
        ("model.layers.#.mlp.gate_proj", "blk.#.ffn_gate"),
        ("model.layers.#.mlp.up_proj", "blk.#.ffn_up"),
        ("model.layers.#.mlp.down_proj", "blk.#.ffn_down"),
    ]

    private static let headNormNames = [
        ("model.layers.#.self_attn.q_norm", "blk.#.attn_q_norm"),
        ("model.layers.#.self_attn.k_norm", "blk.#.attn_k_norm"),
    ]

    private static let toGGUF = Dictionary(uniqueKeysWithValues: names + headNormNames)
    private static let fromGGUF = Dictionary(uniqueKeysWithValues: (names + headNormNames).map { ($1, $0) })

    /// The name in GGUF of a tensor of transformers; nil when there is none.
    func ggufName(of name: TensorName) -> TensorName? { translate(name, by: Self.toGGUF) }

    /// The name in transformers of a tensor of GGUF; nil when there is none.
    func transformersName(of name: TensorName) -> TensorName? { translate(name, by: Self.fromGGUF) }

    /// The tensors that every layer has, and those outside of layers, under their names in GGUF; `#` stands for the number of the layer.
    var weights: [String] {
        (Self.names + (hasHeadNorms ? Self.headNormNames : [])).map { "\($1).weight" }
    }

    private func translate(_ name: TensorName, by table: [String: String]) -> TensorName? {
        guard let end = [".weight", ".bias"].first(where: name.text.hasSuffix) else { return nil }
        var parts = name.text.dropLast(end.count).split(separator: ".", omittingEmptySubsequences: false)
        let place = parts.firstIndex { !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } }
        let number = place.map { parts[$0] }
        if let place { parts[place] = "#" }
        let pattern = parts.joined(separator: ".")
        guard let other = table[pattern], hasHeadNorms || !Self.isHeadNorm(pattern) else { return nil }
        let translated = other.split(separator: ".").map { $0 == "#" ? number ?? $0 : $0 }
        return TensorName(translated.joined(separator: ".") + end)
    }

    private static func isHeadNorm(_ pattern: String) -> Bool {
        headNormNames.contains { $0 == pattern || $1 == pattern }
    }
}
