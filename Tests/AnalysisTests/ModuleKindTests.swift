import Analysis
import TensorCore
import Testing

@Suite("kinds of modules") struct ModuleKindTests {
    /// Names as they stand in published checkpoints.
    @Test(
        "names of the common architectures",
        arguments: [
            (
                ModuleKind.attention,
                [
                    "blocks.0.attn.qkv.weight", "vit.encoder.layer.3.attention.attention.query.weight",
                    "text_model.encoder.layers.1.self_attn.k_proj.bias",
                    "bert.encoder.layer.0.attention.output.dense.weight",
                    "distilbert.transformer.layer.0.attention.q_lin.weight", "model.layers.9.self_attn.o_proj.weight",
                    "h.0.attn.c_proj.weight", "gpt_neox.layers.0.attention.query_key_value.weight",
                    "visual.transformer.resblocks.0.attn.in_proj_weight", "blk.3.attn_q.weight",
                    "blk.3.attn_output.weight",
                    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
                ]
            ),
            (
                .mlp,
                [
                    "blocks.0.mlp.fc1.weight", "vit.encoder.layer.3.intermediate.dense.weight",
                    "bert.encoder.layer.0.output.dense.weight", "distilbert.transformer.layer.0.ffn.lin1.weight",
                    "model.layers.9.mlp.gate_proj.weight", "model.layers.0.block_sparse_moe.experts.7.w2.weight",
                    "h.0.mlp.c_fc.weight", "gpt_neox.layers.0.mlp.dense_h_to_4h.weight", "blk.3.ffn_down.weight",
                    "blk.3.ffn_gate_exps.weight", "blk.3.ffn_gate_inp.weight",
                    "encoder.block.0.layer.1.DenseReluDense.wi_0.weight",
                    "decoder.block.0.layer.2.DenseReluDense.wo.weight",
                ]
            ),
            (
                .norm,
                [
                    "blocks.0.norm1.weight", "vit.encoder.layer.3.layernorm_before.bias",
                    "bert.encoder.layer.0.attention.output.LayerNorm.weight", "bert.embeddings.LayerNorm.weight",
                    "distilbert.transformer.layer.0.sa_layer_norm.weight", "vision_model.pre_layrnorm.weight",
                    "model.layers.9.post_attention_layernorm.weight", "model.layers.0.self_attn.q_norm.weight",
                    "ln_f.weight", "blk.3.attn_norm.weight", "blk.3.ffn_norm.weight", "output_norm.weight",
                    "model.norm.weight", "visual.ln_pre.weight",
                ]
            ),
            (
                .embedding,
                [
                    "patch_embed.proj.weight", "pos_embed", "cls_token", "vit.embeddings.cls_token",
                    "roberta.embeddings.word_embeddings.weight", "model.embed_tokens.weight", "wte.weight",
                    "wpe.weight",
                    "gpt_neox.embed_in.weight", "token_embd.weight", "shared.weight", "visual.class_embedding",
                    "visual.conv1.weight",
                ]
            ),
            (
                .head,
                [
                    "head.weight", "heads.digits.weight", "lm_head.weight", "classifier.dense.weight",
                    "embed_out.weight",
                    "cls.predictions.decoder.bias", "pre_classifier.weight", "score.weight", "text_projection",
                    "visual.proj", "output.weight",
                    "visual_projection.weight",
                ]
            ),
            (.other, ["logit_scale", "blocks.0.ls1.gamma", "weight", ""]),
        ] as [(ModuleKind, [String])])
    func names(kind: ModuleKind, names: [String]) {
        for name in names { #expect(ModuleKind(TensorName(name)) == kind, "\(name)") }
    }
}
