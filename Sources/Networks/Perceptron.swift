/// A multilayer perceptron: from the numbers of an image, one after the other, to a feature.
public struct Perceptron: Network {
    public let config: PerceptronConfig
    public let layout: ParameterLayout

    /// Plans the parameters of an architecture.
    ///
    /// - Throws: `NetworkError` `network.bad_config` when a size is out of range.
    public init(_ config: PerceptronConfig) throws(NetworkError) {
        try config.validate()
        self.config = config
        var builder = ParameterLayout.Builder()
        for (layer, sizes) in config.layers.enumerated() {
            builder.addLinear("layers.\(layer)", [sizes.output, sizes.input], bias: config.hasBias)
        }
        layout = ParameterLayout(builder)
    }

    public var input: NetworkInput { .images(config.image) }
    public var featureSize: Int { config.layerSizes.last ?? config.image.elementCount }
    public var configuration: NetworkConfiguration { NetworkConfiguration(config) }
    /// Those of all layers.
    public var observedWeights: [ParameterLayout.Entry] { layout.entries.filter { $0.shape.rank == 2 } }

    public func unusedParameters(by inputs: InputSet, rows: [Int]) -> [Range<Int>] { [] }

    public func tokenCount(of inputs: InputSet) -> Int { 1 }

    public func activationCount(capacity: Int, tokenCount: Int, purpose: WorkspacePurpose) -> Int {
        PerceptronPlan(config, capacity: capacity, purpose: purpose).count
    }

    /// Takes memory for the activations of a batch.
    ///
    /// - Throws: `NetworkError` `network.memory` when the activations do not fit.
    public func workspace(
        capacity: Int, tokenCount: Int, purpose: WorkspacePurpose
    ) throws(NetworkError) -> any NetworkWorkspace {
        try PerceptronWorkspace(self, capacity: capacity, purpose: purpose)
    }
}

/// The architecture of a multilayer perceptron.
public struct PerceptronConfig: Sendable, Hashable, Encodable {
    /// The size of the images, whose numbers are taken one after the other.
    public var image: ImageShape
    /// The outputs of every layer.
    public var layerSizes: [Int]
    /// Follows every layer but the last.
    public var activation: Activation
    /// Whether the activation follows the last layer too.
    public var activatesFeature: Bool
    /// Whether layers have a bias.
    public var hasBias: Bool

    /// Describes a perceptron; `Perceptron` checks the sizes.
    public init(
        image: ImageShape, layerSizes: [Int], activation: Activation = .relu, activatesFeature: Bool = false,
        hasBias: Bool = true
    ) {
        self.image = image
        self.layerSizes = layerSizes
        self.activation = activation
        self.activatesFeature = activatesFeature
        self.hasBias = hasBias
    }

    /// The widths of every layer's input and output.
    var layers: [(input: Int, output: Int)] {
        zip([image.elementCount] + layerSizes, layerSizes).map { (input: $0, output: $1) }
    }

    func isActivated(_ layer: Int) -> Bool { activatesFeature || layer < layerSizes.count - 1 }

    /// Far above any published model, and low enough that no product of two of them overflows 63 bits.
    private static let largestSize = 1 << 24

    func validate() throws(NetworkError) {
        guard !layerSizes.isEmpty else { throw NetworkError(.badConfig, "a perceptron needs a layer") }
        for (name, size) in [("an image", image.elementCount)] + layerSizes.map({ ("a layer", $0) })
        where size < 1 || size > Self.largestSize {
            throw NetworkError(
                .badConfig, "\(name) has \(size) numbers; there must be between 1 and \(Self.largestSize)")
        }
        var count = 0
        for (input, output) in layers {
            count += input * output
            guard count < 1 << 40 else { throw NetworkError(.badConfig, "the model would have \(count) parameters") }
        }
    }
}
