import Checkpoints
import Experts
import Kernels
import Networks
import SystemPackage
import TensorCore
import Testing
import TestSupport
import Transcoding

/// What architectures make of configurations and tensors that are not as the libraries wrote them.
@Suite struct ArchitectureTests {
    private let folder = TemporaryFolder()

    /// The base of a network of the fixtures beside a changed configuration.
    private func store(_ name: String, _ old: String = "", _ new: String = "", in file: String = "config.json") throws
        -> TensorStore
    {
        let source = Fixtures.path("networks/\(name)")
        if !fileExists(folder.file("1_Pooling")) { try folder.makeFolder("1_Pooling") }
        for companion in ["config.json", "open_clip_config.json", "preprocessor_config.json", "1_Pooling/config.json"]
        where fileExists(source.pushing(FilePath(companion))) {
            var text = String(decoding: try contents(source.pushing(FilePath(companion))), as: UTF8.self)
            if companion == file, !old.isEmpty {
                try #require(text.contains(old), "\(companion) of \(name) has no \(old)")
                text = text.replacing(old, with: new)
            }
            try folder.write(text, to: companion)
        }
        return try TensorStore(
            opening: try folder.write(try contents(source.appending("base.safetensors")), to: "base.safetensors"))
    }

    private func config(_ backbone: Backbone) throws -> TransformerConfig {
        try #require(backbone.network as? Transformer).config
    }

    // MARK: Contradictions

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
        let store = try store(name, old, new)
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
        let store = try store("openclip-full", old, new, in: "open_clip_config.json")
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
        let store = try store(name, old, new)
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

    // MARK: What files say and leave out

    /// Everything but the number of heads and what tells families apart is in the tensors.
    @Test(
        arguments: [
            ("hf-vit", #"{"num_attention_heads": 4}"#), ("hf-dinov2", #"{"num_attention_heads": 4}"#),
            ("hf-dinov2-registers", #"{"num_attention_heads": 4}"#),
            ("hf-deit", #"{"num_attention_heads": 4}"#), ("hf-clip-vision", #"{"num_attention_heads": 4}"#),
            ("hf-siglip-full", #"{"num_attention_heads": 4}"#),
            ("openclip-full", #"{"model_cfg": {"quick_gelu": true, "vision_cfg": {"head_width": 8}}}"#),
            ("timm-vit-registers", #"{"num_heads": 4}"#),
            ("timm-vit-avg", #"{"num_heads": 4, "global_pool": "avg"}"#),
            ("bert-mean", #"{"model_type": "bert", "num_attention_heads": 4}"#),
            (
                "xlm-roberta-cls",
                #"{"model_type": "roberta", "num_attention_heads": 4, "layer_norm_eps": 1e-5, "pooling": "cls"}"#
            ),
            ("distilbert-mean", #"{"n_heads": 4}"#),
        ]) func sizesComeFromTensors(name: String, json: String) throws
    {
        let base = try TensorStore(opening: Fixtures.path("networks/\(name)/base.safetensors"))
        let short = try Backbone(of: base, config: try folder.write(json, to: "short.json"))
        #expect(try config(short) == config(Backbone(of: base)))
    }

    /// What timm keeps in its code: values read from models that timm 1.0.31 makes of these names.
    @Test(
        arguments: [
            ("vit_base_patch16_224", 768, 12, 1e-6, Activation.gelu),
            ("deit_tiny_distilled_patch16_224", 192, 3, 1e-6, .gelu),
            ("vit_huge_patch14_224", 1280, 16, 1e-6, .gelu), ("vit_giant_patch14_clip_224", 1408, 16, 1e-5, .gelu),
            ("vit_so400m_patch14_siglip_gap_224", 1152, 16, 1e-6, .gelu),
            ("vit_base_patch32_siglip_gap_256", 768, 12, 1e-6, .geluTanh),
            ("vit_large_patch14_clip_quickgelu_224", 1024, 16, 1e-5, .quickGELU),
            ("vit_base_patch16_gap_224", 768, 16, 1e-6, .gelu), ("vit_medium_patch32_clip_224", 512, 8, 1e-5, .gelu),
        ]) func timmsNamesSayWhatItsConfigurationsLeaveOut(
            name: String, width: Int, heads: Int, eps: Double, activation: Activation
        ) throws
    {
        let original = try tensors(of: Fixtures.path("networks/timm-vit-token/base.safetensors"))
        func dims(_ dims: [Int]) -> [Int] { dims.map { $0 == 32 ? width : $0 == 96 ? 3 * width : $0 } }
        // The same model as wide as the one of the name; only its shapes count.
        let wide = original.map { tensor in
            let shape = Shape(dims(tensor.shape.dims))
            return TestTensor(
                tensor.name, tensor.dtype, shape.dims, [UInt8](repeating: 0, count: 4 * shape.dims.reduce(1, *)))
        }
        let store = try TensorStore(opening: try folder.checkpoint("wide.safetensors", wide))
        let json =
            #"{"architecture": "\#(name)", "num_features": \#(width), "pretrained_cfg": {"input_size": [3, 24, 24]}}"#
        let config = try config(Backbone(of: store, config: try folder.write(json, to: "timm.json")))
        #expect(config.headCount == heads && config.layerNormEps == Float(eps) && config.activation == activation)
    }

    /// What would make another function of the same tensors is refused, or honoured.
    @Test(arguments: [
        #""pool_type": "avg""#, #""final_ln_after_pool": true"#, #""attentional_pool": true"#,
        #""act_kwargs": {"approximate": "tanh"}"#,
    ]) func refusesOtherFormsOfOpenCLIP(setting: String) throws {
        let base = try TensorStore(opening: Fixtures.path("networks/openclip-full/base.safetensors"))
        func backbone(_ setting: String) throws -> Backbone {
            let json = #"{"model_cfg": {"quick_gelu": true, "vision_cfg": {"head_width": 8, \#(setting)}}}"#
            return try Backbone(of: base, config: try folder.write(json, to: "clip.json"))
        }
        #expect(code { _ = try backbone(setting) } == "input.bad_config")
        #expect(try config(backbone(#""pool_type": "tok", "norm_kwargs": {"eps": 0.5}"#)).layerNormEps == 0.5)
    }

    @Test func refusesPerceptronsWithBiasesHereAndThere() throws {
        let path = try folder.checkpoint(
            "odd.safetensors",
            [
                TestTensor("0.weight", [2, 4], [Float](repeating: 1, count: 8)),
                TestTensor("2.weight", [2, 2], [1, 2, 3, 4]),
                TestTensor("2.bias", [2], [1, 2]),
            ])
        let config = try folder.write(#"{"model_type": "mlp", "image_size": 2}"#, to: "mlp.json")
        #expect(code { _ = try Backbone(of: TensorStore(opening: path), config: config) } == "input.bad_config")
    }

    /// Registers that have positions of their own, which the number of rows tells where nothing else does.
    @Test func positionsTellWhetherTheyCoverRegisters() throws {
        var changed = try tensors(of: Fixtures.path("networks/timm-vit-registers/base.safetensors"))
        func positions() throws -> PatchStem.Positions? {
            let store = try TensorStore(opening: try folder.checkpoint("reg.safetensors", changed))
            let json = #"{"num_heads": 4, "pretrained_cfg": {"input_size": [3, 24, 24]}}"#
            let config = try config(Backbone(of: store, config: try folder.write(json, to: "reg.json")))
            guard case .patches(let stem) = config.stem else { return nil }
            return stem.positions
        }
        #expect(try positions() == .patches)
        let place = try #require(changed.firstIndex { $0.name == "pos_embed" })
        // Nine patches, four registers and the class token.
        changed[place] = TestTensor("pos_embed", .f32, [1, 14, 32], [UInt8](repeating: 0, count: 4 * 14 * 32))
        #expect(try positions() == .allTokens)
    }

    /// sentence-transformers' file, then `pooling` of the configuration itself; the mean where nothing says it.
    @Test func textsArePooledAsFilesSay() throws {
        func pooling(_ old: String, _ new: String, in file: String) throws -> Pooling {
            try config(Backbone(of: store("bert-mean", old, new, in: file))).pooling
        }
        let file = "1_Pooling/config.json"
        #expect(try pooling("", "", in: file) == .mean)
        #expect(try pooling("\"model_type\"", "\"pooling\": \"cls\", \"model_type\"", in: "config.json") == .cls)
        #expect(try config(Backbone(of: store("bert-cls-prefixed"))).pooling == .cls)
        #expect(try pooling("\"pooling_mode_mean_tokens\": true", "\"pooling_mode\": \"cls\"", in: file) == .cls)
        for (change, text) in [
            ("\"pooling_mode_mean_tokens\": false, \"pooling_mode_lasttoken\": true", "lasttoken"),
            (
                "\"pooling_mode_mean_tokens\": true, \"pooling_mode_weightedmean_tokens\": true",
                "mean_tokens and weightedmean_tokens"
            ),
        ] {
            let error = try #require(throws: InputError.self) {
                _ = try pooling("\"pooling_mode_mean_tokens\": true", change, in: file)
            }
            #expect(error.code == "input.bad_config")
            #expect(error.file == folder.file(file).string)
            #expect(
                error.message.contains("pools by \(text); mean_tokens or cls_token is supported"), "\(error.message)")
        }
    }

    /// The preprocessor's file, the configuration's own keys before it, and the library's constants without either.
    @Test func pixelsAreNormalisedAsFilesSay() throws {
        func normalization(_ old: String, _ new: String, in file: String) throws -> ImageNormalization {
            try Backbone(of: store("hf-vit", old, new, in: file)).normalization
        }
        let file = "preprocessor_config.json"
        #expect(
            try normalization("\"image_mean\"", "\"do_normalize\": false, \"mean\"", in: "-").mean == [0.5, 0.5, 0.5])
        let raw = try normalization("\"do_normalize\": true", "\"do_normalize\": false", in: file)
        #expect((raw.mean, raw.std) == ([0], [1]))
        #expect(try normalization("\"do_rescale\": true", "\"do_rescale\": false", in: file).rescaleFactor == [1])
        #expect(
            try normalization("\"model_type\"", "\"image_mean\": [1, 2, 3], \"model_type\"", in: "config.json").mean
                == [1, 2, 3])
        // transformers' CLIPImageProcessor and ViTImageProcessor, open_clip's OPENAI_DATASET_MEAN.
        for (name, mean) in [
            ("hf-clip-full", 0.48145466), ("openclip-full", 0.48145466), ("hf-vit", 0.5), ("hf-dinov2", 0.485),
        ]
            as [(String, Float)]
        {
            let store = try store(name, "\"preprocess_cfg\"", "\"other\"", in: "open_clip_config.json")
            if !fileExists(folder.file("alone")) { try folder.makeFolder("alone") }
            let alone = try folder.write(try contents(folder.file("config.json")), to: "alone/config.json")
            #expect(try Backbone(of: store, config: name.hasPrefix("open") ? nil : alone).normalization.mean[0] == mean)
        }
    }

    @Test func openAIsWeightsNeedAWordAboutTheirActivation() throws {
        let base = Fixtures.path("networks/openclip-full/base.safetensors")
        let path = try folder.write(try contents(base), to: "ViT.safetensors")
        let error = try #require(throws: InputError.self) { _ = try Backbone(of: TensorStore(opening: path)) }
        #expect(error.code == "input.missing_config")
        #expect(error.file == folder.file("open_clip_config.json").string)
        // The hint's file says enough for heads of 64.
        let hint = try #require(error.hint)
        #expect(hint.contains(#"{"model_cfg": {"quick_gelu": true}}"#))
        let said = try folder.write(
            #"{"model_cfg": {"quick_gelu": true, "head_width": 8}}"#, to: "open_clip_config.json")
        let backbone = try Backbone(of: TensorStore(opening: path))
        #expect(try config(backbone) == config(Backbone(of: TensorStore(opening: base))))
        #expect(said == folder.file("open_clip_config.json"))
    }

    /// As checkpoints made from TensorFlow's have them.
    @Test func oldNamesOfLayerNorms() throws {
        let base = Fixtures.path("networks/bert-cls-prefixed/base.safetensors")
        var old = try tensors(of: base)
        for index in old.indices {
            let name = old[index].name.text
            old[index].name = TensorName(
                name.replacing("LayerNorm.weight", with: "LayerNorm.gamma").replacing(
                    "LayerNorm.bias", with: "LayerNorm.beta"))
        }
        let backbone = try Backbone(of: TensorStore(opening: base))
        let path = try folder.checkpoint("old.safetensors", old)
        #expect(try backbone.values(of: TensorStore(opening: path)) == backbone.values(of: TensorStore(opening: base)))
    }

    // MARK: Perceptrons

    /// Two layers by hand over images of two pixels: W1 = [[1, 2], [3, -4]], b1 = [0, 1], W2 = [[1, -1]], b2 = [5]. Of x = [1, 2] the
    /// hidden layer is relu [5, -4] = [5, 0], and the output 5 - 0 + 5 = 10.
    @Test(
        arguments: [
            (["0", "2"], ""), (["1", "3"], "net."), (["layers.0", "layers.1"], ""), (["fc1", "fc2"], "module."),
        ]) func perceptronsByTheNamesOfContainers(names: [String], prefix: String) throws
    {
        let layers = [
            TestTensor(TensorName("\(prefix)\(names[0]).weight"), [2, 2], [1, 2, 3, -4]),
            TestTensor(TensorName("\(prefix)\(names[0]).bias"), [2], [0, 1]),
            TestTensor(TensorName("\(prefix)\(names[1]).weight"), [1, 2], [1, -1]),
            TestTensor(TensorName("\(prefix)\(names[1]).bias"), [1], [5]),
        ]
        let store = try TensorStore(opening: try folder.checkpoint("mlp.safetensors", layers))
        func features(_ more: String) throws -> [Float] {
            try folder.write(#"{"model_type": "mlp", "image_size": [1, 2]\#(more)}"#, to: "config.json")
            let backbone = try Backbone(of: store)
            let images = try ImageSet(
                values: [1, 2], count: 1, shape: ImageShape(channels: 1, height: 1, width: 2))
            return try backbone.network.features(
                parameters: try backbone.parameters(of: store), inputs: .images(images), budget: testBudget)
        }
        #expect(try features("") == [10])
        // Before the classifier.
        #expect(try features(#", "num_hidden_layers": 1"#) == [5, 0])
        for more in [
            #", "num_hidden_layers": 3"#, #", "num_hidden_layers": 0"#, #", "num_channels": -1"#,
            #", "hidden_act": "silu""#,
        ] {
            #expect(code { _ = try features(more) } == "input.bad_config", "\(more)")
        }
        #expect(code { _ = try features(#", "num_channels": 2"#) } == "input.bad_shape")
        // Such names mean nothing by themselves.
        try folder.write(#"{"image_size": [1, 2]}"#, to: "config.json")
        #expect(code { _ = try Backbone(of: store) } == "input.missing_tensor")
    }

    // MARK: Types

    /// Parameters that did not change are written as they were, in every type and under every naming.
    @Test(arguments: NetworkGoldenTests.names, [DType.f16, .bf16, .f32, .f64])
    func parametersComeBackBitForBit(name: String, dtype: DType) throws {
        let original = try TensorStore(opening: Fixtures.path("networks/\(name)/base.safetensors"))
        let backbone = try Backbone(of: original)
        var options = ConversionOptions()
        options.dtype = dtype
        let plan = try ConversionPlan(
            of: original, to: try .test(folder.file("typed.safetensors")), options: options)
        _ = try Conversion(plan, of: original).run(in: testContext)
        let typed = try TensorStore(opening: folder.file("typed.safetensors"))
        let parameters = try backbone.parameters(of: typed)
        let path = folder.file("written.safetensors")
        let writer = try CheckpointFormat.makeWriter(
            try #require(CheckpointFormat.format(ofOutput: path)), at: path, declaring: typed.descriptors,
            metadata: Metadata(), options: WriteOptions(force: true, sync: false))
        try backbone.write(parameters: parameters, like: typed, into: writer)
        let written = try tensors(of: path)
        #expect(written.map(\.name) == typed.descriptors.map(\.name))
        for (own, before) in zip(written, try tensors(of: folder.file("typed.safetensors"))) {
            #expect(own.dtype == before.dtype && own.shape == before.shape && own.bytes == before.bytes, "\(own.name)")
        }
    }

    /// F16 ends at 65,504.
    @Test func whatItsTypeDoesNotHoldIsAnError() throws {
        let original = try TensorStore(opening: Fixtures.path("networks/hf-vit/base.safetensors"))
        let backbone = try Backbone(of: original)
        let half = try tensors(of: Fixtures.path("networks/hf-vit/base.safetensors")).map { tensor in
            TestTensor(tensor.name, .f16, tensor.shape.dims, [UInt8](repeating: 0, count: tensor.bytes.count / 2))
        }
        let typed = try TensorStore(opening: try folder.checkpoint("half.safetensors", half))
        let parameters = try backbone.parameters(of: typed)
        let entry = try #require(backbone.network.layout["blocks.1.attn.qkv.weight"])
        parameters.pointer[entry.range.upperBound - 1] = 70_000
        let path = folder.file("written.safetensors")
        let writer = try CheckpointFormat.makeWriter(
            try #require(CheckpointFormat.format(ofOutput: path)), at: path, declaring: typed.descriptors,
            metadata: Metadata(), options: WriteOptions(force: true, sync: false))
        let error = #expect(throws: InputError.self) {
            try backbone.write(parameters: parameters, like: typed, into: writer)
        }
        #expect(error?.code == "input.bad_value")
        #expect(error?.tensor == "encoder.layer.1.attention.attention.value.weight")
    }

    /// timm's own keys go before those of the hub's file around them.
    @Test func timmsArgumentsCountMore() throws {
        let changed = try store(
            "timm-vit-token", "\"num_features\": 32,\n  \"global_pool\": \"token\"",
            "\"num_features\": 32,\n  \"global_pool\": \"avg\"")
        #expect(try config(Backbone(of: changed)).pooling == .cls)
    }

    /// What takes part in nothing is copied, whatever it holds.
    @Test func whatIsNotTrainedMayHoldAnything() throws {
        var changed = try tensors(of: Fixtures.path("networks/bert-cls-prefixed/base.safetensors"))
        let place = try #require(changed.firstIndex { $0.name == "bert.pooler.dense.weight" })
        changed[place].bytes.replaceSubrange(0..<4, with: [1, 2, 0x80, 0xFF])
        let path = try folder.checkpoint("odd.safetensors", changed)
        let store = try TensorStore(opening: path)
        let backbone = try Backbone(of: store, config: Fixtures.path("networks/bert-cls-prefixed/config.json"))
        let output = folder.file("written.safetensors")
        let writer = try CheckpointFormat.makeWriter(
            try #require(CheckpointFormat.format(ofOutput: output)), at: output, declaring: store.descriptors,
            metadata: Metadata(), options: WriteOptions(force: true, sync: false))
        try backbone.write(parameters: try backbone.parameters(of: store), like: store, into: writer)
        #expect(try tensors(of: output)[place].bytes == changed[place].bytes)
    }
}
