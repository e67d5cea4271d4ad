import TensorCore

/// Tensors that are no weights: buffers which an architecture computes for itself, or counts in while it trains.
///
/// Libraries write them or leave them out as they please, version by version, and models load alike with and without them.
public enum ComputedBuffer {
    /// Whether a tensor is one, by its name and shape.
    public static func isOne(_ tensor: TensorDescriptor) -> Bool {
        let parts = tensor.name.text.split(separator: ".")
        guard let leaf = parts.last else { return false }
        if leaves.contains(leaf) { return true }
        // Causal masks of GPT-2 and its relatives: `attn.bias` of shape [1, 1, n, n]; a true bias is a vector.
        let dims = tensor.shape.dims
        let isMask = dims.count == 4 && dims[0] == 1 && dims[1] == 1 && dims[2] == dims[3]
        return isMask && (leaf == "bias" || leaf == "mask")
    }

    private static let leaves: Set<Substring> = [
        // Rotary embeddings.
        "inv_freq", "original_inv_freq", "cos_cached", "sin_cached", "freqs_cis", "rope_freqs",
        // Positions, masks and the like.
        "position_ids", "token_type_ids", "masked_bias", "causal_mask", "attn_mask", "relative_position_index",
        "relative_coords_table", "attention_bias_idxs", "alibi_slopes", "_float_tensor",
        // Counters of batch normalisation and of observers.
        "num_batches_tracked", "total_ops", "total_params",
    ]
}
