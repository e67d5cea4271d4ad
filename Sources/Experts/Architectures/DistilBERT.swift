import Checkpoints
import Networks
import TensorCore

extension Architecture {
    /// `DistilBertModel` of transformers: BERT's blocks under other names, without token types.
    static let distilBERT = Architecture(
        name: "Hugging Face's DistilBERT",
        marks: ["transformer.layer.0.attention.q_lin.weight", "embeddings.word_embeddings.weight"],
        modelTypes: ["distilbert"],
        rules: [
            .module("word_embed", "embeddings.word_embeddings"),
            .tensor("pos_embed", "embeddings.position_embeddings.weight"),
            .module("norm_pre", "embeddings.LayerNorm"),
            .module(
                "blocks.N.attn.qkv", "transformer.layer.N.attention.q_lin", "transformer.layer.N.attention.k_lin",
                "transformer.layer.N.attention.v_lin"),
            .module("blocks.N.attn.proj", "transformer.layer.N.attention.out_lin"),
            .module("blocks.N.norm1", "transformer.layer.N.sa_layer_norm"),
            .module("blocks.N.mlp.fc1", "transformer.layer.N.ffn.lin1"),
            .module("blocks.N.mlp.fc2", "transformer.layer.N.ffn.lin2"),
            .module("blocks.N.norm2", "transformer.layer.N.output_layer_norm"),
        ],
        interior: ["embeddings.", "transformer."], idle: ["embeddings.position_ids"],
        network: { files, tensors in try Transformer(distilBERTConfig(files, tensors)) })

    private static func distilBERTConfig(
        _ files: ConfigurationFiles, _ tensors: ModelTensors
    ) throws -> TransformerConfig {
        let keys = files.main
        let (words, positions) = ("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight")
        let vocabulary = try keys.integer("vocab_size", else: tensors.size(words, 0, rank: 2))
        return TransformerConfig(
            stem: .words(
                WordStem(
                    vocabulary: vocabulary,
                    positionCount: try keys.integer(
                        "max_position_embeddings", else: tensors.size(positions, 0, rank: 2)), typeCount: 0,
                    paddingRow: try keys.paddingRow(0, of: vocabulary))),
            hiddenSize: try keys.integer("dim", else: tensors.size(words, 1, rank: 2)),
            layerCount: try keys.layerCount(
                "n_layers", of: "transformer.layer.N.attention.q_lin.weight", in: tensors),
            headCount: try keys.integer("n_heads", else: nil),
            mlpSize: try keys.integer(
                "hidden_dim", else: tensors.size("transformer.layer.0.ffn.lin1.weight", 0, rank: 2)),
            layerNormEps: 1e-12, activation: try keys.activation("activation"), blockNorm: .after, preNorm: true,
            pooling: try files.textPooling(), finalNorm: nil)
    }
}
