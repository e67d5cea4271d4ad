/// Where everything lies in the arena of one workspace.
struct TransformerPlan: Sendable {
    /// What only the backward pass needs.
    struct Scratch: Sendable {
        /// The gradients of the stream: behind the last block, before the others, and of the pooled feature.
        let last, stream, pooled: Int
        let block: BlockScratch
    }

    /// The cut images, or which words are none; nil for the other kind of input.
    let patches, mask: Int?
    let embedded, stream, preMean, preRstd: Int
    let blocks: [BlockActivations]
    /// The tokens behind the final norm, where it stands before pooling.
    let normed, mean, rstd: Int
    let pooled, feature, projected: Int
    let attentionPooling: AttentionPoolingActivations?
    let scratch: Scratch?
    /// Whether the last block computes what no feature depends on, too.
    let computesAllQueries: Bool
    /// The numbers in the arena.
    let count: Int

    /// Plans the passes of at most `B` inputs of at most `T` tokens.
    init(_ config: TransformerConfig, capacity B: Int, tokenCount T: Int, purpose: WorkspacePurpose) {
        var arena = ArenaPlan()
        let C = config.hiddenSize
        switch config.stem {
        case .patches(let stem):
            patches = arena.take(B, T, stem.patchElementCount)
            mask = nil
        case .words:
            patches = nil
            mask = arena.take(B, T)
        }
        embedded = arena.take(B, T, C)
        stream = config.preNorm ? arena.take(B, T, C) : embedded
        preMean = arena.take(B, T)
        preRstd = arena.take(B, T)
        let activated = arena.take(B, T, config.mlpSize)
        computesAllQueries = purpose == .observation
        let R = computesAllQueries ? T : config.lastQueryCount(of: T)
        var blocks: [BlockActivations] = []
        for block in 0..<config.layerCount {
            let sizes = BlockSizes(config, B: B, T: T, R: block == config.layerCount - 1 ? R : T)
            let sharesRoom = purpose != .training && block >= 2 && sizes.attention.R == T
            blocks.append(sharesRoom ? blocks[block - 2] : BlockActivations(&arena, sizes, activated: activated))
        }
        self.blocks = blocks
        normed = config.finalNorm == .beforePooling ? arena.take(B, R, C) : 0
        mean = arena.take(B, R)
        rstd = arena.take(B, R)
        pooled = arena.take(B, C)
        feature = arena.take(B, C)
        projected = arena.take(B, config.featureSize)
        attentionPooling =
            config.pooling == .attention
            ? AttentionPoolingActivations(&arena, BlockSizes(config, B: B, T: T, R: 1)) : nil
        if purpose == .training {
            let stream = arena.take(B, T, C)
            scratch = Scratch(
                last: R < T ? arena.take(B, R, C) : stream, stream: stream, pooled: arena.take(B, C),
                block: BlockScratch(&arena, BlockSizes(config, B: B, T: T, R: T)))
        } else {
            scratch = nil
        }
        count = arena.count
    }

    /// The residual stream that enters a block; with the number of blocks, the one that leaves the last.
    func input(of block: Int) -> Int { block == 0 ? stream : blocks[block - 1].out }
}

extension BlockSizes {
    /// The sizes of a block that computes the queries of `R` tokens of an input, and keys and values of all.
    init(_ config: TransformerConfig, B: Int, T: Int, R: Int) {
        self.init(
            attention: AttentionSizes(B: B, T: T, R: R, C: config.hiddenSize, H: config.headCount),
            M: config.mlpSize, eps: config.layerNormEps, activation: config.activation,
            hasLayerScale: config.layerScale)
    }
}
