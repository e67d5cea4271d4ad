import Checkpoints
import TensorCore
import TestSupport
import Testing

/// Names and types as the libraries write them that quantise.
@Suite struct QuantizationTests {
    /// What a checkpoint holds, and which of it belongs to quantised weights.
    struct Layout: CustomTestStringConvertible, Sendable {
        let scheme: String
        let parts: [(String, DType, [Int])]
        var others: [(String, DType, [Int])] = []
        var config: String? = nil
        var testDescription: String { "\(scheme): \(parts[0].0)" }
    }

    static let layouts =
        [
            // DeepSeek-V3: blocks of 128 x 128.
            Layout(
                scheme: "fp8",
                parts: [("l.0.q_proj.weight", .f8E4M3, [8, 8]), ("l.0.q_proj.weight_scale_inv", .f32, [1, 1])],
                others: [("l.0.norm.weight", .bf16, [8]), ("embed.weight", .bf16, [4, 8])]),
            // FBGEMM and compressed-tensors; scales of the activations and of the cache belong to it.
            Layout(
                scheme: "fp8",
                parts: [
                    ("l.0.q.weight", .f8E4M3, [8, 8]), ("l.0.q.weight_scale", .bf16, [8, 1]),
                    ("l.0.q.input_scale", .f32, [1]), ("l.0.attn.k_scale", .f32, []),
                ], others: [("l.0.q.bias", .bf16, [8])]),
            // ComfyUI.
            Layout(
                scheme: "fp8",
                parts: [
                    ("b.0.w.weight", .f8E4M3, [8, 8]), ("b.0.w.scale_weight", .f32, []),
                    ("b.0.w.scale_input", .f32, []),
                    ("scaled_fp8", .f8E4M3, [2]),
                ]),
            // Nothing but the configuration tells.
            Layout(
                scheme: "fp8", parts: [("l.0.q.weight", .f8E5M2, [8, 8])], others: [("n.weight", .bf16, [8])],
                config: #"{"quantization_config": {"quant_method": "fp8"}}"#),
            // gpt-oss.
            Layout(
                scheme: "mxfp4",
                parts: [
                    ("l.0.mlp.experts.gate_up_proj_blocks", .u8, [2, 8, 1, 16]),
                    ("l.0.mlp.experts.gate_up_proj_scales", .u8, [2, 8, 1]),
                ], others: [("l.0.mlp.experts.gate_up_proj_bias", .bf16, [2, 8])]),
            Layout(
                scheme: "nvfp4",
                parts: [
                    ("l.0.q.weight_packed", .u8, [8, 4]), ("l.0.q.weight_scale", .f8E4M3, [8, 1]),
                    ("l.0.q.weight_global_scale", .f32, [1]), ("l.0.q.input_global_scale", .f32, [1]),
                ]),
            // ModelOpt.
            Layout(
                scheme: "nvfp4",
                parts: [
                    ("l.0.q.weight", .u8, [8, 4]), ("l.0.q.weight_scale", .f8E4M3, [8, 1]),
                    ("l.0.q.weight_scale_2", .f32, []), ("l.0.q.input_scale", .f32, []),
                ]),
            Layout(
                scheme: "bitsandbytes int8",
                parts: [("l.0.q.weight", .i8, [8, 8]), ("l.0.q.SCB", .f32, [8]), ("l.0.q.weight_format", .u8, [])]),
            Layout(
                scheme: "bitsandbytes 4-bit",
                parts: [
                    ("l.0.q.weight", .u8, [32, 1]), ("l.0.q.weight.absmax", .u8, [1]),
                    ("l.0.q.weight.quant_map", .f32, [16]), ("l.0.q.weight.nested_absmax", .f32, [1]),
                    ("l.0.q.weight.nested_quant_map", .f32, [256]),
                    ("l.0.q.weight.quant_state.bitsandbytes__nf4", .u8, [80]),
                ], others: [("l.0.q.bias", .f16, [8])]),
            Layout(
                scheme: "gptq",
                parts: [
                    ("l.0.q.qweight", .i32, [1, 8]), ("l.0.q.qzeros", .i32, [1, 1]), ("l.0.q.scales", .f16, [1, 8]),
                    ("l.0.q.g_idx", .i32, [8]),
                ], others: [("l.0.q.bias", .f16, [8])]),
            Layout(
                scheme: "awq",
                parts: [
                    ("l.0.q.qweight", .i32, [8, 1]), ("l.0.q.qzeros", .i32, [1, 1]), ("l.0.q.scales", .f16, [1, 8]),
                ]),
            Layout(
                scheme: "hqq",
                parts: [("l.0.q.W_q", .u8, [4, 8]), ("l.0.q.scale", .f16, [1, 8]), ("l.0.q.zero", .f16, [1, 8])]),
            Layout(
                scheme: "aqlm",
                parts: [
                    ("l.0.q.codes", .i8, [8, 1, 1]), ("l.0.q.codebooks", .f16, [1, 256, 1, 8]),
                    ("l.0.q.scales", .f16, [8]),
                ]),
            Layout(
                scheme: "quanto",
                parts: [("l.0.q.weight._data", .i8, [8, 8]), ("l.0.q.weight._scale", .f32, [8, 1])]),
            Layout(scheme: "int8", parts: [("l.0.q.weight", .i8, [8, 8])]),
            // DeepSeek's own files, before transformers renames them.
            Layout(
                scheme: "fp8",
                parts: [("layers.0.attn.wq.weight", .f8E4M3, [8, 8]), ("layers.0.attn.wq.scale", .f32, [1, 1])],
                others: [("layers.0.norm.scale", .bf16, [8])]),
            Layout(
                scheme: "int8",
                parts: [("layers.0.ffn.w1.weight", .i8, [8, 4]), ("layers.0.ffn.w1.scale", .f8E8M0, [8, 1])]),
            Layout(
                scheme: "fp8", parts: [("l.0.q.weight", .f8E4M3, [8, 8]), ("l.0.q.weight_block_scale", .f32, [1, 1])]),
            Layout(
                scheme: "torchao", parts: [("l.0.q.weight:_data", .f8E4M3, [8, 8]), ("l.0.q.weight:_scale", .f32, [])]),
            Layout(
                scheme: "mlx",
                parts: [
                    ("l.0.q.weight", .u32, [8, 1]), ("l.0.q.scales", .f16, [8, 1]), ("l.0.q.biases", .f16, [8, 1]),
                ], others: [("l.0.q.bias", .f16, [8])],
                config: #"{"quantization": {"group_size": 64, "bits": 4}}"#),
            Layout(
                scheme: "exl2",
                parts: [
                    ("l.0.q.q_weight", .i32, [4, 8]), ("l.0.q.q_scale", .i32, [1, 1]), ("l.0.q.q_scale_max", .f16, [1]),
                    ("l.0.q.q_groups", .i16, [2]), ("l.0.q.q_invperm", .i16, [8]),
                ]),
            Layout(
                scheme: "exl3",
                parts: [("l.0.q.trellis", .i16, [1, 1, 48]), ("l.0.q.suh", .f16, [8]), ("l.0.q.svh", .f16, [8])],
                others: [("l.0.q.bias", .f16, [8])]),
            Layout(
                scheme: "torchao", parts: [("l.0.q._weight_qdata", .i8, [8, 8]), ("l.0.q._weight_scale", .bf16, [8])],
                others: [("l.0.q.bias", .bf16, [8])]),
            Layout(
                scheme: "torchao",
                parts: [("l.0.q.weight:qdata", .f8E4M3, [8, 8]), ("l.0.q.weight:scale", .f32, [8, 1])],
                config: #"{"quantization_config": {"quant_method": "torchao"}}"#),
            Layout(
                scheme: "bitnet", parts: [("l.0.q.weight", .u8, [2, 8]), ("l.0.q.weight_scale", .bf16, [1])],
                config: #"{"text_config": {"quantization_config": {"quant_method": "bitnet"}}}"#),
        ] + scalesOfOtherNames + codesOfOtherLayouts

    /// 8-bit floats are codes by a scale beside them, whatever its name: TensorRT-LLM, Quark, ModelOpt and others.
    private static let scalesOfOtherNames =
        [
            "l.0.fc.weights_scaling_factor", "l.0.fc.weight_quantizer.scale", "l.0.fc.weight_quantizer._scale",
            "l.0.fc.weight_quantizer._amax", "l.0.fc.w_scale", "l.0.fc.weight.scale", "l.0.fc.weight_amax",
            "l.0.fc.scales",
            "l.0.fc.weight_s",
        ].map {
            Layout(
                scheme: "fp8", parts: [("l.0.fc.weight", .f8E4M3, [8, 8]), ($0, .f32, [1])],
                others: [("l.0.fc.bias", .bf16, [8]), ("norm.scale", .bf16, [8])])
        } + [
            Layout(scheme: "fp8", parts: [("l.fc_weight", .f8E4M3, [8, 8]), ("l.fc_scale", .f32, [])]),
            Layout(
                scheme: "fp8", parts: [("fc_weight", .f8E4M3, [8, 8]), ("fc_scale", .f32, [])],
                others: [("logit_scale", .f32, [])]),
            // One has lost its scale.
            Layout(
                scheme: "fp8",
                parts: [
                    ("a.weight", .f8E4M3, [8, 8]), ("a.weight_scale", .f32, [8, 1]), ("b.weight", .f8E4M3, [8, 8]),
                ],
                others: [("b.bias", .f8E4M3, [8])]),
        ]

    /// Integers with smaller tensors of numbers in their module.
    private static let codesOfOtherLayouts = [
        Layout(
            scheme: "mxfp4",
            parts: [
                ("b.0.mlp.mlp1_weight.blocks", .u8, [2, 8, 1, 16]), ("b.0.mlp.mlp1_weight.scales", .u8, [2, 8, 1]),
            ],
            others: [("b.0.mlp.mlp1_bias", .bf16, [2, 8])]),
        Layout(
            scheme: "packed integers",
            parts: [("l.0.weight_int4", .i32, [8, 8]), ("l.0.scales_and_zeros", .f32, [1, 8, 2])]),
        Layout(scheme: "int8", parts: [("l.w.weight.int_data", .i8, [8, 8]), ("l.w.weight.scale", .f32, [8])]),
        Layout(
            scheme: "int8", parts: [("l.0.kernel", .i8, [8, 8]), ("l.0.qscale", .f32, [8])],
            others: [("l.0.bias", .f32, [8])]),
        Layout(scheme: "packed integers", parts: [("l.0.packed_weight", .i32, [8, 8]), ("l.0.scales", .f32, [8])]),
        Layout(scheme: "packed integers", parts: [("l.0.B", .i32, [8, 8]), ("l.0.s", .f32, [8])]),
        Layout(
            scheme: "packed integers",
            parts: [("l.0.weight", .i32, [8, 8]), ("l.0.scales", .f32, [8]), ("l.0.tables", .f32, [4, 2])]),
        Layout(scheme: "packed integers", parts: [("l.0.weight", .u16, [8, 8]), ("l.0.s", .f32, [8])]),
        Layout(
            scheme: "packed integers", parts: [("l.0.indices", .i16, [1, 8, 4]), ("l.0.weight_scale", .f32, [8])],
            others: [("l.0.centroids.weight", .f32, [8, 8])]),
        Layout(
            scheme: "spqr",
            parts: [
                ("l.0.dense_weights", .i64, [64]), ("l.0.row_offsets", .i32, [9]), ("l.0.col_vals", .i32, [10]),
            ], others: [("position_ids", .i64, [1, 4]), ("bn.num_batches_tracked", .i64, [])],
            config: #"{"quantization_config": {"quant_method": "spqr"}}"#),
    ]

    private let folder = TemporaryFolder()

    private func open(_ tensors: [(String, DType, [Int])], config: String? = nil) throws -> TensorStore {
        let descriptors = try tensors.map {
            try TensorDescriptor(name: TensorName($0.0), dtype: $0.1, shape: Shape($0.2))
        }
        let path = folder.file("model.safetensors")
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: path, declaring: descriptors, options: WriteOptions(force: true, sync: false))
        try write(descriptors.map { [UInt8](repeating: 0, count: $0.byteCount) }, with: writer)
        if let config { _ = try folder.write(Array(config.utf8), to: "config.json") }
        var options = ReadOptions()
        options.keepsParts = true
        return try TensorStore(opening: path, options: options)
    }

    @Test(arguments: layouts) func knowsThePartsOf(layout: Layout) throws {
        let quantization = try #require(
            Quantization(of: try open(layout.parts + layout.others, config: layout.config)))
        #expect(quantization.scheme.name == layout.scheme)
        #expect(quantization.parts == Set(layout.parts.map { TensorName($0.0) }))
        #expect(quantization.scheme.remedy.contains("quantised from"))
    }

    @Test(arguments: [
        // Weights in 8 bits without scales are their own values.
        [("l.0.q.weight", DType.f8E4M3, [8, 8]), ("l.0.n.weight", .bf16, [8])],
        // Buffers: masks, positions, counters.
        [("h.0.attn.bias", .u8, [1, 1, 4, 4]), ("position_ids", .i32, [1, 4]), ("bn.num_batches_tracked", .i64, [])],
        [("logit_scale", .f32, []), ("relative_position_index", .i32, [4, 4]), ("ids", .i32, [4])],
        [("w", .f32, [2, 2]), ("w_scale", .f32, [2])],
        [("tok", .i32, [4]), ("tok_shape", .i64, [1]), ("tok_scale", .f32, [])],
        [("tok", .i32, [4, 4]), ("tok_shape", .i64, [2])],
        // A weight that is masked.
        [("l.0.weight", .f32, [8, 8]), ("l.0.mask", .u8, [8, 8]), ("l.0.gain", .f32, [8])],
        // Casts, of all tensors or of matrices.
        [("visual.proj", .f8E4M3, [8, 8]), ("logit_scale", .f8E4M3, [1]), ("visual.ln.scale", .f8E4M3, [8])],
        [
            ("proj", .f8E4M3, [8, 8]), ("logit_scale", .bf16, []), ("norm.scale", .bf16, [8]),
            ("proj_bias", .bf16, [8]),
        ],
    ]) func leavesOthersAlone(tensors: [(String, DType, [Int])]) throws {
        #expect(Quantization(of: try open(tensors)) == nil)
    }

    /// Tensors that all lie in one module, as in files without dots, take no time that grows with the square of their number.
    @Test(.timeLimit(.minutes(1)), arguments: [DType.f8E4M3, .i32]) func flatNamesTakeNoTime(dtype: DType) throws {
        let count = 30_000
        let tensors = try (0..<count).map { place in
            (
                descriptor: try TensorDescriptor(name: TensorName("t\(place)"), dtype: dtype, shape: [1, 1]),
                data: try AlignedBuffer(byteCount: dtype.bitWidth / 8)
            )
        }
        #expect(Quantization(of: TensorStore(MemoryCheckpoint(tensors: tensors))) == nil)
    }

    /// A model that was dequantised and kept its configuration has nothing to be careful about.
    @Test func aConfigurationAloneIsNoQuantisation() throws {
        let config = #"{"quantization_config": {"quant_method": "gptq", "bits": 4}}"#
        #expect(Quantization(of: try open([("l.0.q.weight", .bf16, [8, 8])], config: config)) == nil)
    }
}

@Suite struct AdapterNamesTests {
    @Test(arguments: [
        ("base_model.model.q.lora_A.weight", true), ("base_model.model.q.lora_B.default.weight", true),
        ("base_model.model.embed.lora_embedding_A", true), ("base_model.model.q.lora_magnitude_vector", true),
        ("lora_unet_down_blocks_0.lora_up.weight", true), ("unet.q.lora.up.weight", true),
        ("transformer.q.hada_w1_a", true), ("base_model.model.k.ia3_l", true), ("model.layers.0.q.weight", false),
        ("explora.weight", false),
        ("layers.0.q.lora_a", true), ("unet.attn.processor.to_q_lora.down.weight", true), ("q.boft_R", true),
    ]) func knowsFactors(name: String, isFactor: Bool) {
        #expect(AdapterNames.isFactor(name) == isFactor)
    }

    /// Only what is worked on matters.
    @Test func factorsThatAreLeftOutAreNoHindrance() throws {
        let names: [TensorName] = ["a.lora_A.weight", "b.lora_A.weight", "c.weight"]
        let tensors = try names.map {
            (descriptor: try TensorDescriptor(name: $0, dtype: .f32, shape: [1]), data: try AlignedBuffer(byteCount: 4))
        }
        let store = TensorStore(MemoryCheckpoint(tensors: tensors))
        #expect(throws: Never.self) { try WeightsError.check([("x", store)], of: ["c.weight"]) }
        let error = #expect(throws: WeightsError.self) {
            try WeightsError.check([("x", store)], of: ["b.lora_A.weight", "c.weight"])
        }
        #expect(error?.tensor == "b.lora_A.weight")
    }
}
