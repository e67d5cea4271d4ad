import Checkpoints
import Experts
import Kernels
import Networks
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// What timm's configurations and names say of a model beyond its tensors.
@Suite struct TimmConfigTests {
    private let folder = TemporaryFolder()

    private func backbone(_ name: String, _ json: String) throws -> Backbone {
        let base = Fixtures.path("networks/\(name)/base.safetensors")
        return try Backbone(of: TensorStore(opening: base), config: try folder.write(json, to: "timm.json"))
    }

    /// The activation of every SigLIP in `timm.list_models("vit_*siglip*")` of timm 1.0.31, read from the models that it makes.
    @Test func activationsOfSigLIP() throws {
        let tanh: Set<String> = [
            "base_patch32_256", "giantopt_patch16_256", "giantopt_patch16_384", "large_patch16_512",
            "so400m_patch16_256",
            "so400m_patch16_384", "so400m_patch16_512",
        ]
        let exact: Set<String> = [
            "base_patch16_224", "base_patch16_256", "base_patch16_384", "base_patch16_512", "large_patch16_256",
            "large_patch16_384", "so400m_patch14_224", "so400m_patch14_378", "so400m_patch14_384", "so400m_patch14_448",
            "so400m_patch14_896",
        ]
        for (sizes, activation) in [(tanh, Activation.geluTanh), (exact, .gelu)] {
            for size in sizes {
                let parts = size.split(separator: "_")
                for pooling in ["siglip", "siglip_gap"] {
                    let name = "vit_\(parts[0])_\(parts[1])_\(pooling)_\(parts[2])"
                    let json = #"{"architecture": "\#(name)", "num_heads": 4, "global_pool": "avg"}"#
                    #expect(try config(backbone("timm-vit-avg", json)).activation == activation, "\(name)")
                }
            }
        }
    }

    /// Models of timm with the tensors' names of a plain ViT and another forward pass, and other classes of models.
    @Test(arguments: [
        "vit_base_patch16_rpn_224", "vit_base_patch16_rope_reg1_gap_256", "vit_pe_spatial_base_patch16_512",
        "vit_base_patch16_dinov3", "vit_relpos_base_patch16_224", "vit_srelpos_small_patch16_224",
        "eva02_base_patch14_224",
        "hiera_base_224", "beit_base_patch16_224",
    ])
    func otherModelsOfTimm(name: String) throws {
        let json = #"{"architecture": "\#(name)", "num_heads": 4}"#
        let error = try #require(throws: InputError.self) { _ = try backbone("timm-vit-token", json) }
        #expect(error.code == "input.bad_config" && error.file == folder.file("timm.json").string)
        #expect(error.message.contains(name))
    }

    @Test(arguments: [
        ("timm-vit-token", #""class_token": false"#), ("timm-vit-token", #""reg_tokens": 4"#),
        ("timm-vit-token", #""norm_layer": "rmsnorm""#), ("timm-vit-token", #""qk_norm": true"#),
        ("timm-vit-token", #""pre_norm": true"#), ("timm-vit-token", #""init_values": 1e-5"#),
        ("timm-vit-token", #""block_fn": "ResPostBlock""#), ("timm-vit-token", #""attn_layer": "diff""#),
        ("timm-vit-token", #""mlp_layer": "GluMlp""#), ("timm-vit-token", #""pos_embed": "none""#),
        ("timm-vit-token", #""final_norm": false"#), ("timm-vit-token", #""fc_norm": true"#),
        ("timm-vit-token", #""proj_bias": false"#), ("timm-vit-token", #""scale_attn_norm": true"#),
        ("timm-vit-token", #""embed_norm_layer": "layernorm""#), ("timm-vit-token", #""a_new_one": 1"#),
        ("timm-vit-avg", #""pool_include_prefix": true"#), ("timm-vit-avg", #""fc_norm": false"#),
        ("timm-vit-registers", #""reg_tokens": 3"#),
    ])
    func argumentsOfAnotherNetwork(name: String, argument: String) throws {
        func backbone(_ argument: String) throws -> Backbone {
            let pooling = name == "timm-vit-avg" ? "avg" : "token"
            return try self.backbone(
                name, #"{"model_args": {"num_heads": 4, "global_pool": "\#(pooling)", \#(argument)}}"#)
        }
        let error = try #require(throws: InputError.self) { _ = try backbone(argument) }
        #expect(error.code == "input.bad_config" && error.file == folder.file("timm.json").string)
        let key = try #require(argument.split(separator: "\"").first)
        #expect(error.message.hasPrefix("\"\(key)\" in model_args"))
        // A null is what the library does by itself.
        _ = try backbone("\"\(key)\": null")
    }

    @Test(arguments: [
        ("timm-vit-token", #""class_token": true, "reg_tokens": 0, "norm_layer": "layernorm", "qk_norm": false"#),
        ("timm-vit-token", #""pre_norm": false, "fc_norm": false, "final_norm": true, "pos_embed": "learn""#),
        ("timm-vit-token", #""num_classes": 10, "drop_path_rate": 0.1, "dynamic_img_size": true, "proj_bias": true"#),
        ("timm-vit-registers", #""reg_tokens": 4, "init_values": 1e-5, "weight_init": "skip""#),
        ("timm-vit-layerscale", #""init_values": 0.1, "pool_include_prefix": false"#),
    ])
    func argumentsOfThisOne(name: String, arguments: String) throws {
        let plain = try backbone(name, #"{"model_args": {"num_heads": 4}}"#)
        let told = try backbone(name, #"{"model_args": {"num_heads": 4, \#(arguments)}}"#)
        #expect(try config(told) == config(plain))
    }
}
