import Checkpoints
import Networks
import TensorCore

extension Architecture {
    /// `BertModel` of transformers, as MiniLM and most of sentence-transformers' models are; pooler and classifier stay as they are.
    static let bert = Architecture(
        name: "Hugging Face's BERT", marks: bertMarks, modelTypes: ["bert"], needsModelType: true, rules: bertRules,
        interior: bertInterior, idle: bertIdle,
        network: { files, tensors in try Transformer(bertConfig(files, tensors)) })

    /// RoBERTa, XLM-R and CamemBERT, which differ from BERT in how positions are counted.
    static let roberta = Architecture(
        name: "Hugging Face's RoBERTa", marks: bertMarks, modelTypes: ["roberta", "xlm-roberta", "camembert"],
        needsModelType: true, rules: bertRules, interior: bertInterior, idle: bertIdle,
        network: { files, tensors in
            try Transformer(
                bertConfig(files, tensors, padding: files.main.integer("pad_token_id", else: 1)))
        })

    private static let bertMarks = [
        "encoder.layer.0.attention.self.query.weight", "embeddings.word_embeddings.weight",
    ]

    /// Buffers, which some files have as floating point.
    private static let bertIdle = ["embeddings.position_ids", "embeddings.token_type_ids"]

    private static let bertInterior = ["embeddings.", "encoder."]

    private static let bertRules: [BindingRule] = [
        .module("word_embed", "embeddings.word_embeddings"),
        .tensor("pos_embed", "embeddings.position_embeddings.weight"),
        .module("type_embed", "embeddings.token_type_embeddings"),
        .module("norm_pre", "embeddings.LayerNorm", aliases: oldNormNames),
        .module(
            "blocks.N.attn.qkv", "encoder.layer.N.attention.self.query", "encoder.layer.N.attention.self.key",
            "encoder.layer.N.attention.self.value"),
        .module("blocks.N.attn.proj", "encoder.layer.N.attention.output.dense"),
        .module("blocks.N.norm1", "encoder.layer.N.attention.output.LayerNorm", aliases: oldNormNames),
        .module("blocks.N.mlp.fc1", "encoder.layer.N.intermediate.dense"),
        .module("blocks.N.mlp.fc2", "encoder.layer.N.output.dense"),
        .module("blocks.N.norm2", "encoder.layer.N.output.LayerNorm", aliases: oldNormNames),
    ]

    /// As files made from TensorFlow's checkpoints have them.
    private static let oldNormNames = ["weight": "gamma", "bias": "beta"]

    /// The network of BERT and of those that have its names.
    ///
    /// - Parameter padding: the number of padding where positions are counted as RoBERTa does.
    private static func bertConfig(
        _ files: ConfigurationFiles, _ tensors: ModelTensors, padding: Int? = nil
    ) throws -> TransformerConfig {
        let keys = files.main
        let vocabulary = try keys.integer(
            "vocab_size", else: tensors.size("embeddings.word_embeddings.weight", 0, rank: 2))
        let positions = try keys.text("position_embedding_type") ?? "absolute"
        guard positions == "absolute", try keys.flag("is_decoder") != true else {
            throw InputError(
                .badConfig,
                positions == "absolute"
                    ? "is_decoder is true, and only encoders are computed"
                    : "position_embedding_type \"\(positions)\" is not supported; absolute is", file: keys.file)
        }
        return TransformerConfig(
            stem: .words(
                WordStem(
                    vocabulary: vocabulary,
                    positionCount: try keys.integer(
                        "max_position_embeddings",
                        else: tensors.size("embeddings.position_embeddings.weight", 0, rank: 2)),
                    typeCount: try keys.integer(
                        "type_vocab_size", else: tensors.size("embeddings.token_type_embeddings.weight", 0, rank: 2)),
                    padding: padding, paddingRow: try padding ?? keys.paddingRow(0, of: vocabulary))),
            hiddenSize: try keys.integer(
                "hidden_size", else: tensors.size("embeddings.word_embeddings.weight", 1, rank: 2)),
            layerCount: try keys.layerCount(
                "num_hidden_layers", of: "encoder.layer.N.attention.self.query.weight", in: tensors),
            headCount: try keys.integer("num_attention_heads", else: nil),
            mlpSize: try keys.integer(
                "intermediate_size", else: tensors.size("encoder.layer.0.intermediate.dense.weight", 0, rank: 2)),
            layerNormEps: Float(try keys.number("layer_norm_eps") ?? 1e-12),
            activation: try keys.activation("hidden_act"), blockNorm: .after, preNorm: true,
            pooling: try files.textPooling(), finalNorm: nil)
    }
}
