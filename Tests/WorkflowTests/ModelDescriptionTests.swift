import Checkpoints
import ModelFolders
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Names and shapes as the libraries write them, small: `N` stands for the numbers of layers.
@Suite struct ModelDescriptionTests {
    private let folder = TemporaryFolder()

    struct Layout: CustomTestStringConvertible, Sendable {
        let file: String
        let layers: Int
        let tensors: [(String, [Int])]
        var config: String?
        /// The line about it.
        let phrase: String
        var testDescription: String { phrase }
    }

    private static let llama: [(String, [Int])] = [
        ("model.embed_tokens.weight", [11, 8]), ("model.layers.N.input_layernorm.weight", [8]),
        ("model.layers.N.post_attention_layernorm.weight", [8]),
        ("model.layers.N.self_attn.q_proj.weight", [8, 8]), ("model.layers.N.self_attn.k_proj.weight", [4, 8]),
        ("model.layers.N.mlp.gate_proj.weight", [16, 8]), ("model.norm.weight", [8]), ("lm_head.weight", [11, 8]),
    ]
    private static let mixtral: [(String, [Int])] =
        llama.filter { !$0.0.contains("mlp") } + [
            ("model.layers.N.block_sparse_moe.gate.weight", [4, 8]),
            ("model.layers.N.block_sparse_moe.experts.0.w1.weight", [16, 8]),
        ]
    private static let timm: [(String, [Int])] = [
        ("cls_token", [1, 1, 8]), ("pos_embed", [1, 10, 8]), ("patch_embed.proj.weight", [8, 3, 4, 4]),
        ("blocks.N.norm1.weight", [8]), ("blocks.N.attn.qkv.weight", [24, 8]), ("norm.weight", [8]),
    ]

    static let layouts = [
        Layout(
            file: "m", layers: 3, tensors: llama,
            phrase: "llama family, 3 layers, width 8, vocabulary 11 (by the names of its tensors)"),
        Layout(
            file: "m", layers: 3, tensors: llama,
            config:
                #"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 3, "#
                + #""num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 11}"#,
            phrase: "LlamaForCausalLM, 3 layers, width 8, 4 heads (2 of keys and values), vocabulary 11"),
        Layout(
            file: "m", layers: 2, tensors: mixtral,
            phrase: "llama family, 2 layers, width 8, vocabulary 11, 4 experts (by the names of its tensors)"),
        Layout(
            file: "m", layers: 2, tensors: mixtral,
            config: #"{"architectures": ["MixtralForCausalLM"], "hidden_size": 8, "num_hidden_layers": 2, "#
                + #""num_attention_heads": 1, "num_local_experts": 4, "num_experts_per_tok": 2}"#,
            phrase: "MixtralForCausalLM, 2 layers, width 8, 1 head, vocabulary 11, 4 experts (2 at a time)"),
        // A part of a model whose other parts lie elsewhere.
        Layout(
            file: "model-00001-of-00002", layers: 2, tensors: llama,
            config: #"{"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_hidden_layers": 5}"#,
            phrase: "LlamaForCausalLM, 2 of 5 layers, width 8, vocabulary 11"),
        // Text and images: the language model counts, whose sizes have a section of their own.
        Layout(
            file: "m", layers: 2,
            tensors: llama.map { ("language_model.\($0.0)", $0.1) } + [
                ("vision_tower.vision_model.encoder.layers.N.layer_norm1.weight", [6]),
                ("vision_tower.vision_model.pre_layrnorm.weight", [6]),
            ],
            config: #"{"architectures": ["LlavaForConditionalGeneration"], "text_config": {"hidden_size": 8, "#
                + #""num_hidden_layers": 2}, "vision_config": {"hidden_size": 6, "num_hidden_layers": 2}}"#,
            phrase: "LlavaForConditionalGeneration, 2 layers, width 8, vocabulary 11"),
        Layout(
            file: "m", layers: 2, tensors: timm,
            config:
                #"{"architecture": "vit_tiny_patch16_224", "num_features": 8, "model_args": {"depth": 2, "embed_dim": 8, "#
                + #""num_heads": 4}}"#,
            phrase: "vit_tiny_patch16_224, 2 layers, width 8, 4 heads"),
        // Names of which there is no list: the configuration speaks for them where a stack of layers and a width agree with it.
        Layout(
            file: "m", layers: 2,
            tensors: [("backbone.layers.N.mixer.A_log", [8]), ("backbone.embeddings.weight", [9, 8])],
            config:
                #"{"architectures": ["MambaForCausalLM"], "hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 9}"#,
            phrase: "MambaForCausalLM, 2 layers, width 8, vocabulary 9"),
        Layout(
            file: "m", layers: 2,
            tensors: [
                ("wte.weight", [9, 8]), ("wpe.weight", [5, 8]), ("h.N.ln_1.weight", [8]),
                ("h.N.attn.c_attn.weight", [8, 24]),
            ], phrase: "GPT-2, 2 layers, width 8, vocabulary 9 (by the names of its tensors)"),
        Layout(
            file: "m", layers: 2,
            tensors: [
                ("gpt_neox.embed_in.weight", [9, 8]), ("gpt_neox.layers.N.input_layernorm.weight", [8]),
                ("gpt_neox.layers.N.post_attention_layernorm.weight", [8]),
            ], phrase: "GPT-NeoX, 2 layers, width 8, vocabulary 9 (by the names of its tensors)"),
        Layout(
            file: "m", layers: 2,
            tensors: [
                ("shared.weight", [9, 8]), ("encoder.block.N.layer.0.layer_norm.weight", [8]),
                ("decoder.block.N.layer.0.layer_norm.weight", [8]),
            ], phrase: "T5, encoder of 2 layers, width 8, vocabulary 9 (by the names of its tensors)"),
    ]

    private func store(_ layout: Layout) throws -> TensorStore {
        let tensors = layout.tensors.flatMap { name, shape -> [TestTensor] in
            let numbers = name.contains("N") && name.contains(".N.") ? Array(0..<layout.layers) : [0]
            return numbers.map { number in
                let name = name.split(separator: ".").map { $0 == "N" ? "\(number)" : String($0) }
                return TestTensor(
                    TensorName(name.joined(separator: ".")), shape,
                    [Float](repeating: 1, count: shape.reduce(1, *)))
            }
        }
        let path = try folder.checkpoint("\(layout.file).safetensors", tensors)
        if let config = layout.config { try folder.write(config, to: "config.json") }
        return try TensorStore(opening: path)
    }

    private func description(_ layout: Layout) throws -> ModelDescription? {
        var warnings: [Warning] = []
        let description = ModelDescription(of: try store(layout)) { warnings.append($0) }
        #expect(warnings == [])
        return description
    }

    @Test(arguments: layouts) func saysWhatAModelIs(layout: Layout) throws {
        #expect(try description(layout)?.phrase == layout.phrase)
    }

    /// Networks that the libraries wrote themselves, with their configurations.
    @Test(arguments: [
        ("bert-cls-prefixed", "BertForSequenceClassification, 2 layers, width 32, 4 heads, vocabulary 60"),
        ("distilbert-mean", "DistilBertModel, 2 layers, width 32, 4 heads, vocabulary 60"),
        ("hf-clip-full", "CLIPModel, image tower of 2 layers, width 32, 4 heads"),
        ("hf-clip-vision", "CLIPVisionModelWithProjection, 2 layers, width 32, 4 heads"),
        ("hf-dinov2", "Dinov2Model, 2 layers, width 32, 4 heads"),
        ("hf-vit-classifier", "ViTForImageClassification, 2 layers, width 32, 4 heads"),
        ("openclip-full", "OpenCLIP, image tower of 2 layers, width 32 (by the names of its tensors)"),
        ("roberta-mean-prefixed", "RobertaForSequenceClassification, 2 layers, width 32, 4 heads, vocabulary 60"),
        ("timm-deit-distilled", "deit_tiny_distilled_patch16_224, 2 layers, width 32, 4 heads"),
        ("timm-vit-registers", "vit_tiny_patch16_224, 2 layers, width 32, 4 heads"),
    ]) func knowsWhatLibrariesWrite(network: String, phrase: String) throws {
        let lines = try MappedFile(Fixtures.folder.appending("networks/names/\(network).txt"))
            .withUnsafeBytes { String(decoding: $0, as: UTF8.self) }.split(separator: "\n")
        let tensors = lines.map { line in
            let parts = line.split(separator: " ")
            return (String(parts[0]), parts.dropFirst().compactMap { Int($0) })
        }
        let config = Fixtures.folder.appending("networks/names/\(network).json")
        let text =
            fileExists(config) ? try MappedFile(config).withUnsafeBytes { String(decoding: $0, as: UTF8.self) } : nil
        #expect(
            try description(Layout(file: "m", layers: 0, tensors: tensors, config: text, phrase: phrase))?.phrase
                == phrase)
    }

    /// The head of a classifier beside the configuration of a backbone, a checkpoint of another depth or width.
    @Test func doesNotTakeTheConfigurationOfAnotherFile() throws {
        let config = #"{"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_hidden_layers": 3}"#
        let head = Layout(
            file: "head", layers: 0, tensors: [("weight", [10, 8]), ("bias", [10])], config: config, phrase: "")
        #expect(try description(head) == nil)
        let byNames = "llama family, 4 layers, width 8, vocabulary 11 (by the names of its tensors)"
        #expect(
            try description(Layout(file: "m", layers: 4, tensors: Self.llama, config: config, phrase: ""))?.phrase
                == byNames)
        let wider = config.split(separator: "8").joined(separator: "9")
        #expect(
            try description(Layout(file: "m", layers: 3, tensors: Self.llama, config: wider, phrase: ""))?.config == nil
        )
    }

    /// Numbers that no size can be are as good as none.
    @Test(arguments: [
        #"{"hidden_size": -8, "num_hidden_layers": "3", "vocab_size": 1e99, "num_attention_heads": 99999999999999999999}"#,
        #"{"hidden_size": [8], "num_hidden_layers": {}, "architectures": {"a": 1}, "text_config": []}"#,
        #"{"hidden_size": 8, "num_attention_heads": 0, "num_key_value_heads": -9223372036854775808, "architectures": [3]}"#,
        "{}",
    ]) func wrongNumbersAreNotThere(config: String) throws {
        let description = try description(
            Layout(file: "m", layers: 3, tensors: Self.llama, config: config, phrase: ""))
        #expect(description?.phrase.hasPrefix("llama family, 3 layers, width 8, vocabulary 11") == true)
        #expect(description?.heads == nil)
    }

    @Test(arguments: ["", "{", "[]", "3", "{\"a\": 1, \"a\": 2}", "\u{FF}"]) func brokenConfigurationsAreToldOf(
        config: String
    ) throws {
        var warnings: [Warning] = []
        let store = try store(Layout(file: "m", layers: 3, tensors: Self.llama, config: config, phrase: ""))
        #expect(ModelDescription(of: store) { warnings.append($0) }?.layers == 3)
        #expect(warnings.map(\.code) == ["folder.config"])
    }

    @Test func adaptersHaveARankAndABase() throws {
        let name = "base_model.model.model.layers.N.self_attn"
        let tensors = [
            ("\(name).q_proj.lora_A.weight", [4, 8]), ("\(name).q_proj.lora_B.weight", [8, 4]),
            ("\(name).v_proj.lora_A.weight", [4, 8]), ("\(name).v_proj.lora_B.weight", [8, 4]),
        ]
        let same = Layout(file: "adapter_model", layers: 2, tensors: tensors, phrase: "")
        #expect(try description(same)?.phrase == "LoRA adapter of rank 4")
        try folder.write(
            #"{"peft_type": "LORA", "r": 4, "base_model_name_or_path": "org/base"}"#, to: "adapter_config.json")
        #expect(try description(same)?.phrase == "LoRA adapter of rank 4 for org/base")
        let several = Layout(
            file: "adapter_model", layers: 2, tensors: tensors + [("\(name).k_proj.lora_A.weight", [2, 8])], phrase: "")
        #expect(try description(several)?.adapter?.ranks == 2...4)
    }

    @Test func quantisedWeightsAreNamed() throws {
        let path = try folder.checkpoint(
            "q.safetensors",
            [
                TestTensor("model.embed_tokens.weight", [11, 8], .init(repeating: 1, count: 88)),
                TestTensor("model.layers.0.input_layernorm.weight", [8], .init(repeating: 1, count: 8)),
                TestTensor("model.layers.0.post_attention_layernorm.weight", [8], .init(repeating: 1, count: 8)),
                TestTensor("model.layers.0.self_attn.q_proj.weight", .f8E4M3, [8, 8], .init(repeating: 0, count: 64)),
                TestTensor("model.layers.0.self_attn.q_proj.weight_scale_inv", [1, 1], [1]),
            ])
        var options = ReadOptions()
        options.keepsParts = true
        let description = ModelDescription(of: try TensorStore(opening: path, options: options)) { _ in }
        #expect(
            description?.phrase
                == "llama family, 1 layer, width 8, vocabulary 11, quantised (fp8) (by the names of its tensors)")
    }

    @Test func nothingIsSaidOfWhatIsNotKnown() throws {
        #expect(
            try description(
                Layout(file: "m", layers: 2, tensors: [("layers.N.w", [8, 8]), ("layers.N.norm", [8])], phrase: ""))
                == nil)
    }
}
