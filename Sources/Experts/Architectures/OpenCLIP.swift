import Checkpoints
import Networks
import TensorCore

extension Architecture {
    /// The image tower of OpenAI's and OpenCLIP's CLIP, alone or beside the text tower, which stays as it is.
    static let openCLIP = Architecture(
        name: "OpenAI's and OpenCLIP's CLIP",
        marks: ["class_embedding", "transformer.resblocks.0.attn.in_proj_weight", "conv1.weight"],
        modelTypes: [], configurations: ["open_clip_config.json", "config.json"],
        missingConfigurationHint:
            "put the model's open_clip_config.json beside it, or give --config FILE; for OpenAI's weights "
            + "a file with {\"model_cfg\": {\"quick_gelu\": true}} says what their tensors do not",
        rules: [
            .tensor("cls_token", "class_embedding", .rank(1)), .tensor("pos_embed", "positional_embedding", .rank(2)),
            .module("patch_embed.proj", "conv1"), .module("norm_pre", "ln_pre"),
            .module("blocks.N.norm1", "transformer.resblocks.N.ln_1"),
            .tensor("blocks.N.attn.qkv.weight", "transformer.resblocks.N.attn.in_proj_weight"),
            .tensor("blocks.N.attn.qkv.bias", "transformer.resblocks.N.attn.in_proj_bias"),
            .module("blocks.N.attn.proj", "transformer.resblocks.N.attn.out_proj"),
            .tensor("blocks.N.ls1.gamma", "transformer.resblocks.N.ls_1.gamma").optional,
            .module("blocks.N.norm2", "transformer.resblocks.N.ln_2"),
            .module("blocks.N.mlp.fc1", "transformer.resblocks.N.mlp.c_fc"),
            .module("blocks.N.mlp.fc2", "transformer.resblocks.N.mlp.c_proj"),
            .tensor("blocks.N.ls2.gamma", "transformer.resblocks.N.ls_2.gamma").optional, .module("norm", "ln_post"),
            .tensor("head.weight", "proj", .transposed).optional,
        ],
        interior: [
            "transformer.", "conv1.", "class_embedding", "positional_embedding", "ln_pre.", "ln_post.", "proj",
        ],
        unsupported: [(".attn_pool.", "attention pooling")], normalization: .clip,
        network: { files, tensors in
            let model = files.main["model_cfg"] ?? files.main
            let keys = model["vision_cfg"] ?? model
            let width = try keys.integer("width", else: tensors.size("class_embedding", 0, rank: 1))
            let headWidth = try keys.integer("head_width", else: 64)
            guard headWidth > 0, width % headWidth == 0 else {
                throw InputError(
                    .badConfig, "width \(width) is not a multiple of head_width \(headWidth)", file: keys.file,
                    tensor: tensors.name("class_embedding"))
            }
            let stem = try PatchStem.huggingFace(
                keys, tensors, patches: "conv1", positions: "positional_embedding",
                prefix: [PatchStem.Prefix("cls_token")])
            try keys.requireClassToken()
            var config = TransformerConfig(
                stem: .patches(stem), hiddenSize: width,
                layerCount: try keys.layerCount("layers", of: "transformer.resblocks.N.ln_1.weight", in: tensors),
                headCount: width / headWidth,
                mlpSize: try keys.mlpSize(
                    width: width, else: tensors.size("transformer.resblocks.0.mlp.c_fc.weight", 0, rank: 2)),
                layerNormEps: Float(try keys["norm_kwargs"]?.number("eps") ?? 1e-5),
                activation: try model.flag("quick_gelu") == true ? .quickGELU : .gelu,
                layerScale: tensors.has("transformer.resblocks.0.ls_1.gamma"), preNorm: true)
            if let size = tensors.size("proj", 1, rank: 2) {
                config.projectionSize = try model.integer("embed_dim", else: size)
            }
            return try Transformer(config)
        })
}

extension ConfigKeys {
    /// Makes sure that a vision tower of OpenCLIP is of the form that CLIP has.
    ///
    /// - Throws: `input.bad_config` for another pooling, a norm behind it, or an activation with parameters.
    fileprivate func requireClassToken() throws(InputError) {
        let pooling = try text("pool_type") ?? "tok"
        let others = [
            ("pool_type", pooling != "tok"), ("final_ln_after_pool", try flag("final_ln_after_pool") == true),
            ("attentional_pool", try flag("attentional_pool") == true),
            ("act_kwargs", value("act_kwargs")?.object?.first { _ in true } != nil),
        ]
        guard let other = others.first(where: { $0.1 }) else { return }
        throw InputError(
            .badConfig, "\(other.0) of \(file.string) makes another feature than CLIP's class token behind a norm",
            file: file,
            hint: Architecture.anyModelHint)
    }
}
