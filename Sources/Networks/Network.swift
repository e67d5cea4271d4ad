import Kernels
public import TensorCore

/// A function from inputs to features, for inference and for training.
///
/// The value holds no parameters. They come as one flat vector that `layout` describes, so that merging, optimising and
/// copying a model are loops over one array.
public protocol Network: Sendable {
    /// Where each tensor lies in a parameter vector.
    var layout: ParameterLayout { get }
    /// What goes in.
    var input: NetworkInput { get }
    /// The width of the feature that heads read.
    var featureSize: Int { get }
    /// All that the function depends on besides parameters and inputs, for fingerprints.
    var configuration: NetworkConfiguration { get }
    /// The tensors whose outputs add up to what features are read from.
    var streamWriters: StreamWriters { get }
    /// The weights of which a workspace tells what they are multiplied with, stream writers that are products among them.
    var observedWeights: [ParameterLayout.Entry] { get }

    /// The stretches of a parameter vector that have no gradient on some inputs, such as words that no text has.
    ///
    /// - Parameter rows: the numbers of the inputs in the set.
    func unusedParameters(by inputs: InputSet, rows: [Int]) -> [Range<Int>]

    /// The tokens that one input of a set becomes, which is what memory and time grow with.
    func tokenCount(of inputs: InputSet) -> Int

    /// The numbers that a workspace holds; `Int.max` when they cannot be counted.
    func activationCount(capacity: Int, tokenCount: Int, purpose: WorkspacePurpose) -> Int

    /// Takes memory for the activations of a batch.
    ///
    /// - Parameters:
    ///   - capacity: the most inputs of one pass.
    ///   - tokenCount: the most tokens that an input of them becomes.
    /// - Throws: `NetworkError` `network.memory` when the activations do not fit.
    func workspace(
        capacity: Int, tokenCount: Int, purpose: WorkspacePurpose
    ) throws(NetworkError) -> any NetworkWorkspace
}

/// The architecture of a network as encoders write it down.
public struct NetworkConfiguration: Encodable, Sendable {
    private let value: any Encodable & Sendable

    public init(_ value: some Encodable & Sendable) { self.value = value }

    /// Encodes the architecture.
    ///
    /// - Throws: what the encoder throws.
    public func encode(to encoder: any Encoder) throws { try value.encode(to: encoder) }
}

/// What a workspace is for.
public enum WorkspacePurpose: Sendable {
    /// Features alone: as little as will do is computed and kept.
    case inference
    /// What the layers of a model's library compute, also where no feature depends on it.
    case observation
    /// Keeps what the backward pass needs.
    case training
}

/// Told on a pass forward what a weight is multiplied with.
///
/// - Parameters:
///   - weight: where the weight starts in the parameter vector.
///   - inputs: `[count, inputs of the weight]`, valid during the call. Padding is not among them.
public typealias ProductObserver = (_ weight: Int, _ inputs: UnsafePointer<Float>, _ count: Int) -> Void

/// The activations of one worker, and the passes of a network that run in them.
///
/// Safety: one thread at a time may use a workspace.
public protocol NetworkWorkspace: AnyObject, Sendable {
    /// Told of every pass forward what the observed weights are multiplied with; nil at first.
    var productObserver: ProductObserver? { get set }

    /// Computes the features of inputs; they stay valid until the next pass.
    ///
    /// - Shapes: `p` a parameter vector, `rows` the numbers of inputs in the set; the result is `[rows, featureSize]`.
    /// - Precondition: there are at most as many rows as the workspace was made for, all inside the set.
    func forward(
        _ p: UnsafePointer<Float>, _ inputs: InputSet, rows: UnsafeBufferPointer<Int>
    ) -> UnsafePointer<Float>

    /// Adds the gradient of the parameters to `grads`, from the gradient of the features of the last pass.
    ///
    /// It adds so that a batch can be computed a few inputs at a time in one vector: a second one would cost large models more memory than
    /// the activations do.
    ///
    /// - Shapes: `dFeatures` `[rows, featureSize]` of that pass, `grads` like the parameter vector.
    /// - Precondition: `p` is that of the pass, and the purpose is training.
    func backward(
        _ p: UnsafePointer<Float>, dFeatures: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>)
}

extension Network {
    /// The length of a parameter vector.
    public var parameterCount: Int { layout.count }

    /// Checks the length of a parameter vector.
    ///
    /// - Throws: `NetworkError` `network.parameter_count` when the vector has another length.
    public func check(parameters: FloatBuffer) throws(NetworkError) {
        guard parameters.count == layout.count else {
            throw NetworkError(
                .parameterCount,
                "the architecture has \(layout.count) parameters, but the vector holds \(parameters.count)",
                hint: "check that config.json belongs to the checkpoint")
        }
    }

    /// Checks a head against the features of the model.
    ///
    /// - Throws: `NetworkError` `network.bad_head` when the head reads features of another width.
    public func check(_ head: ClassificationHead, name: String) throws(NetworkError) {
        guard head.width == featureSize else {
            throw NetworkError(
                .badHead,
                "head \"\(name)\" reads features of width \(head.width), but the backbone makes \(featureSize)")
        }
    }
}
