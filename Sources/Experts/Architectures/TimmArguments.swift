import Checkpoints
import TensorCore

/// Makes sure that `model_args` of a timm configuration, which timm hands to its `VisionTransformer`, ask for the network that is computed.
///
/// - Source: the arguments of `VisionTransformer` in timm 1.0.31.
struct TimmArguments {
    private let arguments: ConfigKeys
    private let tensors: ModelTensors

    /// Nil where there are none.
    init?(of config: ConfigKeys, _ tensors: ModelTensors) {
        guard let arguments = config["model_args"] else { return nil }
        (self.arguments, self.tensors) = (arguments, tensors)
    }

    /// Checks all of them.
    ///
    /// - Throws: `input.bad_config` that names the first that is not known, or asks for something else than the tensors are.
    func check() throws(InputError) {
        for name in arguments.names where !Self.read.contains(name) && !Self.harmless.contains(name) {
            // What is null is as the library has it.
            guard arguments.value(name) != nil, try !fits(name) else { continue }
            throw InputError(
                .badConfig,
                "\"\(name)\" in model_args of \(arguments.file.string) asks for another network than \(tensors.store.path.string) is, or "
                    + "for one that is not computed", file: arguments.file, hint: Architecture.anyModelHint)
        }
    }

    /// What the network is made from, where it is compared with the tensors.
    private static let read: Set<String> = [
        "hidden_size", "num_features", "embed_dim", "patch_size", "num_channels", "in_chans", "image_size", "img_size",
        "num_hidden_layers", "depth", "num_attention_heads", "num_heads", "intermediate_size", "mlp_ratio",
        "layer_norm_eps", "hidden_act", "act_layer", "qkv_bias", "pooling", "global_pool", "no_embed_class",
        "projection_dim",
    ]

    /// What only training, sizes of images or the classifier depend on.
    private static let harmless: Set<String> = [
        "num_classes", "dynamic_img_size", "dynamic_img_pad", "drop_rate", "pos_drop_rate", "patch_drop_rate",
        "proj_drop_rate", "attn_drop_rate", "drop_path_rate", "weight_init", "fix_init", "device", "dtype",
    ]

    /// Whether an argument asks for what the tensors are.
    private func fits(_ name: String) throws(InputError) -> Bool {
        switch name {
        case "class_token": try arguments.flag(name) == tensors.has("cls_token")
        case "reg_tokens": try arguments.integer(name) == tensors.size("reg_token", 1, rank: 3) ?? 0
        case "init_values": try arguments.number(name) != nil && tensors.has("blocks.0.ls1.gamma")
        case "pre_norm": try arguments.flag(name) == tensors.has("norm_pre.weight")
        case "fc_norm": try arguments.flag(name) == tensors.has("fc_norm.weight")
        case "final_norm", "proj_bias": try arguments.flag(name) == true
        case "qk_norm", "scale_attn_norm", "scale_mlp_norm", "pool_include_prefix": try arguments.flag(name) == false
        case "pos_embed": try arguments.text(name) == "learn"
        case "norm_layer": try arguments.text(name) == "layernorm"
        default: false
        }
    }
}
