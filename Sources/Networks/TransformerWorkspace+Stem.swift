/// From inputs to the tokens that the blocks work on.
extension TransformerWorkspace {
    /// Leaves the tokens of inputs at `plan.embedded`.
    func embed(_ p: UnsafePointer<Float>, _ inputs: InputSet, rows: UnsafeBufferPointer<Int>) {
        let (a, C) = (activations, model.config.hiddenSize)
        let position = p + model.offsets.position
        switch (model.config.stem, model.offsets.stem, inputs) {
        case (.patches(let stem), .patches(let prefix, let weight, let bias), .images(let images)):
            guard let patches = plan.patches else { preconditionFailure("planned for texts") }
            let sizes = stem.sizes(inputCount)
            gatherPatches(a + patches, images, rows: rows, sizes)
            patchEmbeddingForward(
                a + plan.embedded, patches: a + patches, weight: p + weight, bias: bias.map { p + $0 },
                prefix: p + prefix, position: position, positionRows: model.offsets.positionRows, sizes, O: C)
        case (.words(let stem), .words(let table, let types), .tokens(let tokens)):
            guard let mask = plan.mask else { preconditionFailure("planned for images") }
            words.gather(tokens, rows: rows, stem, mask: a + mask)
            wordEmbeddingForward(
                a + plan.embedded, words: p + table, positionTable: position, typeTable: types.map { p + $0 },
                words, C: C)
        default: preconditionFailure("inputs of another kind")
        }
    }

    /// Adds the gradients of `embed`.
    ///
    /// - Shapes: `dOut` `[B, T, C]`.
    func unembed(_ dOut: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>, _ scratch: BlockScratch) {
        let (a, C) = (activations, model.config.hiddenSize)
        let dPosition = grads + model.offsets.position
        switch (model.config.stem, model.offsets.stem) {
        case (.patches(let stem), .patches(let prefix, let weight, let bias)):
            guard let patches = plan.patches else { preconditionFailure("planned for texts") }
            patchEmbeddingBackward(
                dWeight: grads + weight, dBias: bias.map { grads + $0 }, dPrefix: grads + prefix,
                dPosition: dPosition, positionRows: model.offsets.positionRows, dOut, patches: a + patches,
                scratch: a + scratch.qkv, stem.sizes(inputCount), O: C)
        case (.words(let stem), .words(let table, let types)):
            wordEmbeddingBackward(
                dWords: grads + table, dPositions: dPosition, dTypes: types.map { grads + $0 }, dOut, words, stem, C: C)
        default: preconditionFailure("a stem has its own offsets")
        }
    }
}

extension PatchStem {
    func sizes(_ B: Int) -> PatchSizes {
        PatchSizes(B: B, C: image.channels, h: image.height, w: image.width, P: patchSize, F: prefixCount)
    }
}
