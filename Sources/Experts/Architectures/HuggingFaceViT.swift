import Checkpoints
import Networks
import TensorCore

extension Architecture {
    /// `ViTModel` and `DeiTModel` of transformers, with or without pooler, alone or inside a classifier.
    static let huggingFaceViT = Architecture(
        name: "Hugging Face's ViT",
        marks: [
            "encoder.layer.0.attention.attention.query.weight", "encoder.layer.0.layernorm_before.weight",
            "embeddings.patch_embeddings.projection.weight",
        ],
        modelTypes: ["vit", "deit"],
        rules: [
            .tensor("cls_token", "embeddings.cls_token"),
            .tensor("dist_token", "embeddings.distillation_token").optional,
            .tensor("pos_embed", "embeddings.position_embeddings"),
            .module("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            .module("blocks.N.norm1", "encoder.layer.N.layernorm_before"),
            .module(
                "blocks.N.attn.qkv", "encoder.layer.N.attention.attention.query",
                "encoder.layer.N.attention.attention.key", "encoder.layer.N.attention.attention.value"),
            .module("blocks.N.attn.proj", "encoder.layer.N.attention.output.dense"),
            .module("blocks.N.norm2", "encoder.layer.N.layernorm_after"),
            .module("blocks.N.mlp.fc1", "encoder.layer.N.intermediate.dense"),
            .module("blocks.N.mlp.fc2", "encoder.layer.N.output.dense"), .module("norm", "layernorm"),
        ],
        interior: ["embeddings.", "encoder.", "layers.", "layernorm."], idle: ["embeddings.mask_token"],
        spellings: [.written, .inMemory], normalization: .half,
        network: { files, tensors in
            let keys = files.main
            let stem = try PatchStem.huggingFace(
                keys, tensors, patches: "embeddings.patch_embeddings.projection",
                positions: "embeddings.position_embeddings",
                prefix: [PatchStem.Prefix("cls_token")]
                    + (tensors.has("embeddings.distillation_token") ? [PatchStem.Prefix("dist_token")] : []))
            let width = try keys.integer("hidden_size", else: tensors.size("layernorm.weight", 0, rank: 1))
            return try Transformer(
                TransformerConfig(
                    stem: .patches(stem), hiddenSize: width,
                    layerCount: try keys.layerCount(
                        "num_hidden_layers", of: "encoder.layer.N.layernorm_before.weight", in: tensors),
                    headCount: try keys.integer("num_attention_heads", else: nil),
                    mlpSize: try keys.integer(
                        "intermediate_size", else: tensors.size("encoder.layer.0.intermediate.dense.weight", 0, rank: 2)
                    ),
                    layerNormEps: Float(try keys.number("layer_norm_eps") ?? 1e-12),
                    activation: try keys.activation("hidden_act"),
                    qkvBias: try keys.flag("qkv_bias")
                        ?? tensors.has("encoder.layer.0.attention.attention.query.bias"),
                    pooling: try keys.pooling("pooling") ?? .cls))
        })
}

extension Spelling {
    /// transformers 5 in memory.
    fileprivate static let inMemory = Spelling([
        "encoder.layer": "layers", "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj", "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj", "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
    ])
}

extension PatchStem {
    /// The patches of transformers' vision models: `image_size`, `patch_size` and `num_channels`, or what the tensors say.
    ///
    /// - Parameters:
    ///   - patches: the module that embeds them.
    ///   - positions: the position embedding, with or without a first dimension of 1.
    /// - Throws: `input.bad_config` when nothing says a size.
    static func huggingFace(
        _ keys: ConfigKeys, _ tensors: ModelTensors, patches: String, positions name: String, prefix: [Prefix],
        positions: Positions = .allTokens
    ) throws(InputError) -> PatchStem {
        let patch = try keys.integer("patch_size", else: tensors.size(patches + ".weight", 2, rank: 4))
        let rows = tensors.size(name, 1, rank: 3) ?? tensors.size(name, 0, rank: 2)
        let others = positions == .classAndPatches ? 1 : prefix.reduce(0) { $0 + $1.count }
        let side = ModelTensors.imageSide(patches: rows.map { $0 - others }, patch: patch)
        guard let size = try keys.size("image_size") ?? side.map({ (height: $0, width: $0) }) else {
            throw keys.missing("image_size")
        }
        return PatchStem(
            image: ImageShape(
                channels: try keys.integer("num_channels", else: tensors.size(patches + ".weight", 1, rank: 4)),
                height: size.height, width: size.width),
            patchSize: patch, hasBias: tensors.has(patches + ".bias"), prefix: prefix, positions: positions)
    }
}
