public import Kernels
public import Networks

/// What an expert says on its own task's inputs: the fixed side of every interference measure.
///
/// Made once per expert, so that many merged models can be measured without holding the experts in memory.
public struct ExpertReference: Sendable {
    public let data: TaskData
    /// The accuracy of the expert, where labels exist.
    public let accuracy: Double?
    /// `[N, classes]`.
    fileprivate let logits: [Float]

    /// Computes the outputs of an expert on its own task.
    ///
    /// - Parameter expert: the original expert's parameters, also where adapted experts were merged.
    /// - Throws: `NetworkError` when sizes do not fit or memory is short.
    public init(
        _ transformer: VisionTransformer, expert: [Float], data: TaskData, budget: ComputeBudget
    ) throws(NetworkError) {
        self.data = data
        logits = try data.logits(transformer, expert, budget)
        accuracy = data.accuracy(of: logits)
    }

    /// How a model with the given logits on the same inputs does.
    fileprivate func outcomes(_ distance: Distance, of student: [Float]) -> SampleOutcomes {
        let K = data.task.head.classCount
        let distances = logits.withUnsafeBufferPointer { teacher in
            student.withUnsafeBufferPointer { student -> [Double] in
                guard let teacher = teacher.baseAddress, let student = student.baseAddress else { return [] }
                return (0..<data.inputs.count).map { n in
                    distance.value(teacher: teacher + n * K, student: student + n * K, K: K)
                }
            }
        }
        return SampleOutcomes(distances: distances, hits: data.hits(of: student))
    }
}

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
    /// - Throws: `NetworkError` when sizes do not fit or memory is short.
    public init(
        _ transformer: VisionTransformer, merged: [Float], references: [ExpertReference], distance: Distance = .kl,
        on shared: ImageSet? = nil, budget: ComputeBudget
    ) throws(NetworkError) {
        for reference in references {
            try transformer.check(reference.data.task.head, name: reference.data.task.name)
        }
        let features = try transformer.features(
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

/// The drift that each single expert causes on each other task.
///
/// Entry (i, j) is the mean distance, on task i's inputs under its head, between expert i and `base + tau_i + tau_j`; the
/// diagonal is 0.
///
/// - Shapes: `base` and each of `experts` a parameter vector; the result is `[N][N]`, rows are the tasks that suffer.
/// - Cost: N (N - 1) passes over inputs.
/// - Precondition: experts and references are in one order.
/// - Throws: `NetworkError` when sizes do not fit or memory is short.
public func interferenceMatrix(
    _ transformer: VisionTransformer, base: [Float], experts: [[Float]], references: [ExpertReference],
    distance: Distance = .kl, budget: ComputeBudget
) throws(NetworkError) -> [[Double]] {
    precondition(experts.count == references.count, "every expert has one reference")
    try transformer.check(parameters: base)
    for expert in experts { try transformer.check(parameters: expert) }
    var matrix = [[Double]](repeating: [Double](repeating: 0, count: experts.count), count: experts.count)
    var pair = base
    for i in experts.indices {
        for j in experts.indices where j != i {
            for n in pair.indices { pair[n] = (experts[i][n] - base[n]) + experts[j][n] }
            let logits = try references[i].data.logits(transformer, pair, budget)
            matrix[i][j] = references[i].outcomes(distance, of: logits).interference
        }
    }
    return matrix
}
