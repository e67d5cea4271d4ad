import Checkpoints
import Experts
import Networks
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Work

/// Experts that are not of their base's network, and those that only have other names for it.
@Suite struct ExpertNetworkTests {
    private let folder = TemporaryFolder()

    private func base(_ name: String) -> FilePath { Fixtures.path("networks/\(name)/base.safetensors") }

    private func backbone(_ name: String) throws -> Backbone { try Backbone(of: TensorStore(opening: base(name))) }

    // MARK: - Parts

    /// What the base lacks would be left out, and the expert be another model than it is.
    @Test(
        arguments: [
            ("timm-vit-token", "blocks.2.norm1.weight", [32]), ("timm-vit-token", "blocks.0.ls1.gamma", [32]),
            ("timm-vit-token", "norm_pre.weight", [32]), ("timm-vit-token", "blocks.0.attn.q_norm.weight", [8]),
            ("timm-vit-token", "reg_token", [1, 4, 32]), ("timm-vit-token", "rope.freqs", [2, 4]),
            ("timm-vit-token", "patch_embed.backbone.stem.weight", [4]), ("timm-vit-token", "rel_pos.mlp.bias", [4]),
            ("timm-vit-avg", "norm.weight", [32]), ("hf-vit", "encoder.layer.2.layernorm_before.weight", [32]),
            ("hf-vit", "embeddings.distillation_token", [1, 1, 32]),
            ("hf-dinov2", "embeddings.register_tokens", [1, 3, 32]),
            ("hf-clip-vision", "vision_model.encoder.layers.0.ls.gamma", [32]),
            ("openclip-full", "visual.transformer.resblocks.1.ls_1.gamma", [32]),
            ("openclip-full", "visual.attn_pool.query", [32]),
            ("bert-mean", "encoder.layer.2.attention.self.query.weight", [32, 32]),
        ] as [(String, String, [Int])])
    func anExpertWithMoreThanItsBase(name: String, tensor: String, shape: [Int]) throws {
        let values = [Float](repeating: 1, count: shape.reduce(1, *))
        let more = try tensors(of: base(name)) + [TestTensor(TensorName(tensor), shape, values)]
        let path = try folder.checkpoint("expert.safetensors", more)
        let error = try #require(throws: InputError.self) { try backbone(name).check(TensorStore(opening: path)) }
        #expect(error.code == "input.bad_config" && error.tensor == tensor, "\(error.message)")
        #expect(error.file == path.string)
    }

    /// The base without an optional part, and the expert with it.
    @Test(
        arguments: [
            ("hf-clip-vision", "visual_projection", "visual_projection.weight", ""),
            ("hf-siglip-full", "vision_model.head.", "vision_model.head.", ""),
            ("openclip-full", "visual.proj", "visual.proj", ""),
            ("hf-vit", "encoder.layer.0.attention.attention.query.bias", "", "\"qkv_bias\": true,"),
        ])
    func aBaseWithoutAPartOfTheExpert(name: String, part: String, tensor: String, statement: String) throws {
        let all = try tensors(of: base(name))
        _ = try folder.network(name, statement, "")
        let path = try folder.checkpoint(
            "base.safetensors",
            all.filter { !$0.name.text.hasPrefix(part) && (statement.isEmpty || !isQKVBias($0.name)) })
        let backbone = try Backbone(of: TensorStore(opening: path))
        try backbone.check(TensorStore(opening: path))
        let error = try #require(throws: InputError.self) { try backbone.check(TensorStore(opening: base(name))) }
        #expect(error.code == "input.bad_config" && error.file == base(name).string, "\(error.message)")
        #expect(error.tensor?.hasPrefix(tensor) == true)
    }

    private func isQKVBias(_ name: TensorName) -> Bool {
        ["query", "key", "value"].contains { name.text.hasSuffix(".\($0).bias") }
    }

    /// What comes after the feature is nobody's business.
    @Test(
        arguments: [
            ("timm-vit-token", "head.weight"), ("hf-vit", "classifier.weight"), ("hf-deit", "pooler.dense.weight"),
            ("hf-clip-full", "classifier.weight"), ("bert-mean", "classifier.weight"), ("openclip-full", "head.weight"),
        ])
    func anExpertMayHaveAClassifier(name: String, tensor: String) throws {
        let more = try tensors(of: base(name)) + [TestTensor(TensorName(tensor), [1, 2], [1, 2])]
        let path = try folder.checkpoint("expert.safetensors", more)
        #expect(try backbone(name).values(of: TensorStore(opening: path)).count > 0)
    }

    /// The layer that a base of three has as its classifier activates the second, and that of the expert would not.
    @Test func anExpertWithALayerMore() throws {
        func layers(_ count: Int) -> [TestTensor] {
            (0..<count).map {
                TestTensor(TensorName("net.\(2 * $0).weight"), [4, 4], [Float](repeating: 1, count: 16))
            }
        }
        let config = try folder.write(#"{"model_type": "mlp", "image_size": 2}"#, to: "mlp.json")
        let base = try TensorStore(opening: try folder.checkpoint("base.safetensors", layers(2)))
        let backbone = try Backbone(of: base, config: config)
        let expert = try TensorStore(opening: try folder.checkpoint("expert.safetensors", layers(3)))
        let error = try #require(throws: InputError.self) { try backbone.check(expert) }
        #expect(error.code == "input.bad_config" && error.file == folder.file("expert.safetensors").string)
    }

    /// A full CLIP as the base and the image tower alone as the expert: nobody trained what it lacks.
    @Test func anExpertWithoutTheProjection() throws {
        let path = try folder.checkpoint(
            "tower.safetensors",
            try tensors(of: base("hf-clip-full")).filter { $0.name.text.hasPrefix("vision_model.") })
        let error = try #require(throws: InputError.self) {
            _ = try ExpertSet(
                base: base("hf-clip-full"), experts: [ExpertFiles(name: "tower", checkpoint: path)])
        }
        #expect(error.code == "input.missing_tensor" && error.tensor == "visual_projection.weight")
        #expect(error.file == path.string)
        #expect(error.hint?.contains("untangle convert --exclude 'visual_projection.weight'") == true)
        // What the hint says.
        let alone = try folder.checkpoint(
            "alone.safetensors",
            try tensors(of: base("hf-clip-full")).filter { $0.name != "visual_projection.weight" })
        let config = Fixtures.path("networks/hf-clip-full/config.json")
        let set = try ExpertSet(
            base: alone, config: config, experts: [ExpertFiles(name: "tower", checkpoint: path)])
        #expect(set.backbone.network.featureSize == 32)
    }

    // MARK: - Configurations

    private func open(_ name: String, _ expert: TensorStore, config: FilePath? = nil) throws -> ExpertSet {
        try ExpertSet(
            base: base(name), config: config, experts: [ExpertFiles(name: "a", checkpoint: expert.path)])
    }

    /// What the tensors do not tell, and the files beside base and expert say differently.
    @Test(
        arguments: [
            ("hf-vit", "\"num_attention_heads\": 4", "\"num_attention_heads\": 2", "headCount"),
            ("hf-vit", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"quick_gelu\"", "activation"),
            ("hf-vit", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": 1e-6", "layerNormEps"),
            ("hf-vit", "\"model_type\": \"vit\"", "\"model_type\": \"vit\", \"pooling\": \"mean\"", "pooling"),
            ("hf-vit", "\"model_type\": \"vit\"", "\"model_type\": \"dinov2\"", "model_type"),
            ("bert-mean", "\"pad_token_id\": 0", "\"pad_token_id\": 3", "paddingRow"),
            ("bert-mean", "\"model_type\": \"bert\"", "\"model_type\": \"roberta\"", "model_type"),
            ("timm-vit-token", "\"num_heads\": 4", "\"num_heads\": 8", "headCount"),
        ])
    func aConfigurationOfAnotherNetwork(name: String, old: String, new: String, difference: String) throws {
        let expert = try folder.network(name, old, new)
        let error = try #require(throws: InputError.self) { _ = try open(name, expert) }
        #expect(error.code == "input.bad_config" && error.file == folder.file("config.json").string)
        #expect(error.message.contains(difference), "\(error.message)")
        #expect(error.hint?.contains("--config FILE") == true)
        _ = try open(name, expert, config: Fixtures.path("networks/\(name)/config.json"))
    }

    @Test func anotherPoolingOfTexts() throws {
        let expert = try folder.network(
            "bert-mean", "\"pooling_mode_mean_tokens\": true", "\"pooling_mode\": \"cls\"",
            in: "1_Pooling/config.json")
        let error = try #require(throws: InputError.self) { _ = try open("bert-mean", expert) }
        #expect(error.code == "input.bad_config" && error.message.contains("pooling"))
    }

    /// transformers writes no pooling when a model was fine-tuned with it; other keys make no other network.
    @Test func configurationsThatSayTheSame() throws {
        for name in ["bert-cls-prefixed", "hf-clip-full", "timm-vit-avg"] {
            _ = try open(name, folder.network(name))
            let bare = TemporaryFolder()
            for file in ["base.safetensors", "config.json"] {
                _ = try bare.write(try contents(Fixtures.path("networks/\(name)/\(file)")), to: file)
            }
            _ = try open(name, TensorStore(opening: bare.file("base.safetensors")))
        }
        let trained = try folder.network("hf-vit", "\"initializer_range\": 0.02", "\"num_labels\": 7")
        _ = try open("hf-vit", trained)
    }

    // MARK: - Names

    /// What `state_dict()` of transformers 5.24 calls the tensors, checked against it.
    private static let inMemory: [(String, String)] = [
        (".attention.attention.query.", ".attention.q_proj."), (".attention.attention.key.", ".attention.k_proj."),
        (".attention.attention.value.", ".attention.v_proj."), (".attention.output.dense.", ".attention.o_proj."),
    ]

    private static let vitInMemory =
        inMemory + [
            ("encoder.layer.", "layers."), (".intermediate.dense.", ".mlp.fc1."), (".output.dense.", ".mlp.fc2."),
        ]

    @Test(arguments: ["hf-vit", "hf-deit", "hf-vit-classifier", "hf-dinov2", "hf-dinov2-registers"])
    func namesOfTransformersInMemory(name: String) throws {
        let rules = name.contains("dinov2") ? Self.inMemory : Self.vitInMemory
        let renamed = try tensors(of: base(name)).map { tensor in
            let text = rules.reduce(tensor.name.text) { $0.replacing($1.0, with: $1.1) }
            return TestTensor(TensorName(text), tensor.dtype, tensor.shape.dims, tensor.bytes)
        }
        #expect(renamed.contains { $0.name.text.hasSuffix("0.attention.o_proj.bias") })
        let store = try TensorStore(opening: try folder.checkpoint("memory.safetensors", renamed))
        let config = Fixtures.path("networks/\(name)/config.json")
        let written = try TensorStore(opening: base(name))
        let (own, library) = (try Backbone(of: store, config: config), try Backbone(of: written))
        let values = try library.values(of: written)
        #expect(try own.values(of: store) == values)
        // Either is an expert of the other.
        try own.check(written)
        #expect(try library.values(of: store) == values && own.values(of: written) == values)
        // A layer too many is one by any name.
        let layer = name.contains("dinov2") ? "encoder.layer.2.norm1.weight" : "layers.2.layernorm_before.weight"
        let more = TensorName((renamed.contains { $0.name.text.hasPrefix("vit.") } ? "vit." : "") + layer)
        let path = try folder.checkpoint("more.safetensors", renamed + [TestTensor(more, [1], [1])])
        #expect(code { try library.check(TensorStore(opening: path)) } == "input.bad_config")
    }
}
