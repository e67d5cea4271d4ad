import Kernels

/// The architecture of a transformer encoder that makes one feature of each input.
public struct TransformerConfig: Sendable, Hashable, Encodable {
    /// How inputs become tokens.
    public var stem: Stem
    /// Width of the residual stream.
    public var hiddenSize: Int
    /// The number of blocks.
    public var layerCount: Int
    /// The heads of each attention, which share the width equally.
    public var headCount: Int
    /// Width of the hidden layer of the MLP.
    public var mlpSize: Int
    /// Inside the root of every layer norm.
    public var layerNormEps: Float
    /// Of the MLPs.
    public var activation: Activation
    /// Where the layer norms of a block stand.
    public var blockNorm: BlockNorm
    /// Whether what a block adds to the stream is multiplied by a vector of its own, as in DINOv2.
    public var layerScale: Bool
    /// Whether the attention's input projection has a bias.
    public var qkvBias: Bool
    /// Whether a layer norm stands before the blocks, as in CLIP and BERT: `norm_pre` in timm.
    public var preNorm: Bool
    /// How tokens become one feature.
    public var pooling: Pooling
    /// Where the final layer norm stands; nil when there is none, as where blocks end in one.
    public var finalNorm: FinalNorm?
    /// Width of a bias-free projection after the final norm, as CLIP's into the joint space: `head.weight` in timm.
    public var projectionSize: Int?

    /// Describes an encoder; `Transformer` checks the sizes against each other.
    public init(
        stem: Stem, hiddenSize: Int, layerCount: Int, headCount: Int, mlpSize: Int, layerNormEps: Float = 1e-6,
        activation: Activation = .gelu, blockNorm: BlockNorm = .before, layerScale: Bool = false,
        qkvBias: Bool = true, preNorm: Bool = false, pooling: Pooling = .cls,
        finalNorm: FinalNorm? = .beforePooling, projectionSize: Int? = nil
    ) {
        self.stem = stem
        self.hiddenSize = hiddenSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.mlpSize = mlpSize
        self.layerNormEps = layerNormEps
        self.activation = activation
        self.blockNorm = blockNorm
        self.layerScale = layerScale
        self.qkvBias = qkvBias
        self.preNorm = preNorm
        self.pooling = pooling
        self.finalNorm = finalNorm
        self.projectionSize = projectionSize
    }

    /// The width of the feature that heads read.
    public var featureSize: Int { projectionSize ?? hiddenSize }

    /// The queries that the last block computes of an input of `T` tokens: those that pooling looks at.
    func lastQueryCount(of T: Int) -> Int { pooling == .cls ? 1 : T }

    /// The tokens that pooling averages, of an image that becomes `T`.
    func pooledTokens(of T: Int) -> Range<Int> {
        guard pooling == .mean, case .patches(let stem) = stem else { return 0..<min(T, 2) }
        return stem.prefixCount..<T
    }
}

/// Where the layer norms of a block stand.
public enum BlockNorm: String, Sendable, Encodable, CaseIterable {
    /// Before attention and MLP, as in vision transformers.
    case before
    /// After the sum with the stream, as in BERT.
    case after
}

/// How the tokens of the last block become one feature.
public enum Pooling: String, Sendable, Encodable, CaseIterable {
    /// The first token: the class token of images, timm `token`, and of texts.
    case cls
    /// The mean over patches, without class and register tokens, timm `avg`; over tokens that are not masked.
    case mean
    /// The mean of class and distillation token, as DeiT has it.
    case distilled
    /// Attention from a learned query, with an MLP behind it, as SigLIP has it; `attn_pool` in timm.
    case attention
}

/// Where the final layer norm stands.
public enum FinalNorm: String, Sendable, Encodable, CaseIterable {
    /// On the tokens, before pooling: `norm` in timm.
    case beforePooling
    /// On the pooled feature: `fc_norm` in timm, its default with mean pooling.
    case afterPooling

    /// The norm's name in timm.
    var name: String { self == .beforePooling ? "norm" : "fc_norm" }
}

extension TransformerConfig {
    /// Far above any published model, and low enough that no product of two of them overflows 63 bits.
    private static let largestSize = 1 << 20

    /// Checks the sizes against each other.
    ///
    /// - Throws: `NetworkError` `network.bad_config` that names the key and both numbers.
    func validate() throws(NetworkError) {
        let sizes =
            [
                ("hidden_size", hiddenSize), ("num_hidden_layers", layerCount), ("num_attention_heads", headCount),
                ("intermediate_size", mlpSize), ("projection size", featureSize),
            ] + stem.sizes
        for (name, size) in sizes where size < 1 || size > Self.largestSize {
            throw NetworkError(.badConfig, "\(name) is \(size); it must lie between 1 and \(Self.largestSize)")
        }
        guard hiddenSize % headCount == 0 else {
            throw NetworkError(
                .badConfig, "hidden_size \(hiddenSize) is not a multiple of num_attention_heads \(headCount)")
        }
        try stem.validate()
        if case .patches(let stem) = stem, stem.prefixCount < neededPrefixCount {
            throw NetworkError(
                .badConfig,
                "pooling \"\(pooling.rawValue)\" needs \(neededPrefixCount) learned tokens, but there are \(stem.prefixCount)"
            )
        }
        if case .words = stem, pooling != .cls, pooling != .mean {
            throw NetworkError(
                .badConfig, "pooling \"\(pooling.rawValue)\" is one of images, and the network takes texts")
        }
        guard layerNormEps.isFinite, layerNormEps > 0 else {
            throw NetworkError(.badConfig, "layer_norm_eps is \(layerNormEps); it must be positive")
        }
        // One input alone must fit the 32-bit counts of the matrix products.
        let widest = max(3 * hiddenSize, mlpSize, stem.elementsPerToken)
        let (numbers, overflow) = stem.largestTokenCount.multipliedReportingOverflow(by: widest)
        guard !overflow, numbers <= largestMatrixDimension else {
            throw NetworkError(
                .badConfig,
                "one input needs \(stem.largestTokenCount) tokens of \(widest) numbers, more than fits a matrix")
        }
        guard estimatedParameterCount < 1 << 40 else {
            throw NetworkError(.badConfig, "the model would have \(estimatedParameterCount) parameters")
        }
    }

    /// The learned tokens that pooling looks at.
    private var neededPrefixCount: Int {
        switch pooling {
        case .cls: 1
        case .distilled: 2
        case .mean, .attention: 0
        }
    }

    /// The parameters of the blocks; saturates instead of overflowing.
    private var estimatedParameterCount: Int {
        let (perBlock, first) = hiddenSize.multipliedReportingOverflow(by: 4 * hiddenSize + 2 * mlpSize)
        let (total, second) = perBlock.multipliedReportingOverflow(by: layerCount)
        return first || second ? .max : total
    }
}
