import Kernels

/// How the tokens of the last block become one feature.
public enum Pooling: String, Sendable, Encodable, CaseIterable {
    /// The class token; timm `token`.
    case cls
    /// The mean over the patch tokens, the class token left out; timm `avg`.
    case mean
}

/// Where the final layer norm stands.
public enum FinalNorm: String, Sendable, Encodable, CaseIterable {
    /// On the tokens, before pooling: `norm` in timm.
    case beforePooling
    /// On the pooled feature: `fc_norm` in timm, its default with mean pooling.
    case afterPooling
}

/// The architecture of a vision transformer with pre-norm blocks and a class token, as timm and Hugging Face build it.
public struct VisionTransformerConfig: Sendable, Hashable, Encodable {
    /// Width of the residual stream.
    public var hiddenSize: Int
    public var layerCount: Int
    public var headCount: Int
    /// Width of the hidden layer of the MLP.
    public var mlpSize: Int
    /// Side of a square patch, in pixels.
    public var patchSize: Int
    public var imageHeight: Int
    public var imageWidth: Int
    public var channels: Int
    public var layerNormEps: Float
    public var activation: Activation
    public var pooling: Pooling
    public var finalNorm: FinalNorm
    /// Whether the attention's input projection has a bias.
    public var qkvBias: Bool
    /// Whether a layer norm follows the position embedding, as in CLIP: `norm_pre` in timm.
    public var preNorm: Bool
    /// Whether the patch embedding has a bias; CLIP's has none.
    public var patchBias: Bool
    /// Width of a bias-free projection after the final norm, as CLIP's into the joint space: `head.weight` in timm.
    public var projectionSize: Int?

    public init(
        hiddenSize: Int, layerCount: Int, headCount: Int, mlpSize: Int, patchSize: Int, imageHeight: Int,
        imageWidth: Int, channels: Int, layerNormEps: Float = 1e-6, activation: Activation = .gelu,
        pooling: Pooling = .cls, finalNorm: FinalNorm = .beforePooling, qkvBias: Bool = true, preNorm: Bool = false,
        patchBias: Bool = true, projectionSize: Int? = nil
    ) {
        self.hiddenSize = hiddenSize
        self.layerCount = layerCount
        self.headCount = headCount
        self.mlpSize = mlpSize
        self.patchSize = patchSize
        self.imageHeight = imageHeight
        self.imageWidth = imageWidth
        self.channels = channels
        self.layerNormEps = layerNormEps
        self.activation = activation
        self.pooling = pooling
        self.finalNorm = finalNorm
        self.qkvBias = qkvBias
        self.preNorm = preNorm
        self.patchBias = patchBias
        self.projectionSize = projectionSize
    }

    /// The number of patches of an image.
    public var patchCount: Int { (imageHeight / patchSize) * (imageWidth / patchSize) }
    /// Patches and the class token.
    public var tokenCount: Int { patchCount + 1 }
    public var imageShape: ImageShape { ImageShape(channels: channels, height: imageHeight, width: imageWidth) }
    /// The numbers in one patch.
    var patchElementCount: Int { channels * patchSize * patchSize }
    /// The width of the feature that heads read.
    public var featureSize: Int { projectionSize ?? hiddenSize }
}

extension VisionTransformerConfig {
    /// Far above any published model, and low enough that no product of two of them overflows 63 bits.
    private static let largestSize = 1 << 20

    /// Checks the sizes against each other.
    ///
    /// - Throws: `NetworkError` `network.bad_config` that names the key and both numbers.
    func validate() throws(NetworkError) {
        let sizes = [
            ("hidden_size", hiddenSize), ("num_hidden_layers", layerCount), ("num_attention_heads", headCount),
            ("intermediate_size", mlpSize), ("patch_size", patchSize), ("image_size (height)", imageHeight),
            ("image_size (width)", imageWidth), ("num_channels", channels), ("projection size", featureSize),
        ]
        for (name, size) in sizes where size < 1 || size > Self.largestSize {
            throw NetworkError(.badConfig, "\(name) is \(size); it must lie between 1 and \(Self.largestSize)")
        }
        guard hiddenSize % headCount == 0 else {
            throw NetworkError(
                .badConfig, "hidden_size \(hiddenSize) is not a multiple of num_attention_heads \(headCount)")
        }
        for (name, size) in [("height", imageHeight), ("width", imageWidth)] where size % patchSize != 0 {
            throw NetworkError(
                .badConfig, "image \(name) \(size) is not a multiple of patch_size \(patchSize)",
                hint: "set image_size to the size that the position embedding was made for")
        }
        guard layerNormEps.isFinite, layerNormEps > 0 else {
            throw NetworkError(.badConfig, "layer_norm_eps is \(layerNormEps); it must be positive")
        }
        // One image alone must fit the 32-bit counts of the matrix products.
        let widest = max(3 * hiddenSize, mlpSize, channels * patchSize * patchSize)
        let (numbers, overflow) = tokenCount.multipliedReportingOverflow(by: widest)
        guard !overflow, numbers <= largestMatrixDimension else {
            throw NetworkError(
                .badConfig, "one image needs \(tokenCount) tokens of \(widest) numbers, more than fits a matrix")
        }
        guard estimatedParameterCount < 1 << 40 else {
            throw NetworkError(.badConfig, "the model would have \(estimatedParameterCount) parameters")
        }
    }

    /// The parameters of the blocks; saturates instead of overflowing.
    private var estimatedParameterCount: Int {
        let (perBlock, first) = hiddenSize.multipliedReportingOverflow(by: 4 * hiddenSize + 2 * mlpSize)
        let (total, second) = perBlock.multipliedReportingOverflow(by: layerCount)
        return first || second ? .max : total
    }
}
