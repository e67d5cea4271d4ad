import TensorCore

/// What weights are multiplied with, told to who asks.
extension TransformerWorkspace {
    /// Tells of the patches, where images were embedded.
    func reportPatches() {
        guard case .patches(_, let weight, _) = model.offsets.stem, let patches = plan.patches else { return }
        productObserver?(weight, activations + patches, inputCount * tokenCount)
    }

    /// Tells of a block that has just run, before the next one uses its room.
    func report(block number: Int) {
        let (at, acts, sizes) = (model.offsets.blocks[number], plan.blocks[number], sizes(of: number))
        let (T, R, C) = (sizes.attention.T, sizes.attention.R, sizes.attention.C)
        let isPreNorm = model.config.blockNorm == .before
        report(at.qkvWeight, activations + (isPreNorm ? acts.norm1 : plan.input(of: number)), rows: T, width: C)
        report(at.projWeight, activations + acts.attended, rows: R, width: C)
        report(at.fc1Weight, activations + (isPreNorm ? acts.norm2 : acts.norm1), rows: R, width: C)
        report(at.fc2Weight, activations + acts.activated, rows: R, width: sizes.M)
    }

    /// Tells of the attention that pools, but not of its input projection: queries are made of another input than keys and values.
    func reportPooling() {
        guard let at = model.offsets.attentionPooling, let acts = plan.attentionPooling else { return }
        productObserver?(at.projWeight, activations + acts.attended, inputCount)
        productObserver?(at.fc1Weight, activations + acts.norm, inputCount)
        productObserver?(at.fc2Weight, activations + acts.activated, inputCount)
    }

    /// Tells of the rows that are no padding: the first `R` tokens of every input.
    private func report(_ weight: Int, _ x: UnsafePointer<Float>, rows R: Int, width: Int) {
        guard let productObserver else { return }
        guard let mask else {
            productObserver(weight, x, inputCount * R)
            return
        }
        for b in 0..<inputCount {
            var start = 0
            while start < R {
                let isWord = mask[b * tokenCount + start] != 0
                var end = start + 1
                while end < R, (mask[b * tokenCount + end] != 0) == isWord { end += 1 }
                if isWord { productObserver(weight, x + (b * R + start) * width, end - start) }
                start = end
            }
        }
    }
}

extension Transformer {
    /// The weights of the patch embedding, of blocks, of the pooling's output and MLP, and the projection of features.
    public var observedWeights: [ParameterLayout.Entry] {
        var names = ["patch_embed.proj"]
        for block in 0..<config.layerCount {
            names += ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"].map { "blocks.\(block).\($0)" }
        }
        names += ["attn_pool.proj", "attn_pool.mlp.fc1", "attn_pool.mlp.fc2", "head"]
        return names.compactMap { layout[TensorName($0 + ".weight")] }
    }
}
