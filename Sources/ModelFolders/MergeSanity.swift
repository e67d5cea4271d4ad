import Checkpoints
import TensorCore

/// Figures that tell a broken merge from a sound one, without running the model.
public struct MergeSanity: Sendable, Hashable {
    /// Numbers of the result that are none.
    public let nanCount: Int
    public let infinityCount: Int
    /// Finite numbers that became infinite in the type of the output.
    public let overflowCount: Int
    /// The L2 norm of the result.
    public let norm: Double
    /// The base first, if there is one.
    public let inputs: [Input]
    /// The tensors whose norm is the smallest and the largest part of the mean norm of what the experts gave for them, among those
    /// whose norms are finite.
    public let least: TensorRatio?
    public let most: TensorRatio?

    /// One model that was merged.
    public struct Input: Sendable, Hashable {
        public let name: String
        /// The norm of the tensors that were merged; one that is in the result several times counts as often.
        public let norm: Double
        /// The norm of the tensors of the result that they were merged into, as a part of theirs; nil when theirs is 0, NaN when it is not finite.
        public let ratio: Double?
    }

    /// The norm of a tensor of the result as a part of the mean norm of what the experts gave for it.
    public struct TensorRatio: Sendable, Hashable {
        public let tensor: TensorName
        public let ratio: Double
    }

    /// Compares the norms of a result with those of its inputs.
    ///
    /// - Parameters:
    ///   - inputs: the base first, if there is one.
    ///   - names: the tensors of the result.
    ///   - origins: what they were merged from.
    init(
        result: ModelNorms, inputs: [(name: String, norms: ModelNorms)], names: [TensorName], origins: TensorOrigins,
        overflowCount: Int
    ) {
        nanCount = result.nanCount
        infinityCount = result.infinityCount
        self.overflowCount = overflowCount
        norm = result.norm(over: names)
        self.inputs = inputs.enumerated().map { model, input in
            var (merged, given): ([TensorName], [TensorName]) = ([], [])
            for name in names {
                for source in origins[name] where source.model == model {
                    merged.append(name)
                    given.append(source.tensor)
                }
            }
            let norm = input.norms.norm(over: given)
            return Input(
                name: input.name, norm: norm,
                ratio: norm == 0 ? nil : norm.isFinite ? result.norm(over: merged) / norm : .nan)
        }
        let ratios = names.compactMap { name -> TensorRatio? in
            let experts = origins[name].filter { !$0.isBase }
            let sum = experts.reduce(0) { $0 + (inputs[$1.model].norms[$1.tensor]?.norm ?? 0) }
            let mean = sum / Double(max(1, experts.count))
            guard let norm = result[name]?.norm, mean > 0, mean.isFinite, norm.isFinite else { return nil }
            return TensorRatio(tensor: name, ratio: norm / mean)
        }
        least = ratios.min { $0.ratio < $1.ratio }
        most = ratios.max { $0.ratio < $1.ratio }
    }
}
