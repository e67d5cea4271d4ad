import Checkpoints
import Experts
import Kernels
import Networks
import SystemPackage
import TensorCore
import Testing
import TestSupport
import Transcoding

/// Configurations that contradict themselves or the tensors, and tensors that nobody knows.
@Suite struct ArchitectureTests {
    private let folder = TemporaryFolder()

    @Test(
        arguments: [
            (
                "bert-mean", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3",
                "encoder.layer.2.attention.self.query.weight"
            ),
            (
                "bert-mean", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1",
                "encoder.layer.1.attention.self.query.weight"
            ),
            (
                "bert-mean", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": -1",
                "encoder.layer.0.attention.self.query.weight"
            ),
            ("bert-mean", "\"num_attention_heads\": 4", "\"num_attention_heads\": 5", ""),
            ("bert-mean", "\"num_attention_heads\": 4,", "", ""),
            ("bert-mean", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"silu\"", ""),
            ("bert-mean", "\"is_decoder\": false", "\"is_decoder\": true", ""),
            ("bert-mean", "\"is_decoder\": false", "\"position_embedding_type\": \"relative_key\"", ""),
            ("bert-mean", "\"type_vocab_size\": 2", "\"type_vocab_size\": -1", ""),
            ("bert-mean", "\"type_vocab_size\": 2", "\"type_vocab_size\": 9223372036854775807", ""),
            ("bert-mean", "\"vocab_size\": 60", "\"vocab_size\": 0", ""),
            ("bert-mean", "\"vocab_size\": 60", "\"vocab_size\": 9223372036854775807", ""),
            ("roberta-mean-prefixed", "\"pad_token_id\": 1", "\"pad_token_id\": 23", ""),
            ("roberta-mean-prefixed", "\"pad_token_id\": 1", "\"pad_token_id\": -1", ""),
            ("distilbert-mean", "\"n_layers\": 2", "\"n_layers\": 4", "transformer.layer.2.attention.q_lin.weight"),
            ("distilbert-mean", "\"activation\": \"gelu\"", "\"activation\": \"silu\"", ""),
            ("hf-vit", "\"patch_size\": 8", "\"patch_size\": 0", ""),
            ("hf-vit", "\"image_size\": 24", "\"image_size\": 25", ""),
            ("hf-vit", "\"image_size\": 24", "\"image_size\": -24", ""),
            ("hf-dinov2", "\"use_swiglu_ffn\": false", "\"use_swiglu_ffn\": true", ""),
            (
                "hf-clip-full", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3",
                "vision_model.encoder.layers.2.layer_norm1.weight"
            ),
            ("timm-vit-token", "\"depth\": 2", "\"depth\": 3", "blocks.2.norm1.weight"),
            ("timm-vit-token", "\"num_heads\": 4", "\"num_heads\": 5", ""),
            ("timm-vit-token", "\"patch_size\": 8", "\"patch_size\": 0", ""),
            ("timm-vit-token", "\"global_pool\": \"token\"", "\"global_pool\": \"map\"", ""),
            ("timm-deit-distilled", "\"global_pool\": \"token\"", "\"global_pool\": \"avg\"", "dist_token"),
        ] as [(String, String, String, String)])
    func aConfigurationThatContradictsItselfOrTheLayers(name: String, old: String, new: String, tensor: String) throws {
        let store = try folder.network(name, old, new)
        let error = try #require(throws: InputError.self) { _ = try Backbone(of: store) }
        #expect(error.code == "input.bad_config")
        #expect(error.file == folder.file("config.json").string)
        #expect(error.tensor ?? "" == tensor, "\(error.message)")
    }

    @Test(
        arguments: [
            ("\"head_width\": 8", "\"head_width\": 7", "visual.class_embedding"),
            ("\"head_width\": 8", "\"head_width\": 0", "visual.class_embedding"),
            ("\"layers\": 2", "\"layers\": 1", "visual.transformer.resblocks.1.ln_1.weight"),
        ]) func theSameOfOpenCLIP(old: String, new: String, tensor: String) throws
    {
        let store = try folder.network("openclip-full", old, new, in: "open_clip_config.json")
        let error = try #require(throws: InputError.self) { _ = try Backbone(of: store) }
        #expect(error.code == "input.bad_config" && error.tensor == tensor)
        #expect(error.file == folder.file("open_clip_config.json").string)
    }

    @Test(
        arguments: [
            ("bert-mean", "\"vocab_size\": 60", "\"vocab_size\": 61", "embeddings.word_embeddings.weight"),
            (
                "bert-mean", "\"max_position_embeddings\": 24", "\"max_position_embeddings\": 25",
                "embeddings.position_embeddings.weight"
            ),
            (
                "bert-mean", "\"type_vocab_size\": 2", "\"type_vocab_size\": 3",
                "embeddings.token_type_embeddings.weight"
            ),
            ("bert-mean", "\"hidden_size\": 32", "\"hidden_size\": 64", "embeddings.word_embeddings.weight"),
            (
                "bert-mean", "\"intermediate_size\": 64", "\"intermediate_size\": 65",
                "encoder.layer.0.intermediate.dense.weight"
            ),
            ("hf-vit", "\"image_size\": 24", "\"image_size\": 32", "embeddings.position_embeddings"),
            ("hf-dinov2", "\"mlp_ratio\": 2", "\"mlp_ratio\": 3", "encoder.layer.0.mlp.fc1.weight"),
            ("hf-clip-full", "\"projection_dim\": 20", "\"projection_dim\": 21", "visual_projection.weight"),
            ("timm-vit-token", "\"mlp_ratio\": 2.0", "\"mlp_ratio\": 4.0", "blocks.0.mlp.fc1.weight"),
        ]) func aConfigurationThatContradictsShapes(name: String, old: String, new: String, tensor: String) throws
    {
        let store = try folder.network(name, old, new)
        let error = try #require(throws: InputError.self) { _ = try Backbone(of: store) }
        #expect(error.code == "input.bad_shape" && error.tensor == tensor, "\(error.message)")
        #expect(error.file == folder.file("base.safetensors").string)
    }

    /// The file has to have the file's shape: transposed or squeezed tensors are not taken the other way.
    @Test(
        arguments: [
            ("openclip-full", "visual.proj", [20, 32]), ("openclip-full", "visual.class_embedding", [1, 1, 32]),
            ("hf-clip-vision", "vision_model.embeddings.position_embedding.weight", [1, 10, 32]),
            ("hf-vit", "embeddings.cls_token", [32]), ("timm-vit-token", "pos_embed", [10, 32]),
            ("hf-vit", "encoder.layer.0.attention.attention.key.weight", [1024]),
        ] as [(String, TensorName, [Int])])
    func aTensorOfAnotherShape(name: String, tensor: TensorName, shape: [Int]) throws {
        let original = Fixtures.path("networks/\(name)/base.safetensors")
        let backbone = try Backbone(of: TensorStore(opening: original))
        var changed = try tensors(of: original)
        let place = try #require(changed.firstIndex { $0.name == tensor })
        changed[place].shape = Shape(shape)
        let path = try folder.checkpoint("changed.safetensors", changed)
        let error = try #require(throws: InputError.self) {
            _ = try backbone.parameters(of: TensorStore(opening: path))
        }
        #expect(error.code == "input.bad_shape" && error.tensor == tensor.text)
        #expect(error.file == path.string)
    }

    /// Dimensions of a tensor without elements may be anything.
    @Test func absurdDimensionsDoNotOverflow() throws {
        var changed = try tensors(of: Fixtures.path("networks/timm-vit-registers/base.safetensors"))
        for (name, shape) in [("reg_token", [1, Int.max, 0]), ("pos_embed", [1, Int.max, 0])] as [(TensorName, [Int])] {
            let place = try #require(changed.firstIndex { $0.name == name })
            (changed[place].shape, changed[place].bytes) = (Shape(shape), [])
        }
        try folder.write(#"{"num_attention_heads": 4, "hidden_size": 32}"#, to: "config.json")
        let path = try folder.checkpoint("model.npz", changed)
        #expect(code { _ = try Backbone(of: TensorStore(opening: path)) } == "input.bad_config")
    }

    @Test func aNetworkWithPartsThatNobodyKnows() throws {
        var changed = try tensors(of: Fixtures.path("networks/hf-dinov2/base.safetensors"))
        changed.append(TestTensor("encoder.layer.0.mlp.weights_in.weight", [1], [1]))
        let path = try folder.checkpoint("swiglu.safetensors", changed)
        let error = try #require(throws: InputError.self) { _ = try Backbone(of: TensorStore(opening: path)) }
        #expect(error.code == "input.bad_config" && error.tensor == "encoder.layer.0.mlp.weights_in.weight")
        #expect(error.message.contains("has SwiGLU MLPs"))
        var ernie = try tensors(of: Fixtures.path("networks/bert-mean/base.safetensors"))
        ernie.append(TestTensor("embeddings.task_type_embeddings.weight", [3, 32], Array(repeating: 0, count: 96)))
        let other = try folder.checkpoint("ernie.safetensors", ernie)
        let left = try #require(throws: InputError.self) {
            _ = try Backbone(
                of: TensorStore(opening: other), config: Fixtures.path("networks/bert-mean/config.json"))
        }
        #expect(left.code == "input.bad_config" && left.tensor == "embeddings.task_type_embeddings.weight")
    }

    /// Where everything was cast, buffers with it.
    @Test(arguments: [
        ("bert-mean", "embeddings.position_ids"), ("hf-clip-full", "vision_model.embeddings.position_ids"),
    ])
    func buffersMayBeFloatingPoint(name: String, buffer: String) throws {
        let base = Fixtures.path("networks/\(name)/base.safetensors")
        var cast = try tensors(of: base)
        cast.removeAll { $0.name.text == buffer }
        cast.append(TestTensor(TensorName(buffer), [1, 2], [0, 1]))
        let path = try folder.checkpoint("cast.safetensors", cast)
        let config = Fixtures.path("networks/\(name)/config.json")
        let store = try TensorStore(opening: path)
        #expect(
            try Backbone(of: store, config: config).values(of: store)
                == Backbone(of: TensorStore(opening: base)).values(of: TensorStore(opening: base)))
    }

    @Test func notANumberAmongWeightsBehindABinding() throws {
        let original = Fixtures.path("networks/openclip-full/base.safetensors")
        let backbone = try Backbone(of: TensorStore(opening: original))
        for name in ["visual.proj", "visual.transformer.resblocks.1.attn.in_proj_bias"] as [TensorName] {
            var changed = try tensors(of: original)
            let place = try #require(changed.firstIndex { $0.name == name })
            changed[place].bytes.replaceSubrange(8..<12, with: [0, 0, 0xC0, 0x7F])
            let path = try folder.checkpoint("nan.safetensors", changed)
            let error = try #require(throws: InputError.self) {
                _ = try backbone.parameters(of: TensorStore(opening: path))
            }
            #expect(error.code == "input.bad_value" && error.tensor == name.text)
            #expect(error.message.hasSuffix("holds 1 NaN, the first at position 2"))
        }
    }
}
