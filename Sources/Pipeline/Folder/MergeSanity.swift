import Checkpoints
import TensorCore

/// Figures that tell a broken merge from a sound one, without running the model.
public struct MergeSanity: Sendable, Hashable {
    /// Numbers of the result that are none.
    public let nanCount: Int
    public let infinityCount: Int
    /// Finite numbers that became infinite in the type of the output.
    public let overflowCount: Int
    /// The L2 norm of all tensors that were merged.
    public let norm: Double
    /// The norm of the same tensors in each input, the base first.
    public let inputs: [Input]
    /// The tensors whose norm is the smallest and the largest part of their mean norm in the experts.
    public let least: TensorRatio?
    public let most: TensorRatio?

    /// One model that was merged.
    public struct Input: Sendable, Hashable {
        public let name: String
        public let norm: Double
    }

    /// The norm of a tensor of the result as a part of what it is in the experts.
    public struct TensorRatio: Sendable, Hashable {
        public let tensor: TensorName
        public let ratio: Double
    }

    /// - Parameters:
    ///   - inputs: the base first, if there is one.
    ///   - names: the tensors that were merged.
    init(
        result: ModelNorms, inputs: [(name: String, norms: ModelNorms)], expertCount: Int, names: [TensorName],
        overflowCount: Int
    ) {
        nanCount = result.nanCount
        infinityCount = result.infinityCount
        self.overflowCount = overflowCount
        norm = result.norm(over: names)
        self.inputs = inputs.map { Input(name: $0.name, norm: $0.norms.norm(over: names)) }
        let experts = inputs.suffix(expertCount).map(\.norms)
        let ratios = names.compactMap { name -> TensorRatio? in
            let mean = experts.reduce(0) { $0 + ($1[name]?.norm ?? 0) } / Double(max(1, experts.count))
            guard let norm = result[name]?.norm, mean > 0, mean.isFinite else { return nil }
            return TensorRatio(tensor: name, ratio: norm / mean)
        }
        least = ratios.min { $0.ratio < $1.ratio }
        most = ratios.max { $0.ratio < $1.ratio }
    }
}
