import Networks
import Synchronization
import TensorCore

/// A network that notes what is asked of it.
final class WatchedNetwork: Network {
    private let network: any Network
    /// What it says an input's activations take; nil says the truth.
    private let activationCount: Int?
    /// Whether it says that every parameter is used.
    private let hidesUnused: Bool
    /// The inputs of every pass forward that none backward can follow.
    let inferred = Mutex<[Int]>([])
    /// The capacity of every workspace for training.
    let capacities = Mutex<[Int]>([])

    init(_ network: any Network, activationCount: Int? = nil, hidesUnused: Bool = false) {
        self.network = network
        self.hidesUnused = hidesUnused
        self.activationCount = activationCount
    }

    var layout: ParameterLayout { network.layout }
    var input: NetworkInput { network.input }
    var featureSize: Int { network.featureSize }
    var configuration: NetworkConfiguration { network.configuration }
    var streamWriters: StreamWriters { network.streamWriters }
    var observedWeights: [ParameterLayout.Entry] { network.observedWeights }

    func tokenCount(of inputs: InputSet) -> Int { network.tokenCount(of: inputs) }

    func unusedParameters(by inputs: InputSet, rows: [Int]) -> [Range<Int>] {
        hidesUnused ? [] : network.unusedParameters(by: inputs, rows: rows)
    }

    func activationCount(capacity: Int, tokenCount: Int, purpose: WorkspacePurpose) -> Int {
        activationCount.map { $0 * capacity }
            ?? network.activationCount(capacity: capacity, tokenCount: tokenCount, purpose: purpose)
    }

    func workspace(
        capacity: Int, tokenCount: Int, purpose: WorkspacePurpose
    ) throws(NetworkError) -> any NetworkWorkspace {
        if purpose == .training { capacities.withLock { $0.append(capacity) } }
        let workspace = try network.workspace(capacity: capacity, tokenCount: tokenCount, purpose: purpose)
        return purpose == .training
            ? workspace
            : WatchedWorkspace(workspace) { rows in
                self.inferred.withLock { $0 += rows }
            }
    }
}

private final class WatchedWorkspace: NetworkWorkspace {
    private let workspace: any NetworkWorkspace
    private let note: @Sendable ([Int]) -> Void
    var productObserver: ProductObserver? {
        get { workspace.productObserver }
        set { workspace.productObserver = newValue }
    }

    init(_ workspace: any NetworkWorkspace, _ note: @escaping @Sendable ([Int]) -> Void) {
        self.workspace = workspace
        self.note = note
    }

    func forward(
        _ p: UnsafePointer<Float>, _ inputs: InputSet, rows: UnsafeBufferPointer<Int>
    ) -> UnsafePointer<Float> {
        note(Array(rows))
        return workspace.forward(p, inputs, rows: rows)
    }

    func backward(
        _ p: UnsafePointer<Float>, dFeatures: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>
    ) {
        workspace.backward(p, dFeatures: dFeatures, grads: grads)
    }
}
