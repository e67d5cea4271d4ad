import Checkpoints
import Experts
import Networks
import SystemPackage
import TensorCore
import Work
import Testing
import TestSupport
import Transcoding

@Suite struct BackboneConfigTests {
    private let folder = TemporaryFolder()
    private let base = Fixtures.path("suites/tiny/base.safetensors")
    /// What `Fixtures/suites/tiny/config.json` says.
    private let tiny = TransformerConfig(
        stem: .patches(PatchStem(image: ImageShape(channels: 1, height: 28, width: 28), patchSize: 7)), hiddenSize: 64,
        layerCount: 2, headCount: 2, mlpSize: 128)

    private func backbone(_ json: String) throws -> Backbone {
        try Backbone(of: TensorStore(opening: base), config: try folder.write(json, to: "config.json"))
    }

    @Test func readsTheFileBesideTheCheckpoint() throws {
        let config = try Backbone(of: TensorStore(opening: base))
        #expect(config.architecture == tiny)
        #expect(config.normalization.rescaleFactor == [Float(0.00392156862745098)])
        #expect(config.normalization.mean == [0.5])
        #expect(config.normalization.std == [0.5])
    }

    @Test func takesFromTheTensorsWhatTheFileLeavesOut() throws {
        let config = try backbone(#"{"num_attention_heads": 2}"#)
        #expect(config.architecture == tiny)
        #expect(config.normalization == .unit)
    }

    @Test func readsTimmsKeys() throws {
        let config = try backbone(
            """
            {"architecture": "vit_tiny", "global_pool": "avg",
             "model_args": {"embed_dim": 64, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0, "patch_size": 7,
                            "img_size": [28, 28], "in_chans": 1, "act_layer": "gelu_tanh"},
             "pretrained_cfg": {"input_size": [1, 28, 28], "mean": [0.25], "std": [0.75]}}
            """)
        var expected = tiny
        expected.pooling = .mean
        expected.activation = .geluTanh
        #expect(config.architecture == expected)
        #expect(config.normalization.mean == [0.25])
        #expect(config.normalization.std == [0.75])
    }

    @Test func readsHuggingFacesKeys() throws {
        let config = try backbone(
            """
            {"model_type": "vit", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 128, "patch_size": 7, "image_size": 28, "num_channels": 1, "hidden_act": "quick_gelu",
             "layer_norm_eps": 1e-5, "pooling": null, "image_mean": 0.1, "image_std": [0.2], "rescale_factor": [0.5]}
            """)
        var expected = tiny
        expected.headCount = 4
        expected.activation = .quickGELU
        expected.layerNormEps = 1e-5
        #expect(config.architecture == expected)
        #expect(config.normalization.rescaleFactor == [0.5])
    }

    @Test(arguments: [
        "[1]", #"{}"#, #"{"num_attention_heads": 2.5}"#, #"{"num_attention_heads": "2"}"#,
        #"{"num_attention_heads": 2, "hidden_size": [64]}"#, #"{"num_attention_heads": 2, "image_size": [1, 2, 3]}"#,
        #"{"num_attention_heads": 2, "hidden_act": "swish"}"#, #"{"num_attention_heads": 2, "pooling": "max"}"#,
        #"{"num_attention_heads": 2, "model_type": "llama"}"#, #"{"num_attention_heads": 2, "layer_norm_eps": "x"}"#,
        #"{"num_attention_heads": 2, "image_std": 0}"#, #"{"num_attention_heads": 2, "image_mean": [1, 2]}"#,
        #"{"num_attention_heads": 2, "rescale_factor": "x"}"#, #"{"num_attention_heads": 2, "rescale_factor": 1e39}"#,
        // Against the tensors: a layer that would be left out, layers that are not there.
        #"{"num_attention_heads": 2, "num_hidden_layers": 1}"#,
        #"{"num_attention_heads": 2, "num_hidden_layers": 1000000}"#,
    ]) func refusesAFileThatSaysTooLittleOrNonsense(json: String) throws {
        #expect(code { _ = try backbone(json) } == "input.bad_config")
    }

    @Test(arguments: [
        #"{"num_attention_heads": 0}"#, #"{"num_attention_heads": 3}"#,
        #"{"num_attention_heads": 2, "hidden_size": -64}"#,
        #"{"num_attention_heads": 2, "hidden_size": 4611686018427387904}"#,
        #"{"num_attention_heads": 2, "hidden_size": 1048576}"#, #"{"num_attention_heads": 2, "patch_size": 0}"#,
        #"{"num_attention_heads": 2, "image_size": 27}"#, #"{"num_attention_heads": 2, "layer_norm_eps": 0}"#,
        // The attention would leave out its bias.
        #"{"num_attention_heads": 2, "qkv_bias": false}"#,
    ]) func refusesAnArchitectureThatCannotBe(json: String) throws {
        let path = try folder.write(json, to: "config.json")
        let error = try #require(throws: InputError.self) {
            _ = try Backbone(of: TensorStore(opening: base), config: path)
        }
        #expect(error.code == "input.bad_config")
        #expect(error.file == path.string)
    }

    /// Shapes are compared before memory is taken: this architecture has 1.1 TB of parameters.
    @Test func comparesShapesBeforeItTakesMemory() throws {
        let path = try folder.write(
            #"{"num_attention_heads": 2, "hidden_size": 131072, "intermediate_size": 131072}"#, to: "config.json")
        let store = try TensorStore(opening: base)
        #expect(code { _ = try Backbone(of: store, config: path) } == "input.bad_shape")
    }

    @Test func needsAFile() throws {
        let copy = try folder.write(try contents(base), to: "alone.safetensors")
        let error = try #require(throws: InputError.self) { _ = try Backbone(of: TensorStore(opening: copy)) }
        #expect(error.code == "input.missing_config")
        #expect(error.file == folder.file("config.json").string)
    }

    @Test func refusesJSONThatIsNone() throws {
        #expect(code { _ = try backbone("") } == "format.invalid_json")
        #expect(code { _ = try backbone(#"{"a":"#) } == "format.invalid_json")
    }

    /// A tensor that the network would leave out would make it another model.
    @Test func refusesTensorsThatItWouldLeaveOut() throws {
        let path = try folder.checkpoint(
            "scaled.safetensors", try tensors(of: base) + [TestTensor("blocks.0.adapter.weight", [1], [1])])
        let config = Fixtures.path("suites/tiny/config.json")
        let error = try #require(throws: InputError.self) {
            _ = try Backbone(of: TensorStore(opening: path), config: config)
        }
        #expect(error.code == "input.bad_config")
        #expect(error.tensor == "blocks.0.adapter.weight")
    }

    @Test func saysWhichTensorOfACheckpointDoesNotFit() throws {
        let backbone = try Backbone(of: TensorStore(opening: base))
        func error(_ change: (inout [TestTensor]) -> Void) throws -> InputError {
            var changed = try tensors(of: base)
            change(&changed)
            let store = try TensorStore(opening: try folder.checkpoint("changed.safetensors", changed))
            return try #require(throws: InputError.self) { _ = try backbone.parameters(of: store) }
        }
        func place(_ tensors: [TestTensor], _ name: TensorName) -> Int { tensors.firstIndex { $0.name == name } ?? 0 }

        let missing = try error { $0.remove(at: place($0, "norm.weight")) }
        #expect(missing.code == "input.missing_tensor")
        #expect(missing.tensor == "norm.weight")
        let shape = try error { $0[place($0, "norm.weight")] = TestTensor("norm.weight", [1], [1]) }
        #expect(shape.code == "input.bad_shape")
        let dtype = try error {
            $0[place($0, "norm.weight")] = TestTensor("norm.weight", .i32, [64], Array(repeating: 0, count: 256))
        }
        #expect(dtype.code == "input.bad_dtype")
        let nan = try error {
            let values = (0..<64).map { $0 == 5 || $0 == 9 ? Float.nan : $0 == 7 ? .infinity : 1 }
            $0[place($0, "norm.weight")] = TestTensor("norm.weight", [64], values)
        }
        #expect(nan.code == "input.bad_value")
        #expect(nan.message == "\"norm.weight\" holds 2 NaN and 1 infinity, the first at position 5")
        let wide = try error {
            let values = (0..<64).flatMap { place in
                withUnsafeBytes(of: (place == 3 ? 1e300 : 1).bitPattern.littleEndian, Array.init)
            }
            $0[place($0, "norm.weight")] = TestTensor("norm.weight", .f64, [64], values)
        }
        #expect(wide.message == "\"norm.weight\" holds 1 number that F32 cannot hold, the first at position 3")
        let foreign = try error { tensors in
            for index in tensors.indices { tensors[index].name = TensorName("x" + tensors[index].name.text) }
        }
        #expect(foreign.code == "input.missing_tensor")
        #expect(foreign.message.contains("tensor names of no model that is computed"))
    }

    /// F16, BF16, F64 and npz say the same as F32, up to their precision.
    @Test func readsEveryFloatingPointType() throws {
        let store = try TensorStore(opening: base)
        let backbone = try Backbone(of: store)
        let expected = try backbone.values(of: store)
        for (dtype, name, tolerance) in [
            (.f16, "h.safetensors", 1e-3), (.bf16, "b.safetensors", 1e-2), (.f64, "d.npz", 0),
        ] as [(DType, String, Float)] {
            var options = ConversionOptions()
            options.dtype = dtype
            let plan = try ConversionPlan(of: store, to: try .test(folder.file(name)), options: options)
            _ = try Conversion(plan, of: store).run(in: testContext)
            let values = try backbone.values(of: TensorStore(opening: folder.file(name)))
            let error = zip(values, expected).map { abs($0 - $1) / max(abs($1), 0.1) }.max() ?? .infinity
            #expect(error <= tolerance, "\(dtype)")
        }
    }
}

extension Backbone {
    fileprivate var architecture: TransformerConfig? { (network as? Transformer)?.config }
}
