import Checkpoints
import TensorCore

/// A kind of model that is known by the names of its tensors and that is not computed, so that an error can say whose they are.
struct ModelFamily: Sendable {
    /// What a message calls such a model.
    let name: String
    /// Tensors that tell it: ends of names, whatever module they lie in. All must be there.
    private let marks: [String]
    /// Whether it is a change to a model rather than one.
    let isAdapter: Bool

    private init(_ name: String, _ marks: String..., isAdapter: Bool = false) {
        (self.name, self.marks, self.isAdapter) = (name, marks, isAdapter)
    }

    /// The family of a checkpoint and the name that tells it; nil when it is none of the known ones.
    static func of(_ names: [TensorName]) -> (family: ModelFamily, evidence: TensorName)? {
        func tensor(_ mark: String) -> TensorName? {
            names.first { name in
                guard name.text.utf8.count > mark.utf8.count else { return name.text == mark }
                return name.text.hasSuffix("." + mark)
            }
        }
        for family in all {
            let found = family.marks.compactMap(tensor)
            if found.count == family.marks.count, let evidence = found.first { return (family, evidence) }
        }
        return nil
    }

    /// The special before the general: the first whose marks are all there counts.
    private static let all: [ModelFamily] = [
        ModelFamily("an adapter (LoRA)", "lora_A.weight", isAdapter: true),
        ModelFamily("an adapter (LoRA)", "lora_A.default.weight", isAdapter: true),
        // Hugging Face, images.
        ModelFamily("Hugging Face's BEiT", "encoder.layer.0.lambda_1"),
        ModelFamily("a Hugging Face vision transformer", "encoder.layer.0.attention.attention.query.weight"),
        ModelFamily("a Hugging Face vision model", "embeddings.patch_embeddings.projection.weight"),
        ModelFamily("the text half of Hugging Face's CLIP", "text_model.encoder.layers.0.self_attn.q_proj.weight"),
        // OpenAI and OpenCLIP.
        ModelFamily("CLIP with a ResNet", "visual.layer1.0.conv1.weight"),
        ModelFamily(
            "the text half of OpenAI's and OpenCLIP's CLIP", "transformer.resblocks.0.attn.in_proj_weight"),
        // Hugging Face, text and sound.
        ModelFamily("Hugging Face's DeBERTa", "encoder.layer.0.attention.self.query_proj.weight"),
        ModelFamily("Hugging Face's MPNet", "encoder.layer.0.attention.attn.q.weight"),
        ModelFamily("Hugging Face's T5", "encoder.block.0.layer.0.SelfAttention.q.weight"),
        ModelFamily("Hugging Face's GPT-2", "h.0.attn.c_attn.weight"),
        ModelFamily("Hugging Face's Whisper", "encoder.layers.0.self_attn.q_proj.weight", "encoder.conv1.weight"),
        ModelFamily("a Hugging Face language model", "layers.0.self_attn.q_proj.weight", "embed_tokens.weight"),
        ModelFamily("a Hugging Face language model", "layers.0.self_attn.qkv_proj.weight", "embed_tokens.weight"),
        ModelFamily("a Hugging Face language model", "layers.0.attention.query_key_value.weight"),
        // Others.
        ModelFamily("torchvision's ViT", "encoder.layers.encoder_layer_0.self_attention.in_proj_weight"),
        ModelFamily("a Swin transformer", "layers.0.blocks.0.attn.qkv.weight"),
        ModelFamily("a Swin transformer", "layers.0.blocks.0.attention.self.query.weight"),
        ModelFamily("a ConvNeXt", "stages.0.blocks.0.conv_dw.weight"),
        ModelFamily("a ConvNeXt", "stages.0.layers.0.dwconv.weight"),
        ModelFamily("a ResNet", "layer1.0.conv1.weight"),
        ModelFamily("a ResNet", "encoder.stages.0.layers.0.layer.0.convolution.weight"),
        ModelFamily("a diffusion model", "down_blocks.0.resnets.0.conv1.weight"),
        ModelFamily("a diffusion model", "input_blocks.0.0.weight"),
    ]
}
