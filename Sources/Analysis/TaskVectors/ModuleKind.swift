import TensorCore

/// What a tensor does in a network, by the names of timm's and Hugging Face's vision transformers, CLIP, BERT, RoBERTa, DistilBERT,
/// LLaMA, Mistral, Qwen, Mixtral, GPT-2, GPT-NeoX and T5, and by those of GGUF.
public enum ModuleKind: String, Sendable, CaseIterable {
    case attention, mlp, norm, embedding, head, other

    /// Looks the words of a name up, in the order of the table: a norm inside of an attention block is a norm.
    public init(_ name: TensorName) {
        let words = name.text.lowercased().split(separator: ".").map(String.init)
        self =
            Self.table.first { _, rules in words.contains { word in rules.contains { $0.fits(word) } } }?.kind ?? .other
        // CLIP's last projections have no module of their own.
        if self == .other, words.last == "proj" { self = .head }
        if words.suffix(2) == ["conv1", "weight"], words.first == "visual" { self = .embedding }
        // GGUF's head and T5's table of tokens stand alone, where the same words are a layer's in BERT and a part of MLPs in mixtures.
        if words == ["output", "weight"] || words == ["output", "bias"] { self = .head }
        if words == ["shared", "weight"] { self = .embedding }
    }

    private enum Rule: ExpressibleByStringLiteral {
        case word(String)
        case part(String)
        case start(String)

        init(stringLiteral word: String) { self = .word(word) }

        func fits(_ word: String) -> Bool {
            switch self {
            case .word(let other): word == other
            case .part(let part): word.contains(part)
            case .start(let start): word.hasPrefix(start)
            }
        }
    }

    private static let table: [(kind: ModuleKind, rules: [Rule])] = [
        (.norm, [.part("norm"), .part("layrnorm"), .start("ln_"), "ln", .start("bn")]),
        (
            .head,
            [
                "head", "heads", "lm_head", "embed_out", "classifier", "pre_classifier", "score", "qa_outputs", "cls",
                "vocab_projector", "vocab_transform", "text_projection", "visual_projection",
            ]
        ),
        (.attention, [.part("attn"), .part("attention"), "rotary_emb"]),
        (
            .mlp,
            [
                .part("mlp"), .start("ffn"), "feed_forward", .part("moe"), "experts", "intermediate", "output", "fc1",
                "fc2",
                "lin1", "lin2", "w1", "w2", "w3", "gate_proj", "up_proj", "down_proj", "c_fc",
                .part("densereludense"),
            ]
        ),
        (
            .embedding,
            [
                .part("embd"), .part("embed"), "wte", "wpe", "cls_token", "dist_token", "reg_token", "class_token",
                "mask_token",
            ]
        ),
    ]
}
