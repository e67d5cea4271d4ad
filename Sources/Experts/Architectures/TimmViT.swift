import Checkpoints
import Networks
import TensorCore

extension Architecture {
    /// timm's `VisionTransformer`: class token or mean pooling, layer scale, distillation token, registers.
    ///
    /// The configuration is timm's (`model_args`, `pretrained_cfg`), one with Hugging Face's keys, or one of this tool.
    static let timmViT = Architecture(
        name: "timm's ViT",
        marks: ["blocks.0.attn.qkv.weight", "blocks.0.norm1.weight", "patch_embed.proj.weight", "pos_embed"],
        modelTypes: ["vit", "deit", "clip_vision_model"],
        // The layout has timm's names.
        rules: [
            .tensor("cls_token", "cls_token").optional, .tensor("dist_token", "dist_token").optional,
            .tensor("reg_token", "reg_token").optional, .tensor("pos_embed", "pos_embed"),
            .module("patch_embed.proj", "patch_embed.proj"), .module("norm_pre", "norm_pre").optional,
            .module("blocks.N.norm1", "blocks.N.norm1"), .module("blocks.N.attn.qkv", "blocks.N.attn.qkv"),
            .module("blocks.N.attn.proj", "blocks.N.attn.proj"),
            .tensor("blocks.N.ls1.gamma", "blocks.N.ls1.gamma").optional,
            .module("blocks.N.norm2", "blocks.N.norm2"), .module("blocks.N.mlp.fc1", "blocks.N.mlp.fc1"),
            .module("blocks.N.mlp.fc2", "blocks.N.mlp.fc2"),
            .tensor("blocks.N.ls2.gamma", "blocks.N.ls2.gamma").optional, .module("norm", "norm").optional,
            .module("fc_norm", "fc_norm").optional, .module("head", "head").optional,
        ],
        interior: [
            "blocks.", "patch_embed.", "pos_embed", "cls_token", "dist_token", "reg_token", "norm_pre.", "norm.",
            "fc_norm.", "rope.", "rel_pos",
        ],
        unsupported: [
            (".attn_pool.", "attention pooling"), (".gamma_1", "layer scale of BEiT"),
            (".attn.q_norm.", "normed queries"),
            (".attn.norm.", "normed attention"), (".attn.rel", "relative positions"),
            (".attn.q_bias", "biases of its own for q and v"),
        ],
        network: { files, tensors in
            try TimmArguments(of: files.main, tensors)?.check()
            return try Transformer(timmConfig(files.main, tensors))
        })

    private static func timmConfig(_ config: ConfigKeys, _ tensors: ModelTensors) throws -> TransformerConfig {
        let keys = config.with("model_args")
        let width = try keys.integer(
            "hidden_size", "num_features", "embed_dim", else: tensors.size("pos_embed", 2, rank: 3))
        let patch = try keys.integer("patch_size", else: tensors.size("patch_embed.proj.weight", 2, rank: 4))
        let channels = try keys.integer(
            "num_channels", "in_chans", else: tensors.size("patch_embed.proj.weight", 1, rank: 4))
        let pooling = try timmPooling(keys, tensors)
        var prefix: [PatchStem.Prefix] = []
        if pooling != .mean || tensors.has("cls_token") { prefix.append(.init("cls_token")) }
        if tensors.has("dist_token") { prefix.append(.init("dist_token")) }
        if let count = tensors.size("reg_token", 1, rank: 3) { prefix.append(.init("reg_token", count)) }

        let (positions, others) = (tensors.size("pos_embed", 1, rank: 3), prefix.reduce(0) { $0 + $1.count })
        let size = try timmImageSize(keys)
        // Whoever leaves it out may still say how many patches there are; models with registers mostly have it.
        let tells = size.flatMap { size in timmPatchCount(size, patch).map { $0 == positions } }
        let onPatchesAlone = try keys.flag("no_embed_class") ?? tells ?? tensors.has("reg_token")
        let side = ModelTensors.imageSide(
            patches: positions.map { $0 - (onPatchesAlone ? 0 : others) }, patch: patch)
        guard let (height, imageWidth) = size ?? side.map({ ($0, $0) }) else { throw keys.missing("image_size") }
        let variant = try TimmVariant(config)
        return TransformerConfig(
            stem: .patches(
                PatchStem(
                    image: ImageShape(channels: channels, height: height, width: imageWidth), patchSize: patch,
                    hasBias: tensors.has("patch_embed.proj.bias"), prefix: prefix,
                    positions: onPatchesAlone ? .patches : .allTokens)),
            hiddenSize: width,
            layerCount: try keys.layerCount("num_hidden_layers", "depth", of: "blocks.N.norm1.weight", in: tensors),
            headCount: try keys.integer("num_attention_heads", "num_heads", else: variant?.headCount(width: width)),
            mlpSize: try keys.mlpSize(width: width, else: tensors.size("blocks.0.mlp.fc1.weight", 0, rank: 2)),
            layerNormEps: Float(
                try keys.number("layer_norm_eps") ?? (keys.value("norm_layer") == nil ? variant?.layerNormEps : nil)
                    ?? 1e-6),
            activation: try keys.activation("hidden_act", "act_layer", else: variant?.activation ?? .gelu),
            layerScale: tensors.has("blocks.0.ls1.gamma"),
            qkvBias: try keys.flag("qkv_bias") ?? tensors.has("blocks.0.attn.qkv.bias"),
            preNorm: tensors.has("norm_pre.weight"), pooling: pooling,
            finalNorm: tensors.has("fc_norm.weight") ? .afterPooling : .beforePooling,
            projectionSize: try keys.integer("projection_dim"))
    }

    private static func timmPatchCount(_ size: (Int, Int), _ patch: Int) -> Int? {
        guard patch > 0 else { return nil }
        let (product, overflow) = (size.0 / patch).multipliedReportingOverflow(by: size.1 / patch)
        return overflow ? nil : product
    }

    private static func timmPooling(_ keys: ConfigKeys, _ tensors: ModelTensors) throws(InputError) -> Pooling {
        let (own, timm) = (try keys.pooling("pooling"), try keys.pooling("global_pool"))
        let pooling = own ?? timm ?? .cls
        guard tensors.has("dist_token") else { return pooling }
        guard pooling == .cls else {
            throw InputError(
                .badConfig,
                "a model with a distillation token takes the mean of it and the class token, and pooling is \"mean\"",
                file: keys.file, tensor: tensors.name("dist_token"))
        }
        return .distilled
    }

    /// The size of images; timm's `input_size` is `[C, H, W]`.
    private static func timmImageSize(_ keys: ConfigKeys) throws(InputError) -> (Int, Int)? {
        let (own, timm) = (try keys.size("image_size"), try keys.size("img_size"))
        if let size = own ?? timm { return (size.height, size.width) }
        guard let size = keys["pretrained_cfg"]?.value("input_size")?.array.map({ $0.map(\.int) }), size.count == 3,
            let height = size[1], let width = size[2]
        else { return nil }
        return (height, width)
    }
}
