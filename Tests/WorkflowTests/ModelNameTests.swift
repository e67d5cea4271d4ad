import Checkpoints
import Experts
import Networks
import SystemPackage
import TensorCore
import Work
import Testing
import TestSupport

/// Models whose tensors have other names than a backbone's, and other files that are given for one.
@Suite struct ModelNameTests {
    private let folder = TemporaryFolder()

    private func error(_ tensors: [TestTensor], config: String? = nil) throws -> InputError {
        let path = try folder.checkpoint("model.safetensors", tensors)
        if let config { try folder.write(config, to: "config.json") }
        return try #require(throws: InputError.self) { _ = try Backbone(of: TensorStore(opening: path)) }
    }

    /// Names as transformers, OpenCLIP, torchvision, timm and PEFT write them.
    @Test(
        arguments: [
            (
                ["embeddings.mask_token", "embeddings.patch_embeddings.projection.weight", "encoder.layer.0.lambda_1"],
                "Hugging Face's BEiT"
            ),
            (["ijepa.encoder.layer.0.attention.attention.query.weight"], "a Hugging Face vision transformer"),
            (["text_model.encoder.layers.0.self_attn.q_proj.weight"], "the text half of Hugging Face's CLIP"),
            (
                ["token_embedding.weight", "transformer.resblocks.0.attn.in_proj_weight"],
                "the text half of OpenAI's and OpenCLIP's CLIP"
            ),
            (["visual.layer1.0.conv1.weight", "visual.attnpool.c_proj.weight"], "CLIP with a ResNet"),
            (["deberta.encoder.layer.0.attention.self.query_proj.weight"], "Hugging Face's DeBERTa"),
            (["encoder.layer.0.attention.attn.q.weight"], "Hugging Face's MPNet"),
            (["encoder.block.0.layer.0.SelfAttention.q.weight"], "Hugging Face's T5"),
            (["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"], "a Hugging Face language model"),
            (["transformer.h.0.attn.c_attn.weight"], "Hugging Face's GPT-2"),
            (["class_token", "encoder.layers.encoder_layer_0.self_attention.in_proj_weight"], "torchvision's ViT"),
            (["patch_embed.proj.weight", "layers.0.blocks.0.attn.qkv.weight"], "a Swin transformer"),
            (["conv1.weight", "layer1.0.conv1.weight"], "a ResNet"),
        ] as [([String], String)])
    func areSaidToBeWhoseTheyAre(names: [String], family: String) throws {
        let error = try error(names.map { TestTensor(TensorName($0), [1], [1]) })
        #expect(error.code == "input.missing_tensor")
        #expect(error.message.contains("has the tensor names of \(family) (\""), "\(error.message)")
        #expect(error.message.contains("which is not computed"))
        let hint = try #require(error.hint)
        #expect(hint.hasSuffix("merge, vectors, diff and convert take models of any kind"))
        // All that was looked for.
        for name in ["timm's ViT", "Hugging Face's CLIP", "OpenAI's and OpenCLIP's CLIP", "Hugging Face's DistilBERT"] {
            #expect(hint.contains("\(name) ("), "\(name)")
        }
        #expect(hint.contains("Hugging Face's BERT (encoder.layer.0.attention.self.query.weight)"))
    }

    /// The first block of a ViT has 12 weights with those outside of blocks, of which one is away.
    @Test func theNearestModelIsNamedWithWhatIsMissing() throws {
        let network = Fixtures.path("networks/hf-vit-classifier/base.safetensors")
        let error = try error(
            try tensors(of: network).filter { $0.name != "vit.encoder.layer.0.layernorm_before.weight" })
        #expect(
            error.message.hasSuffix(
                "nearest is Hugging Face's ViT, of which it has 11 of the 12 tensors looked for: the first missing is "
                    + "\"vit.encoder.layer.0.layernorm_before.weight\""), "\(error.message)")
        #expect(error.tensor == "vit.encoder.layer.0.layernorm_before.weight")
    }

    /// BERT's and RoBERTa's tensors have the same names.
    @Test func theConfigurationTellsWhatNamesDoNot() throws {
        let network = try tensors(of: Fixtures.path("networks/bert-mean/base.safetensors"))
        let none = try error(network, config: #"{"num_attention_heads": 4}"#)
        #expect(none.code == "input.bad_config")
        #expect(none.message.contains("has no \"model_type\", and several families have the tensor names of"))
        let other = try error(network, config: #"{"model_type": "xlm-roberta-xl", "num_attention_heads": 4}"#)
        #expect(
            other.message
                == "model_type \"xlm-roberta-xl\" is not supported with the tensor names of Hugging Face's BERT")
        #expect(other.hint?.contains("\"bert\", \"roberta\", \"xlm-roberta\"") == true)
        #expect(other.file == folder.file("config.json").string)
    }

    /// What merging takes are models.
    @Test func anAdapterIsNoModel() throws {
        let error = try error([
            TestTensor("base_model.model.encoder.layer.0.attention.self.query.lora_A.weight", [1], [1])
        ])
        #expect(error.message.contains("has the tensor names of an adapter (LoRA)"))
        #expect(error.hint == "write its base in front of it: BASE+ADAPTER")
    }

    @Test func theConfigurationSaysMore() throws {
        let name: TensorName = "encoder.block.0.layer.0.SelfAttention.q.weight"
        let known = try error([TestTensor(name, [1], [1])], config: #"{"model_type": "umt5"}"#)
        #expect(known.message.contains("model_type \"umt5\""))
        let unknown = try error([TestTensor("x", [1], [1])], config: #"{"architectures": ["MambaForCausalLM"]}"#)
        #expect(unknown.code == "input.missing_tensor")
        #expect(unknown.message.contains("its configuration says \"MambaForCausalLM\""))
    }

    /// Behind `module.` or `visual.trunk.`, in base or expert.
    @Test(arguments: ["module.", "visual.trunk."]) func modelsAreFoundBehindAPrefix(prefix: String) throws {
        let base = Fixtures.path("suites/tiny/base.safetensors")
        var prefixed = try tensors(of: base)
        for index in prefixed.indices { prefixed[index].name = TensorName(prefix + prefixed[index].name.text) }
        prefixed.append(TestTensor("text.ln_final.weight", [1], [1]))
        let store = try TensorStore(opening: try folder.checkpoint("model.safetensors", prefixed))
        let config = Fixtures.path("suites/tiny/config.json")
        let (backbone, plain) = (try Backbone(of: store, config: config), try Backbone(of: TensorStore(opening: base)))
        let expected = try plain.values(of: TensorStore(opening: base))
        #expect(try backbone.values(of: store) == expected)
        #expect(try plain.values(of: store) == expected)
        #expect(try backbone.values(of: TensorStore(opening: base)) == expected)
    }

    @Test func twoModelsInOneFileAreNotChosenFrom() throws {
        let base = try tensors(of: Fixtures.path("suites/tiny/base.safetensors"))
        let both = ["student.", "teacher."].flatMap { prefix in
            base.map { TestTensor(TensorName(prefix + $0.name.text), $0.dtype, $0.shape.dims, $0.bytes) }
        }
        let error = try error(both)
        #expect(error.code == "input.bad_config")
        #expect(error.message.hasSuffix("holds several models: \"student.\", \"teacher.\""))
        #expect(error.hint?.contains("--only 'student.*'") == true)
    }

    @Test(
        arguments: [
            ("attn_pool.latent", "attention pooling"), ("blocks.1.attn.q_norm.weight", "normed queries"),
            ("blocks.0.gamma_1", "layer scale of BEiT"), ("blocks.0.attn.q_bias", "biases of its own for q and v"),
        ] as [(TensorName, String)])
    func partsThatAreNotComputedAreNamed(name: TensorName, part: String) throws {
        let base = try tensors(of: Fixtures.path("suites/tiny/base.safetensors"))
        // Before anything is said of a configuration that is not there.
        let error = try error(base + [TestTensor(name, [1], [1])])
        #expect(error.code == "input.bad_config")
        #expect(error.tensor == name.text)
        #expect(error.message.contains("has \(part) (\"\(name)\")"))
    }

    @Test func headsAndImagesAreNoModels() throws {
        let head = try error([TestTensor("weight", [1, 2], [1, 2]), TestTensor("bias", [1], [1])])
        #expect(head.message.hasSuffix("model.safetensors holds a head, and a model is needed"))
        #expect(head.hint?.contains("swapped") == true)
        let images = try error([TestTensor("images", .u8, [1, 1, 2], [0, 0])])
        #expect(images.message.hasSuffix("model.safetensors holds images, and a model is needed"))
    }

    /// An expert with other names is found out when it is opened, not when its turn comes.
    @Test func expertsAreLookedAtBeforeAnyIsAdapted() throws {
        let suite = try PipelineSuite("tiny")
        var foreign = suite.files(suite.tasks[1])
        foreign.checkpoint = try folder.checkpoint(
            "expert.safetensors", [TestTensor("encoder.layer.0.attention.self.query_proj.weight", [1], [1])])
        let error = try #require(throws: InputError.self) {
            _ = try ExpertSet(base: suite.base, experts: [suite.files(suite.tasks[0]), foreign])
        }
        #expect(error.file == foreign.checkpoint.string)
        #expect(error.message.contains("Hugging Face's DeBERTa"))
        // A model that is computed, but not the base's.
        foreign.checkpoint = Fixtures.path("networks/bert-mean/base.safetensors")
        let other = try #require(throws: InputError.self) {
            _ = try ExpertSet(base: suite.base, experts: [suite.files(suite.tasks[0]), foreign])
        }
        #expect(
            other.message.hasSuffix("has the tensor names of Hugging Face's BERT, and those of timm's ViT are needed"))
    }
}
