/// A transformer encoder: from images or texts to features.
public struct Transformer: Network {
    public let config: TransformerConfig
    public let layout: ParameterLayout
    let offsets: TransformerOffsets

    /// Plans the parameters of an architecture.
    ///
    /// - Throws: `NetworkError` `network.bad_config` when the architecture contradicts itself.
    public init(_ config: TransformerConfig) throws(NetworkError) {
        try config.validate()
        self.config = config
        layout = ParameterLayout(config)
        offsets = TransformerOffsets(layout, config)
    }

    public var input: NetworkInput { config.stem.input }
    public var featureSize: Int { config.featureSize }
    public var configuration: NetworkConfiguration { NetworkConfiguration(config) }

    /// The rows of the words that no text has, and that of padding.
    public func unusedParameters(by inputs: InputSet, rows: [Int]) -> [Range<Int>] {
        guard case .words(let stem) = config.stem, case .words(let table, _) = offsets.stem,
            case .tokens(let tokens) = inputs
        else { return [] }
        var isUsed = [Bool](repeating: false, count: stem.vocabulary)
        for row in rows {
            for place in row * tokens.length..<(row + 1) * tokens.length { isUsed[Int(tokens.ids[place])] = true }
        }
        if let row = stem.paddingRow { isUsed[row] = false }
        let C = config.hiddenSize
        return isUsed.indices.filter { !isUsed[$0] }.map { table + $0 * C..<table + ($0 + 1) * C }
    }

    /// The tokens that one input of a set becomes: patches and learned tokens, or words with padding.
    public func tokenCount(of inputs: InputSet) -> Int {
        switch inputs {
        case .images, .stream: config.stem.largestTokenCount
        case .tokens(let tokens): tokens.length
        }
    }

    public func activationCount(capacity: Int, tokenCount: Int, purpose: WorkspacePurpose) -> Int {
        TransformerPlan(config, capacity: capacity, tokenCount: tokenCount, purpose: purpose).count
    }

    /// Takes memory for the activations of a batch.
    ///
    /// - Throws: `NetworkError` `network.memory` when the activations do not fit.
    public func workspace(
        capacity: Int, tokenCount: Int, purpose: WorkspacePurpose
    ) throws(NetworkError) -> any NetworkWorkspace {
        try TransformerWorkspace(self, capacity: capacity, tokenCount: tokenCount, purpose: purpose)
    }
}

extension ParameterLayout {
    /// Lays the parameters of a transformer out in one array, by the names that timm would give them.
    ///
    /// - Precondition: `config` is valid.
    init(_ config: TransformerConfig) {
        var builder = Builder()
        let (C, M) = (config.hiddenSize, config.mlpSize)
        switch config.stem {
        case .patches(let stem):
            // One after the other, as the rows of one matrix.
            for part in stem.prefix { builder.add(part.name, [1, part.count, C]) }
            builder.add("pos_embed", [1, stem.positionCount, C])
            builder.add("patch_embed.proj.weight", [C, stem.image.channels, stem.patchSize, stem.patchSize])
            if stem.hasBias { builder.add("patch_embed.proj.bias", [C]) }
        case .words(let stem):
            builder.add("word_embed.weight", [stem.vocabulary, C])
            builder.add("pos_embed", [stem.positionCount, C])
            if stem.typeCount > 0 { builder.add("type_embed.weight", [stem.typeCount, C]) }
        }
        if config.preNorm { builder.addNorm("norm_pre", C) }
        for block in 0..<config.layerCount {
            let prefix = "blocks.\(block)."
            builder.addNorm(prefix + "norm1", C)
            builder.addLinear(prefix + "attn.qkv", [3 * C, C], bias: config.qkvBias)
            builder.addLinear(prefix + "attn.proj", [C, C])
            if config.layerScale { builder.add(prefix + "ls1.gamma", [C]) }
            builder.addNorm(prefix + "norm2", C)
            builder.addLinear(prefix + "mlp.fc1", [M, C])
            builder.addLinear(prefix + "mlp.fc2", [C, M])
            if config.layerScale { builder.add(prefix + "ls2.gamma", [C]) }
        }
        if let norm = config.finalNorm { builder.addNorm(norm.name, C) }
        if config.pooling == .attention {
            builder.add("attn_pool.latent", [1, 1, C])
            builder.addLinear("attn_pool.qkv", [3 * C, C])
            builder.addLinear("attn_pool.proj", [C, C])
            builder.addNorm("attn_pool.norm", C)
            builder.addLinear("attn_pool.mlp.fc1", [M, C])
            builder.addLinear("attn_pool.mlp.fc2", [C, M])
        }
        if let projection = config.projectionSize { builder.add("head.weight", [projection, C]) }
        self.init(builder)
    }
}

/// Where the tensors start in the parameter vector.
struct TransformerOffsets: Sendable {
    /// The position embedding, and the row of it that each token of an image has.
    let position: Int
    let positionRows: [Int?]
    let stem: StemOffsets
    let preNorm: NormOffsets?
    let blocks: [BlockOffsets]
    let norm: NormOffsets?
    let attentionPooling: AttentionPoolingOffsets?
    let projection: Int?

    /// The tensors of one kind of stem.
    enum StemOffsets: Sendable {
        /// `prefix` is where the learned tokens start, one after the other.
        case patches(prefix: Int, weight: Int, bias: Int?)
        case words(table: Int, types: Int?)
    }

    init(_ layout: ParameterLayout, _ config: TransformerConfig) {
        position = layout.requiredStart("pos_embed")
        switch config.stem {
        case .patches(let patches):
            positionRows = patches.positionRows
            stem = .patches(
                prefix: 0, weight: layout.requiredStart("patch_embed.proj.weight"),
                bias: layout.start("patch_embed.proj.bias"))
        case .words:
            positionRows = []
            stem = .words(
                table: layout.requiredStart("word_embed.weight"), types: layout.start("type_embed.weight"))
        }
        preNorm = NormOffsets(layout, "norm_pre")
        blocks = (0..<config.layerCount).map { BlockOffsets(layout, block: $0) }
        norm = config.finalNorm.flatMap { NormOffsets(layout, $0.name) }
        attentionPooling = config.pooling == .attention ? AttentionPoolingOffsets(layout) : nil
        projection = layout.start("head.weight")
    }
}

/// Where a layer norm's tensors start.
struct NormOffsets: Sendable {
    let weight, bias: Int

    /// Nil when the layout has no such norm.
    init?(_ layout: ParameterLayout, _ name: String) {
        guard let weight = layout.start(name + ".weight"), let bias = layout.start(name + ".bias") else { return nil }
        (self.weight, self.bias) = (weight, bias)
    }
}
