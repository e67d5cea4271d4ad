// Heads for experts that come without: what an expert has changed, as far as its features show it on auxiliary inputs.
//
// With d = f(x; expert) − f(x; base) over the auxiliary inputs and C = E d dᵀ = V diag(λ) Vᵀ, λ descending, the head reads the directions that take
// in a share of the drift's energy, each in units of its own drift:
//
//     W = diag(λ_1..λ_k)^(-1/2) V_kᵀ,   k the least with λ_1 + ... + λ_k ≥ share · tr C
//
// so that the mean square over its outputs is 1 for what the expert itself changes. Under the distance `mse` the loss of Resolving Interference
// then says in features what it says in logits under true heads: an expert keeps what it has changed, and leaves where the base had them the
// directions in which the other experts move. Without the division by √λ the first directions, in which all experts drift alike, outweigh
// all others, and experts lose what they have learned; `docs/variants.md` has the figures.

import Kernels
public import Networks
public import TensorCore

/// Makes heads of the drift of features from a base.
public struct DriftHeads: Sendable {
    private let network: any Network
    private let inputs: InputSet
    private let budget: ComputeBudget
    private let share: Double
    /// `[N, featureSize]`.
    private let base: [Float]

    /// Computes the features of the base.
    ///
    /// - Parameters:
    ///   - base: the pretrained parameter vector, of the network's layout.
    ///   - share: of the drift's energy that heads take in, between 0 and 1.
    /// - Throws: `NetworkError` when sizes do not fit or memory is short.
    public init(
        network: any Network, base: FloatBuffer, auxiliary: InputSet, share: Double, budget: ComputeBudget
    ) throws {
        self.network = network
        inputs = auxiliary
        self.share = share
        self.budget = budget
        self.base = try network.features(parameters: base, inputs: auxiliary, budget: budget)
    }

    /// The bytes that making a head takes at its peak: two models, the features of both, and their drift in double precision.
    public static func byteCount(_ network: any Network, auxiliary: InputSet) -> Int {
        let features = Double(auxiliary.count) * Double(network.featureSize)
        let total =
            2 * 4 * Double(network.parameterCount) + (3 * 4 + 8) * features + Double(auxiliary.byteCount) + 0x1p22
        return total < Double(Int.max) ? Int(total) : .max
    }

    /// The head of an expert; one output that is always 0 where its features are the base's.
    ///
    /// - Throws: `InterferenceError` `interference.diverged` when a feature is not finite; `NetworkError`, `IOError` or
    ///   `DecompositionError` for sizes and memory.
    public func head(of expert: FloatBuffer, name: String) throws -> TaskHead {
        let features = try network.features(parameters: expert, inputs: inputs, budget: budget)
        let width = network.featureSize
        let drift = try Matrix<Double>(rows: inputs.count, columns: width)
        for place in 0..<drift.count { drift.pointer[place] = Double(features[place]) - Double(base[place]) }
        let energy = try Matrix<Double>(rows: width, columns: width)
        multiply(
            width, width, inputs.count, drift.transposed, drift.view, into: energy.pointer, stride: width,
            alpha: 1 / Double(inputs.count))
        let spectrum: SymmetricEigen
        do { spectrum = try SymmetricEigen(destroying: energy) } catch DecompositionError.notFinite {
            throw InterferenceError(
                .diverged, "expert \"\(name)\": its features of auxiliary inputs, or the base's, are not finite",
                hint: "look at the expert's weights and the inputs")
        }
        let values = spectrum.values.map { max($0, 0) }
        let total = values.reduce(0, +)
        var (weight, sum): ([Float], Double) = ([], 0)
        for place in values.indices.reversed() where sum < share * total && values[place] > 0 {
            sum += values[place]
            let scale = 1 / values[place].squareRoot()
            weight += (0..<width).map { Float(scale * spectrum.vectors.pointer[place * width + $0]) }
        }
        if weight.isEmpty { weight = [Float](repeating: 0, count: width) }
        return TaskHead(
            name: name, head: try ClassificationHead(name: name, weight: weight, classCount: weight.count / width))
    }
}
