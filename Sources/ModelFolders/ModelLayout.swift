import Checkpoints
import TensorCore

/// Names by which the tensors of a family of models are known, and where its sizes stand among them.
struct ModelLayout: Sendable {
    let name: String
    /// The first norm of every layer, with `N` for its number. It is as long as the model is wide, and not quantised.
    let norm: String
    /// What must be there besides, under the same prefix.
    let others: [String]
    /// An embedding with a row for each token.
    var embedding: String?
    /// What the layers belong to, in models that have others.
    var part: String?
    /// The sections of `config.json` that may describe the layers; without them it does so itself.
    var sections: [String] = []

    /// Models of text, which may have an image tower, go before image towers.
    private static let all = [
        ModelLayout(
            name: "GPT-NeoX", norm: "layers.N.input_layernorm.weight", others: ["embed_in.weight"],
            embedding: "embed_in.weight"),
        ModelLayout(
            name: "llama family", norm: "layers.N.input_layernorm.weight",
            others: ["layers.0.post_attention_layernorm.weight"], embedding: "embed_tokens.weight",
            sections: ["text_config", "llm_config", "language_config"]),
        ModelLayout(
            name: "GPT-2", norm: "h.N.ln_1.weight", others: ["h.0.attn.c_attn.weight"], embedding: "wte.weight"),
        ModelLayout(
            name: "T5", norm: "encoder.block.N.layer.0.layer_norm.weight", others: ["shared.weight"],
            embedding: "shared.weight", part: "encoder"),
        ModelLayout(
            name: "BERT family", norm: "encoder.layer.N.attention.output.LayerNorm.weight",
            others: ["embeddings.word_embeddings.weight"], embedding: "embeddings.word_embeddings.weight"),
        ModelLayout(
            name: "DistilBERT", norm: "transformer.layer.N.sa_layer_norm.weight",
            others: ["embeddings.word_embeddings.weight"], embedding: "embeddings.word_embeddings.weight"),
        ModelLayout(
            name: "CLIP", norm: "vision_model.encoder.layers.N.layer_norm1.weight",
            others: ["vision_model.pre_layrnorm.weight", "text_model.embeddings.token_embedding.weight"],
            part: "image tower", sections: ["vision_config"]),
        ModelLayout(
            name: "image tower of CLIP", norm: "vision_model.encoder.layers.N.layer_norm1.weight",
            others: ["vision_model.pre_layrnorm.weight"], sections: ["vision_config"]),
        ModelLayout(
            name: "OpenCLIP", norm: "visual.transformer.resblocks.N.ln_1.weight",
            others: ["visual.conv1.weight", "token_embedding.weight"], part: "image tower"),
        ModelLayout(
            name: "vision transformer of transformers", norm: "encoder.layer.N.layernorm_before.weight",
            others: ["embeddings.patch_embeddings.projection.weight"]),
        ModelLayout(
            name: "DINOv2", norm: "encoder.layer.N.layer_scale1.lambda1",
            others: ["encoder.layer.0.norm1.weight", "embeddings.patch_embeddings.projection.weight"]),
        ModelLayout(
            name: "vision transformer of timm", norm: "blocks.N.norm1.weight",
            others: ["blocks.0.attn.qkv.weight", "patch_embed.proj.weight"], sections: ["model_args"]),
    ]

    /// The routers of mixtures of experts, `[experts, width]`: Mixtral, Qwen and DeepSeek, gpt-oss, Llama 4, Granite.
    private static let routers = [
        "block_sparse_moe.gate.weight", "mlp.gate.weight", "mlp.router.weight", "feed_forward.router.weight",
        "block_sparse_moe.router.layer.weight",
    ]

    /// What the names and shapes of a checkpoint's tensors say.
    struct Finding {
        let layout: ModelLayout
        let layers: Int
        let width: Int
        let vocabulary: Int?
        let experts: Int?
    }

    /// The layout of a checkpoint, the first of those that it may be; nil when it is none of them.
    static func find(in store: TensorStore) -> Finding? {
        var prefixes = [String?](repeating: nil, count: all.count)
        let keys = all.map { Array($0.norm(0).utf8) }
        for descriptor in store.descriptors {
            let name = descriptor.name.text
            for (place, key) in keys.enumerated() where prefixes[place] == nil {
                guard name.utf8.count >= key.count, name.utf8.suffix(key.count).elementsEqual(key) else { continue }
                let prefix = String(decoding: name.utf8.dropLast(key.count), as: UTF8.self)
                let isWhole = prefix.isEmpty || prefix.utf8.last == UInt8(ascii: ".")
                if isWhole, all[place].isThere(prefix, in: store) { prefixes[place] = prefix }
            }
        }
        return zip(all, prefixes).lazy.compactMap { layout, prefix in
            prefix.flatMap { layout.finding($0, in: store) }
        }.first
    }

    private func norm(_ number: Int) -> String {
        norm.split(separator: "N.", maxSplits: 1).joined(separator: "\(number).")
    }

    private func isThere(_ prefix: String, in store: TensorStore) -> Bool {
        others.allSatisfy { store.index(of: TensorName(prefix + $0)) != nil }
    }

    private func finding(_ prefix: String, in store: TensorStore) -> Finding? {
        func shape(_ name: String) -> [Int]? { store.descriptor(named: TensorName(prefix + name))?.shape.dims }
        guard let width = shape(norm(0)).flatMap({ $0.count == 1 ? $0[0] : nil }), width > 0 else { return nil }
        let layers = (0...).prefix { store.index(of: TensorName(prefix + norm($0))) != nil }.count
        let stack = norm.split(separator: "N.", maxSplits: 1)[0]
        // The first layers of some are dense.
        let gates = (0..<min(layers, 8)).lazy.flatMap { layer in
            Self.routers.lazy.compactMap { shape("\(stack)\(layer).\($0)") }
        }
        return Finding(
            layout: self, layers: layers, width: width,
            vocabulary: embedding.flatMap(shape).flatMap { $0.count == 2 ? $0[0] : nil },
            experts: gates.first { $0.count == 2 && $0[1] == width }?[0])
    }
}
