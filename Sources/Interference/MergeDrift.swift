public import Kernels
public import Networks
public import TensorCore

/// What a merged model does otherwise than its experts on the inputs of their tasks, in every figure there is, with intervals.
///
/// `CrossTaskInterference` is the first of these. The others tell harmful drift from harmless: outputs may move while the choice stays, and
/// features may turn in ways that a head could follow.
public struct MergeDrift: Sendable, Hashable {
    /// What the distances between outputs are, all from one forward pass.
    public let distances: [Distance]
    public let tasks: [Task]
    /// The sums over tasks, one for each distance.
    public let totals: [Figure]
    /// The mean over tasks.
    public let agreement: Figure
    /// The means over tasks; nil unless all have labels.
    public let expertAccuracy: Figure?
    public let mergedAccuracy: Figure?

    /// The drift on one task.
    public struct Task: Sendable, Hashable {
        public let name: String
        public let samples: Int
        /// The mean over the inputs of each distance between the expert's outputs and the merged model's.
        public let interference: [Figure]
        /// The share of inputs for which both choose the same class.
        public let agreement: Figure
        /// The linear CKA of the features of both; nil when these do not vary.
        public let similarity: Figure?
        /// Between 0 and 1, where labels exist.
        public let expertAccuracy: Figure?
        public let mergedAccuracy: Figure?
        /// What the figures are means of, but for the similarity.
        public let outcomes: InputOutcomes
    }

    /// Measures a merged model against its experts.
    ///
    /// Where outputs are not finite, figures are NaN and have no interval.
    ///
    /// - Throws: `NetworkError` when sizes do not fit or memory is short; `IOError` when it is short for features.
    public init(
        _ network: any Network, merged: FloatBuffer, references: [ExpertReference], distances: [Distance] = [.kl],
        bootstrap: Bootstrap = Bootstrap(), budget: ComputeBudget
    ) throws {
        for reference in references {
            try network.check(reference.data.task.head, name: reference.data.task.name)
        }
        let features = try network.features(
            parameters: merged, sets: references.map(\.data.inputs), budget: budget)
        let outcomes = zip(references, features).map { InputOutcomes($0, features: $1, distances) }
        func mean(_ values: [[Double]?]) -> Figure? {
            let known = values.compactMap { $0 }
            guard known.count == values.count else { return nil }
            return Figure(meanShareOf: known)
        }
        func total(_ place: Int, _ outcomes: [InputOutcomes]) -> Figure {
            Figure(sumOf: outcomes.map { $0.distances[place] }, bootstrap)
        }
        self.distances = distances
        tasks = try zip(zip(references, features), outcomes).map { task, outcomes in
            let (reference, features) = task
            return Task(
                name: reference.data.task.name, samples: reference.data.inputs.count,
                interference: distances.indices.map { total($0, [outcomes]) },
                agreement: Figure(shareOf: outcomes.agreements),
                similarity: try .similarity(
                    of: reference.features, to: features, width: network.featureSize),
                expertAccuracy: outcomes.expertHits.map(Figure.init(shareOf:)),
                mergedAccuracy: outcomes.mergedHits.map(Figure.init(shareOf:)), outcomes: outcomes)
        }
        totals = distances.indices.map { total($0, outcomes) }
        agreement = Figure(meanShareOf: outcomes.map(\.agreements))
        expertAccuracy = mean(outcomes.map(\.expertHits))
        mergedAccuracy = mean(outcomes.map(\.mergedHits))
    }
}
