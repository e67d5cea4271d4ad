import TensorCore

/// A vision transformer: from images to features.
public struct VisionTransformer: Network {
    public let config: VisionTransformerConfig
    public let layout: ParameterLayout
    let offsets: ModelOffsets

    /// Plans the parameters of an architecture.
    ///
    /// - Throws: `NetworkError` `network.bad_config` when the architecture contradicts itself.
    public init(_ config: VisionTransformerConfig) throws(NetworkError) {
        try config.validate()
        self.config = config
        layout = ParameterLayout(config)
        offsets = ModelOffsets(layout, config)
    }

    public var input: NetworkInput { .images(config.imageShape) }
    public var featureSize: Int { config.featureSize }
    public var configuration: NetworkConfiguration { NetworkConfiguration(config) }

    public func tokenCount(of inputs: InputSet) -> Int { config.tokenCount }

    public func workspace(
        capacity: Int, tokenCount: Int, purpose: WorkspacePurpose
    ) throws(NetworkError) -> any NetworkWorkspace {
        try TransformerWorkspace(self, capacity: capacity, purpose: purpose)
    }
}

/// Where the tensors start in the parameter vector.
struct ModelOffsets: Sendable {
    let cls, position, patchWeight: Int
    let patchBias: Int?
    let preNormWeight, preNormBias: Int?
    let blocks: [BlockOffsets]
    let normWeight, normBias: Int
    let projection: Int?

    init(_ layout: ParameterLayout, _ config: VisionTransformerConfig) {
        func start(_ name: TensorName) -> Int? { layout[name]?.range.lowerBound }
        func required(_ name: TensorName) -> Int {
            guard let offset = start(name) else { preconditionFailure("the layout has no \(name)") }
            return offset
        }
        cls = required("cls_token")
        position = required("pos_embed")
        patchWeight = required("patch_embed.proj.weight")
        patchBias = start("patch_embed.proj.bias")
        preNormWeight = start("norm_pre.weight")
        preNormBias = start("norm_pre.bias")
        blocks = (0..<config.layerCount).map { BlockOffsets(layout, block: $0) }
        let norm = config.finalNorm == .beforePooling ? "norm" : "fc_norm"
        normWeight = required(TensorName(norm + ".weight"))
        normBias = required(TensorName(norm + ".bias"))
        projection = start("head.weight")
    }
}
