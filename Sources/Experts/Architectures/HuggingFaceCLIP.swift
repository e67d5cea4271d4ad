import Checkpoints
import Networks
import TensorCore

extension Architecture {
    /// The image tower of transformers' CLIP: alone, with projection, or inside a whole CLIP, whose text tower stays as it is.
    static let huggingFaceCLIP = Architecture(
        name: "Hugging Face's CLIP",
        marks: [
            "embeddings.class_embedding", "encoder.layers.0.self_attn.q_proj.weight",
            "embeddings.patch_embedding.weight",
        ],
        modelTypes: ["clip", "clip_vision_model"],
        rules: [
            .tensor("cls_token", "embeddings.class_embedding", .rank(1)),
            .tensor("pos_embed", "embeddings.position_embedding.weight", .rank(2)),
            .module("patch_embed.proj", "embeddings.patch_embedding"),
            // The library's spelling.
            .module("norm_pre", "pre_layrnorm"),
        ] + huggingFaceCLIPBlocks + [
            .module("norm", "post_layernorm"), .module("head", "../visual_projection").optional,
        ],
        interior: ["embeddings.", "encoder.", "pre_layrnorm.", "post_layernorm.", "../visual_projection."],
        idle: ["embeddings.position_ids"], normalization: .clip,
        network: { files, tensors in
            let keys = files.main.visionTower(patchSize: 32)
            // What it reads, the mean of the patches before the norm, is not computed.
            try files.main.requireNoClassifier("CLIPForImageClassification")
            let stem = try PatchStem.huggingFace(
                keys, tensors, patches: "embeddings.patch_embedding",
                positions: "embeddings.position_embedding.weight", prefix: [PatchStem.Prefix("cls_token")])
            var config = try huggingFaceCLIPConfig(keys, tensors, stem)
            config.layerNormEps = Float(try keys.number("layer_norm_eps") ?? 1e-5)
            config.activation = try keys.activation("hidden_act", else: .quickGELU)
            config.preNorm = true
            config.pooling = try files.main.pooling("pooling") ?? .cls
            if let size = tensors.size("../visual_projection.weight", 0, rank: 2) {
                // That of the whole counts before that of the tower, as in the library.
                config.projectionSize = try files.main.integer("projection_dim", else: size)
            }
            return try Transformer(config)
        })

    /// The blocks of CLIP and SigLIP.
    static let huggingFaceCLIPBlocks: [BindingRule] = [
        .module("blocks.N.norm1", "encoder.layers.N.layer_norm1"),
        .module(
            "blocks.N.attn.qkv", "encoder.layers.N.self_attn.q_proj", "encoder.layers.N.self_attn.k_proj",
            "encoder.layers.N.self_attn.v_proj"),
        .module("blocks.N.attn.proj", "encoder.layers.N.self_attn.out_proj"),
        .module("blocks.N.norm2", "encoder.layers.N.layer_norm2"),
        .module("blocks.N.mlp.fc1", "encoder.layers.N.mlp.fc1"),
        .module("blocks.N.mlp.fc2", "encoder.layers.N.mlp.fc2"),
    ]

    /// The sizes of CLIP's and SigLIP's image towers.
    static func huggingFaceCLIPConfig(
        _ keys: ConfigKeys, _ tensors: ModelTensors, _ stem: PatchStem
    ) throws(InputError) -> TransformerConfig {
        TransformerConfig(
            stem: .patches(stem),
            hiddenSize: try keys.integer("hidden_size", else: tensors.size("post_layernorm.weight", 0, rank: 1)),
            layerCount: try keys.layerCount(
                "num_hidden_layers", of: "encoder.layers.N.layer_norm1.weight", in: tensors),
            headCount: try keys.integer("num_attention_heads", else: nil),
            mlpSize: try keys.integer(
                "intermediate_size", else: tensors.size("encoder.layers.0.mlp.fc1.weight", 0, rank: 2)))
    }
}

extension ConfigKeys {
    /// The keys of an image tower: those of `vision_config`, in which older versions of transformers leave out what is as they have it
    /// themselves, or in a file of its own all there are.
    ///
    /// - Parameter patchSize: in which the defaults of CLIP and SigLIP differ.
    /// - Source: `CLIPVisionConfig` and `SiglipVisionConfig` of transformers 5.24.
    func visionTower(patchSize: Int) -> ConfigKeys {
        self["vision_config"]?.with(standard: [
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "num_channels": 3, "image_size": 224, "patch_size": patchSize,
        ]) ?? self
    }

    /// Makes sure that a model is no classifier that reads another feature than the rest of its family.
    ///
    /// - Throws: `input.bad_config` for one that `architectures` names.
    func requireNoClassifier(_ name: String) throws(InputError) {
        guard value("architectures")?.array?.contains(where: { $0.string == name }) == true else { return }
        throw InputError(
            .badConfig,
            "\(file.string) says \(name), whose classifier reads the mean of the patches and not the feature that is computed",
            file: file,
            hint:
                "docs/heads.md says whose classifiers are heads; a file without \"architectures\" stands for the tower alone"
        )
    }
}
