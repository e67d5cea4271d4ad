import Checkpoints
import Networks
import TensorCore

extension Architecture {
    /// `Dinov2Model` and `Dinov2WithRegistersModel` of transformers; the token of masked patches takes part in nothing.
    static let huggingFaceDINOv2 = Architecture(
        name: "Hugging Face's DINOv2",
        marks: [
            "encoder.layer.0.layer_scale1.lambda1", "encoder.layer.0.attention.attention.query.weight",
            "embeddings.patch_embeddings.projection.weight",
        ],
        modelTypes: ["dinov2", "dinov2_with_registers"],
        rules: [
            .tensor("cls_token", "embeddings.cls_token"),
            .tensor("reg_token", "embeddings.register_tokens").optional,
            .tensor("pos_embed", "embeddings.position_embeddings"),
            .module("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            .module("blocks.N.norm1", "encoder.layer.N.norm1"),
            .module(
                "blocks.N.attn.qkv", "encoder.layer.N.attention.attention.query",
                "encoder.layer.N.attention.attention.key", "encoder.layer.N.attention.attention.value"),
            .module("blocks.N.attn.proj", "encoder.layer.N.attention.output.dense"),
            .tensor("blocks.N.ls1.gamma", "encoder.layer.N.layer_scale1.lambda1"),
            .module("blocks.N.norm2", "encoder.layer.N.norm2"), .module("blocks.N.mlp.fc1", "encoder.layer.N.mlp.fc1"),
            .module("blocks.N.mlp.fc2", "encoder.layer.N.mlp.fc2"),
            .tensor("blocks.N.ls2.gamma", "encoder.layer.N.layer_scale2.lambda1"), .module("norm", "layernorm"),
        ],
        interior: ["embeddings.", "encoder.", "layernorm."], idle: ["embeddings.mask_token"],
        spellings: [.written, .inMemory],
        unsupported: [(".mlp.weights_in.", "SwiGLU MLPs")], normalization: .imageNet,
        network: { files, tensors in
            let keys = files.main
            guard try keys.flag("use_swiglu_ffn") != true else {
                throw InputError(
                    .badConfig, "use_swiglu_ffn is true, and SwiGLU MLPs are not computed", file: keys.file,
                    hint: Architecture.anyModelHint)
            }
            let width = try keys.integer("hidden_size", else: tensors.size("layernorm.weight", 0, rank: 1))
            let registers = tensors.size("embeddings.register_tokens", 1, rank: 3)
            let stem = try PatchStem.huggingFace(
                keys, tensors, patches: "embeddings.patch_embeddings.projection",
                positions: "embeddings.position_embeddings",
                prefix: [PatchStem.Prefix("cls_token")] + (registers.map { [PatchStem.Prefix("reg_token", $0)] } ?? []),
                positions: registers == nil ? .allTokens : .classAndPatches)
            return try Transformer(
                TransformerConfig(
                    stem: .patches(stem), hiddenSize: width,
                    layerCount: try keys.layerCount(
                        "num_hidden_layers", of: "encoder.layer.N.norm1.weight", in: tensors),
                    headCount: try keys.integer("num_attention_heads", else: nil),
                    mlpSize: try keys.mlpSize(
                        width: width, else: tensors.size("encoder.layer.0.mlp.fc1.weight", 0, rank: 2)),
                    layerNormEps: Float(try keys.number("layer_norm_eps") ?? 1e-6),
                    activation: try keys.activation("hidden_act"), layerScale: true,
                    qkvBias: try keys.flag("qkv_bias")
                        ?? tensors.has("encoder.layer.0.attention.attention.query.bias"),
                    pooling: try keys.pooling("pooling") ?? .cls))
        })
}

extension Spelling {
    /// transformers 5 in memory.
    fileprivate static let inMemory = Spelling([
        "attention.attention.query": "attention.q_proj", "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj", "attention.output.dense": "attention.o_proj",
    ])
}
