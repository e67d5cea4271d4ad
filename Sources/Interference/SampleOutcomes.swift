/// How a model did on each input of one task.
public struct SampleOutcomes: Sendable, Hashable {
    /// The distances from the expert, `[N]`.
    public let distances: [Double]
    /// Whether the largest logit is that of the label, `[N]`; nil without labels, or when logits are not finite.
    public let hits: [Bool]?

    public init(distances: [Double], hits: [Bool]?) {
        self.distances = distances
        self.hits = hits
    }

    /// The mean distance.
    public var interference: Double { distances.reduce(0, +) / Double(distances.count) }
}
