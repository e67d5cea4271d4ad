import Kernels
import Merging
import TensorCore

/// Figures that tell a broken merge from a sound one, without running the model.
public struct MergeSanity: Sendable, Hashable {
    /// Numbers of the result that are none.
    public let nanCount: Int
    public let infinityCount: Int
    /// Numbers that became infinite or zero in the type of the output.
    public let losses: CastLosses
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
        /// The norm of the tensors that were merged; one that is in the result several times counts as often. Nil when none was read.
        public let norm: Double?
        /// The norm of the tensors of the result that they were merged into, as a part of theirs; nil when theirs is nil or 0, NaN when
        /// it is not finite.
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
    ///   - figures: what the merge found out.
    ///   - inputs: the models' names, the base first, if there is one.
    ///   - tensors: those of the result.
    ///   - origins: what they were merged from.
    init(
        _ figures: MergeFigures, inputs: [String], tensors: [TensorName], origins: TensorOrigins, losses: CastLosses
    ) {
        var nonFinite = NonFiniteCount()
        var squares = 0.0
        var given: [(merged: Double, model: Double)?] = inputs.map { _ in nil }
        var ratios: [TensorRatio] = []
        for tensor in tensors {
            let norms = figures[tensor]
            nonFinite += norms.result.nonFinite
            squares += norms.result.squares
            var experts = (sum: 0.0, count: 0)
            for (place, source) in origins[tensor].enumerated() {
                guard let own = norms.inputs[place] else { continue }
                let sums = given[source.model] ?? (0, 0)
                given[source.model] = (sums.merged + norms.result.squares, sums.model + own.squares)
                if !source.isBase { experts = (experts.sum + own.norm, experts.count + 1) }
            }
            let mean = experts.sum / Double(max(1, experts.count))
            let norm = norms.result.norm
            if mean > 0, mean.isFinite, norm.isFinite { ratios.append(TensorRatio(tensor: tensor, ratio: norm / mean)) }
        }
        nanCount = nonFinite.nan
        infinityCount = nonFinite.infinite
        self.losses = losses
        norm = squares.squareRoot()
        self.inputs = zip(inputs, given).map { name, sums in
            guard let sums else { return Input(name: name, norm: nil, ratio: nil) }
            let norm = sums.model.squareRoot()
            return Input(
                name: name, norm: norm,
                ratio: norm == 0 ? nil : norm.isFinite ? sums.merged.squareRoot() / norm : .nan)
        }
        least = ratios.min { $0.ratio < $1.ratio }
        most = ratios.max { $0.ratio < $1.ratio }
    }
}
