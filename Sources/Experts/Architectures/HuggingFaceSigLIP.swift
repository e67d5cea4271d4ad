import Checkpoints
import Networks
import TensorCore

extension Architecture {
    /// The image tower of transformers' SigLIP, alone or beside the text tower, which stays as it is: attention pooling, or the mean of the
    /// patches where the checkpoint lacks the pooling head. `SiglipForImageClassification` reads that mean; checkpoints of transformers 5
    /// have the head all the same, which takes part in nothing there, and are refused.
    static let huggingFaceSigLIP = Architecture(
        name: "Hugging Face's SigLIP",
        marks: [
            "embeddings.patch_embedding.bias", "encoder.layers.0.self_attn.q_proj.weight",
            "embeddings.patch_embedding.weight",
        ],
        modelTypes: ["siglip", "siglip_vision_model"],
        rules: [
            .tensor("pos_embed", "embeddings.position_embedding.weight", .rank(2)),
            .module("patch_embed.proj", "embeddings.patch_embedding"),
        ] + huggingFaceCLIPBlocks + huggingFaceSigLIPHead,
        interior: ["embeddings.", "encoder.", "post_layernorm.", "head."], idle: ["embeddings.position_ids"],
        normalization: .half,
        network: { files, tensors in
            let keys = files.main.visionTower(patchSize: 16)
            let stem = try PatchStem.huggingFace(
                keys, tensors, patches: "embeddings.patch_embedding",
                positions: "embeddings.position_embedding.weight", prefix: [])
            var config = try huggingFaceCLIPConfig(keys, tensors, stem)
            config.layerNormEps = Float(try keys.number("layer_norm_eps") ?? 1e-6)
            config.activation = try keys.activation("hidden_act", else: .geluTanh)
            // A head that the configuration says is not there is a tensor too many.
            let hasHead = try keys.flag("vision_use_head") != false && tensors.has("head.probe")
            if hasHead { try files.main.requireNoClassifier("SiglipForImageClassification") }
            config.pooling = hasHead ? .attention : .mean
            return try Transformer(config)
        })

    private static let huggingFaceSigLIPHead: [BindingRule] = [
        .module("norm", "post_layernorm"), .tensor("attn_pool.latent", "head.probe").optional,
        .tensor("attn_pool.qkv.weight", "head.attention.in_proj_weight").optional,
        .tensor("attn_pool.qkv.bias", "head.attention.in_proj_bias").optional,
        .module("attn_pool.proj", "head.attention.out_proj").optional,
        .module("attn_pool.norm", "head.layernorm").optional,
        .module("attn_pool.mlp.fc1", "head.mlp.fc1").optional, .module("attn_pool.mlp.fc2", "head.mlp.fc2").optional,
    ]
}
