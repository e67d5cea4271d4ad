import Checkpoints
import Experts
import Kernels
import Networks
import SystemPackage
import TensorCore
import Testing
import TestSupport
import Transcoding

/// What architectures take from the files of models, and from what these leave out.
@Suite struct ArchitectureFileTests {
    private let folder = TemporaryFolder()

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
            ("vit_giant_patch16_radio_v3", 1536, 24, 1e-6, .gelu), ("flexivit_small", 384, 6, 1e-6, .gelu),
            ("test_vit", 64, 2, 1e-6, .gelu),
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

    /// Nested configurations of transformers 4 say what differs from the library's defaults: here twelve heads, and all that is the same.
    @Test(arguments: ["hf-clip-full", "hf-siglip-full"])
    func whatNestedConfigurationsLeaveOutIsTheLibrarys(name: String) throws {
        let narrow = try tensors(of: Fixtures.path("networks/\(name)/base.safetensors")).map { tensor in
            let dims = tensor.shape.dims.map { $0 == 32 ? 24 : $0 == 96 ? 72 : $0 }
            return TestTensor(tensor.name, .f32, dims, [UInt8](repeating: 0, count: 4 * dims.reduce(1, *)))
        }
        let store = try TensorStore(opening: try folder.checkpoint("narrow.safetensors", narrow))
        func backbone(_ keys: String) throws -> Backbone {
            let type = name == "hf-clip-full" ? "clip" : "siglip"
            let json = #"{"model_type": "\#(type)", "vision_config": {\#(keys)}}"#
            return try Backbone(of: store, config: try folder.write(json, to: "nested.json"))
        }
        let sizes = [
            "\"hidden_size\": 24", "\"num_hidden_layers\": 2", "\"intermediate_size\": 64", "\"image_size\": 24",
            "\"patch_size\": 8",
        ]
        let config = try config(backbone(sizes.joined(separator: ", ")))
        #expect(config.headCount == 12)
        #expect(config.activation == (name == "hf-clip-full" ? .quickGELU : .geluTanh))
        #expect(config.layerNormEps == (name == "hf-clip-full" ? 1e-5 : 1e-6))
        // Tensors have to be as the library would make them.
        for size in sizes {
            let error = try #require(throws: InputError.self) {
                _ = try backbone(sizes.filter { $0 != size }.joined(separator: ", "))
            }
            #expect(["input.bad_config", "input.bad_shape"].contains(error.code), "\(size): \(error.message)")
        }
    }

    /// Which rows of embeddings PyTorch's modules do not train.
    @Test func paddingHasARowOfItsOwn() throws {
        func stem(_ name: String, _ old: String = "", _ new: String = "") throws -> WordStem? {
            guard case .words(let stem) = try config(Backbone(of: folder.network(name, old, new))).stem else {
                return nil
            }
            return stem
        }
        #expect(try stem("bert-mean")?.paddingRow == 0)
        #expect(try stem("distilbert-mean")?.paddingRow == 0)
        #expect(try stem("xlm-roberta-cls")?.paddingRow == 1)
        #expect(try stem("bert-mean", "\"pad_token_id\": 0", "\"pad_token_id\": 7")?.paddingRow == 7)
        #expect(try stem("bert-mean", "\"pad_token_id\": 0", "\"pad_token_id\": -1")?.paddingRow == 59)
        #expect(try stem("bert-mean", "\"pad_token_id\": 0", "\"pad_token_id\": null")?.paddingRow == nil)
        #expect(try stem("bert-mean", "\"pad_token_id\": 0", "\"pad_id\": 5")?.paddingRow == 0)
        for row in ["60", "-61", "-9223372036854775808"] {
            let error = try #require(throws: InputError.self) {
                _ = try stem("bert-mean", "\"pad_token_id\": 0", "\"pad_token_id\": \(row)")
            }
            #expect(error.code == "input.bad_config" && error.file == folder.file("config.json").string)
        }
    }

    /// Classifiers of transformers that read another feature than their family's.
    @Test func classifiersOfOtherFeatures() throws {
        func backbone(_ name: String, _ old: String, _ new: String) throws -> Backbone {
            try Backbone(of: folder.network(name, old, new))
        }
        for (name, old, new) in [
            ("hf-clip-full", "CLIPModel", "CLIPForImageClassification"),
            ("hf-siglip-full", "SiglipModel", "SiglipForImageClassification"),
            ("hf-siglip-full", "\"vision_use_head\": true", "\"vision_use_head\": false"),
        ] {
            #expect(code { _ = try backbone(name, old, new) } == "input.bad_config", "\(new)")
        }
        // Without the pooling head its feature is the mean.
        let mean = try tensors(of: Fixtures.path("networks/hf-siglip-full/base.safetensors"))
            .filter { !$0.name.text.hasPrefix("vision_model.head.") }
        _ = try folder.network("hf-siglip-full", "SiglipModel", "SiglipForImageClassification")
        let path = try folder.checkpoint("base.safetensors", mean)
        #expect(try config(Backbone(of: TensorStore(opening: path))).pooling == .mean)
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

    /// Layers with something between them that is no activation, or beside them.
    @Test(arguments: [
        ["fc1", "bn1", "fc2"], ["layers.0", "layers.1", "norm"], ["0", "2", "3"], ["net.0", "net.2", "out"],
    ])
    func refusesPerceptronsWithOtherParts(names: [String]) throws {
        let path = try folder.checkpoint(
            "other.safetensors",
            names.map { name in
                name.hasSuffix("norm") || name == "bn1"
                    ? TestTensor(TensorName("\(name).weight"), [4], [1, 1, 1, 1])
                    : TestTensor(TensorName("\(name).weight"), [4, 4], [Float](repeating: 1, count: 16))
            } + [TestTensor("steps", .i64, [1], [1, 0, 0, 0, 0, 0, 0, 0])])
        let config = try folder.write(#"{"model_type": "mlp", "image_size": 2}"#, to: "mlp.json")
        let error = try #require(throws: InputError.self) {
            _ = try Backbone(of: TensorStore(opening: path), config: config)
        }
        #expect(error.code == "input.bad_config", "\(error.message)")
        #expect(error.tensor == (names.contains("bn1") ? "bn1.weight" : "\(names[2]).weight"))
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
            try config(Backbone(of: folder.network("bert-mean", old, new, in: file))).pooling
        }
        let file = "1_Pooling/config.json"
        #expect(try pooling("", "", in: file) == .mean)
        #expect(try pooling("\"model_type\"", "\"pooling\": \"cls\", \"model_type\"", in: "config.json") == .cls)
        #expect(try config(Backbone(of: folder.network("bert-cls-prefixed"))).pooling == .cls)
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
            try Backbone(of: folder.network("hf-vit", old, new, in: file)).normalization
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
            _ = try folder.network(name, "\"preprocess_cfg\"", "\"other\"", in: "open_clip_config.json")
            let alone = TemporaryFolder()
            for file in ["base.safetensors", "config.json", "open_clip_config.json"]
            where name.hasPrefix("open") || file != "open_clip_config.json" {
                _ = try alone.write(try contents(folder.file(file)), to: file)
            }
            let store = try TensorStore(opening: alone.file("base.safetensors"))
            #expect(try Backbone(of: store).normalization.mean[0] == mean)
        }
        // The error is about the file that says it.
        let error = try #require(throws: InputError.self) {
            _ = try normalization("\"image_std\": [", "\"image_std\": [0, 1, 1], \"other\": [", in: file)
        }
        #expect(error.code == "input.bad_config" && error.file == folder.file(file).string)
    }

    /// `--config` says the configuration; what else lies beside the checkpoint still counts, unless the other folder has it, too.
    @Test func filesBesideTheCheckpointCountWhereTheConfigurationIsElsewhere() throws {
        let other = TemporaryFolder()
        func configuration(of name: String) throws -> FilePath {
            try other.write(try contents(Fixtures.path("networks/\(name)/config.json")), to: "config.json")
        }
        let store = try folder.network("bert-cls-prefixed")
        try folder.write("{}", to: "tokenizer.json")
        let away = try Backbone(of: store, config: configuration(of: "bert-cls-prefixed"))
        #expect(try config(away).pooling == .cls)
        #expect(away.tokenizerPath == folder.file("tokenizer.json"))
        #expect(
            ConfigurationFiles.paths(of: store.path, config: other.file("config.json")) == [
                other.file("config.json"), folder.file("1_Pooling/config.json"),
            ])
        try other.makeFolder("1_Pooling")
        try other.write(#"{"pooling_mode": "mean"}"#, to: "1_Pooling/config.json")
        #expect(try config(Backbone(of: store, config: other.file("config.json"))).pooling == .mean)
        let images = try folder.network(
            "hf-vit", "\"do_normalize\": true", "\"do_normalize\": false", in: "preprocessor_config.json")
        #expect(try Backbone(of: images, config: configuration(of: "hf-vit")).normalization.mean == [0])
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

    /// Two layers by hand over images of two pixels: W1 = [[1, 2], [3, -4]], b1 = [0, 1], W2 = [[1, -1]], b2 = [5]. Of x = [1, 2] the
    /// hidden layer is relu [5, -4] = [5, 0], and the output 5 - 0 + 5 = 10.
    @Test(
        arguments: [
            (["0", "2"], ""), (["1", "3"], "net."), (["0", "3"], "net."), (["1", "4"], "net."),
            (["layers.0", "layers.1"], ""), (["fc1", "fc2"], "module."),
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
}
