import Checkpoints
import Experts
import Networks
import SystemPackage
import TensorCore
import Work
import Testing
import TestSupport
import Transcoding

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
                ["embeddings.cls_token", "embeddings.patch_embeddings.projection.weight"]
                    + ["encoder.layer.0.attention.attention.query.weight"], "Hugging Face's ViT"
            ),
            (
                [
                    "vit.embeddings.patch_embeddings.projection.bias",
                    "vit.embeddings.patch_embeddings.projection.weight",
                ]
                    + ["vit.encoder.layer.0.attention.attention.query.weight", "classifier.weight"],
                "Hugging Face's ViT"
            ),
            (
                ["deit.embeddings.distillation_token", "deit.embeddings.patch_embeddings.projection.weight"]
                    + ["deit.encoder.layer.0.attention.attention.query.weight"], "Hugging Face's DeiT"
            ),
            (
                ["embeddings.mask_token", "embeddings.patch_embeddings.projection.weight"]
                    + [
                        "encoder.layer.0.attention.attention.query.weight", "encoder.layer.0.layer_scale1.lambda1",
                    ], "Hugging Face's DINOv2"
            ),
            (
                ["vision_model.embeddings.class_embedding", "vision_model.encoder.layers.0.self_attn.q_proj.weight"],
                "Hugging Face's CLIP"
            ),
            (
                ["logit_scale", "text_model.encoder.layers.0.self_attn.q_proj.weight"]
                    + ["vision_model.encoder.layers.0.self_attn.q_proj.weight", "visual_projection.weight"],
                "Hugging Face's CLIP, images and text"
            ),
            (
                ["vision_model.embeddings.patch_embedding.bias", "vision_model.head.probe"]
                    + ["vision_model.encoder.layers.0.self_attn.q_proj.weight"], "Hugging Face's SigLIP"
            ),
            (
                ["vision_model.head.probe", "vision_model.encoder.layers.0.self_attn.q_proj.weight"],
                "Hugging Face's SigLIP"
            ),
            (["dinov2.encoder.layer.0.attention.attention.query.weight"], "a Hugging Face vision transformer"),
            (
                ["visual.class_embedding", "visual.transformer.resblocks.0.attn.in_proj_weight", "visual.proj"],
                "OpenAI's and OpenCLIP's CLIP"
            ),
            (
                ["token_embedding.weight", "transformer.resblocks.0.attn.in_proj_weight"]
                    + ["visual.conv1.weight", "visual.transformer.resblocks.0.attn.in_proj_weight"],
                "OpenAI's and OpenCLIP's CLIP, images and text"
            ),
            (["bert.encoder.layer.0.attention.self.query.weight"], "Hugging Face's BERT"),
            (["roberta.encoder.layer.0.attention.self.query.weight"], "Hugging Face's RoBERTa"),
            (["encoder.layer.0.attention.self.query.weight"], "Hugging Face's BERT or RoBERTa"),
            (["distilbert.transformer.layer.0.attention.q_lin.weight"], "Hugging Face's DistilBERT"),
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
        #expect(error.message.contains("only vision transformers with timm's names"))
        #expect(error.hint?.hasPrefix("merge, vectors, diff and convert take models of any kind") == true)
        // No rename makes one tensor of three, so none is offered.
        #expect(error.hint?.contains("=>") == false)
    }

    /// What merging takes are models.
    @Test func anAdapterIsNoModel() throws {
        let error = try error([
            TestTensor("base_model.model.encoder.layer.0.attention.self.query.lora_A.weight", [1], [1])
        ])
        #expect(error.message.contains("has the tensor names of an adapter (LoRA)"))
        #expect(error.hint == "put it into its base with merge_and_unload() of PEFT, and give the result")
    }

    @Test func theConfigurationSaysMore() throws {
        let name: TensorName = "encoder.layer.0.attention.self.query.weight"
        let known = try error([TestTensor(name, [1], [1])], config: #"{"model_type": "xlm-roberta"}"#)
        #expect(known.message.contains("model_type \"xlm-roberta\""))
        let unknown = try error([TestTensor("x", [1], [1])], config: #"{"architectures": ["MambaForCausalLM"]}"#)
        #expect(unknown.code == "input.missing_tensor")
        #expect(unknown.message.contains("its configuration says \"MambaForCausalLM\""))
    }

    /// With `module.` or `visual.trunk.` before them, timm's names are one rename away.
    @Test(arguments: [("module.", false), ("visual.trunk.", true)])
    func aPrefixIsTakenAwayByTheRenameOfTheHint(prefix: String, isPart: Bool) throws {
        let base = Fixtures.path("suites/tiny/base.safetensors")
        var prefixed = try tensors(of: base)
        for index in prefixed.indices { prefixed[index].name = TensorName(prefix + prefixed[index].name.text) }
        if isPart { prefixed.append(TestTensor("text.ln_final.weight", [1], [1])) }
        let error = try error(prefixed)
        #expect(error.code == "input.missing_tensor")
        #expect(error.message.contains("timm's names behind \"\(prefix)\""))
        let hint = try #require(error.hint)
        let rule = try #require(hint.split(separator: "'").last { $0.contains("=>") })
        #expect(hint.contains("--only '\(prefix)*'") == isPart)

        var options = ConversionOptions()
        options.renames = [try TensorRename(String(rule))]
        if isPart { options.selection = TensorSelection(only: ["\(prefix)*"]) }
        let store = try TensorStore(opening: folder.file("model.safetensors"))
        let plan = try ConversionPlan(of: store, to: try .test(folder.file("renamed.safetensors")), options: options)
        _ = try Conversion(plan, of: store).run(in: testContext)
        let renamed = try TensorStore(opening: folder.file("renamed.safetensors"))
        let backbone = try Backbone(of: renamed, config: Fixtures.path("suites/tiny/config.json"))
        #expect(try backbone.values(of: renamed) == backbone.values(of: TensorStore(opening: base)))
    }

    @Test(
        arguments: [
            ("blocks.0.ls1.gamma", "layer scale"), ("reg_token", "register tokens"),
            ("dist_token", "a distillation token"), ("attn_pool.latent", "attention pooling"),
            ("blocks.1.attn.q_norm.weight", "normed queries"),
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
            "expert.safetensors", [TestTensor("bert.encoder.layer.0.attention.self.query.weight", [1], [1])])
        let error = try #require(throws: InputError.self) {
            _ = try ExpertSet(base: suite.base, experts: [suite.files(suite.tasks[0]), foreign])
        }
        #expect(error.file == foreign.checkpoint.string)
        #expect(error.message.contains("Hugging Face's BERT"))
    }
}
