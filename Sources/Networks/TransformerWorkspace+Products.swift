/// What stream writers are multiplied with, told to who asks.
extension TransformerWorkspace {
    /// Tells of the patches, where images were embedded.
    func reportPatches() {
        guard case .patches(_, let weight, _) = model.offsets.stem, let patches = plan.patches else { return }
        productObserver?(weight, activations + patches, inputCount * tokenCount)
    }

    /// Tells of a block that has just run, before the next one uses its room.
    func report(block number: Int) {
        let (at, acts, sizes) = (model.offsets.blocks[number], plan.blocks[number], sizes(of: number))
        report(at.projWeight, activations + acts.attended, rows: sizes.attention.R, width: sizes.attention.C)
        report(at.fc2Weight, activations + acts.activated, rows: sizes.attention.R, width: sizes.M)
    }

    /// Tells of the attention that pools.
    func reportPooling() {
        guard let at = model.offsets.attentionPooling, let acts = plan.attentionPooling else { return }
        productObserver?(at.projWeight, activations + acts.attended, inputCount)
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
