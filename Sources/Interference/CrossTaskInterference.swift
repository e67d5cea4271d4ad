public import Kernels
public import Networks
public import TensorCore

/// The interference of one task in a merged model.
public struct TaskInterference: Sendable, Hashable {
    public let name: String
    /// The mean distance from the expert to the merged model on the task's inputs; NaN when logits of either are not finite.
    public let interference: Double
    public let samples: Int
    /// Accuracies between 0 and 1, where labels exist; NaN when logits are not finite.
    public let expertAccuracy: Double?
    public let mergedAccuracy: Double?
}

/// How far a merged model is from behaving as every expert does on that expert's task.
///
///     xi = Σ_t E_{x ~ task t} dist(h_t f(x; expert_t), h_t f(x; merged))
///
/// - Source: Ramesh, Stoica, Iyer, Choshen, Hoffman 2026, arXiv:2603.13467.
public struct CrossTaskInterference: Sendable, Hashable {
    public let tasks: [TaskInterference]
    /// For every task how the merged model did on each input.
    public let outcomes: [SampleOutcomes]
    public let distance: Distance
    /// The sum over tasks.
    public var total: Double { tasks.reduce(0) { $0 + $1.interference } }

    /// Measures a merged model against its experts.
    ///
    /// - Parameter shared: the inputs of all tasks, where these have the same, so that features are computed once.
    /// - Throws: `NetworkError` when sizes do not fit or memory is short; what reading a stream throws.
    public init(
        _ network: any Network, merged: FloatBuffer, references: [ExpertReference], distance: Distance = .kl,
        on shared: InputSet? = nil, budget: ComputeBudget
    ) throws {
        for reference in references {
            try network.check(reference.data.task.head, name: reference.data.task.name)
        }
        let features = try network.features(
            parameters: merged, sets: shared.map { [$0] } ?? references.map(\.data.inputs), budget: budget)
        var (tasks, outcomes): ([TaskInterference], [SampleOutcomes]) = ([], [])
        for (place, reference) in references.enumerated() {
            let logits = HeadBank([reference.data.task.head]).logits(features: features[shared == nil ? place : 0])
            let outcome = reference.outcomes(distance, of: logits)
            outcomes.append(outcome)
            tasks.append(
                TaskInterference(
                    name: reference.data.task.name, interference: outcome.interference,
                    samples: reference.data.inputs.count, expertAccuracy: reference.accuracy,
                    mergedAccuracy: reference.data.accuracy(of: logits)))
        }
        self.tasks = tasks
        self.outcomes = outcomes
        self.distance = distance
    }
}
