/// Where everything lies in the arena of one workspace.
struct TransformerPlan: Sendable {
    /// What only the backward pass needs.
    struct Scratch: Sendable {
        /// The gradients of the stream: behind the last block, before the others, and of the pooled feature.
        let last, stream, pooled: Int
        let block: BlockScratch
    }

    let patches, embedded, stream, preMean, preRstd: Int
    let blocks: [BlockActivations]
    let pooled, mean, rstd, feature, projected: Int
    let scratch: Scratch?
    /// The numbers in the arena.
    let count: Int

    init(_ config: VisionTransformerConfig, capacity B: Int, purpose: WorkspacePurpose) {
        var arena = ArenaPlan()
        let (T, C) = (config.tokenCount, config.hiddenSize)
        patches = arena.take(B, T, config.patchElementCount)
        embedded = arena.take(B, T, C)
        stream = config.preNorm ? arena.take(B, T, C) : embedded
        preMean = arena.take(B, T)
        preRstd = arena.take(B, T)
        var blocks: [BlockActivations] = []
        for block in 0..<config.layerCount {
            let sizes = BlockSizes(config, block: block, B: B)
            let sharesRoom = purpose == .inference && block >= 2 && sizes.attention.R == T
            blocks.append(sharesRoom ? blocks[block - 2] : BlockActivations(&arena, sizes))
        }
        self.blocks = blocks
        pooled = config.pooling == .mean ? arena.take(B, T, C) : 0
        mean = arena.take(B, T)
        rstd = arena.take(B, T)
        feature = arena.take(B, C)
        projected = arena.take(B, config.featureSize)
        if purpose == .training {
            let stream = arena.take(B, T, C)
            scratch = Scratch(
                last: config.pooling == .cls ? arena.take(B, C) : stream, stream: stream, pooled: arena.take(B, C),
                block: BlockScratch(&arena, BlockSizes(config, B: B, R: T)))
        } else {
            scratch = nil
        }
        count = arena.count
    }

    /// The residual stream that enters a block; with the number of blocks, the one that leaves the last.
    func input(of block: Int) -> Int { block == 0 ? stream : blocks[block - 1].out }
}

extension BlockSizes {
    /// The last block of a model that pools the class token computes that token's row only; keys and values of all.
    init(_ config: VisionTransformerConfig, block: Int, B: Int) {
        let isLast = block == config.layerCount - 1
        self.init(config, B: B, R: isLast && config.pooling == .cls ? 1 : config.tokenCount)
    }

    init(_ config: VisionTransformerConfig, B: Int, R: Int) {
        self.init(
            attention: AttentionSizes(B: B, T: config.tokenCount, R: R, C: config.hiddenSize, H: config.headCount),
            M: config.mlpSize, eps: config.layerNormEps, activation: config.activation)
    }
}
