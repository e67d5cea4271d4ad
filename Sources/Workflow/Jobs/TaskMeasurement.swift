import Checkpoints
import Experts
import Interference
import Kernels
import Networks
import Reporting
import TensorCore
import Work

/// Measures models on the tasks of a set of experts: accuracy, and interference against the original experts.
///
/// Made once, because what base and experts say does not change between merges.
public struct TaskMeasurement: Sendable {
    /// The tasks that have data, in the order of the experts.
    public let tasks: [MeasuredTask]
    private let backbone: Backbone
    private let references: [ExpertReference]
    /// Those of all tasks; nil where each task has its own.
    private let sharedInputs: InputSet?
    private let budget: ComputeBudget
    private let progress: any ProgressSink

    /// One task: what is measured on it, and how base and expert do.
    public struct MeasuredTask: Sendable, Hashable {
        public let name: String
        public let samples: Int
        /// Accuracies between 0 and 1; nil without labels.
        public let baseAccuracy: Double?
        public let expertAccuracy: Double?
    }

    /// How many inputs the experts, and the base where it is wanted, are measured on in all.
    public static func inputCount(of set: ExpertSet, measuresBase: Bool = true) -> Int {
        set.experts.compactMap(\.data).reduce(0) {
            $0 + $1.inputs.count * (measuresBase && $1.labels != nil ? 2 : 1)
        }
    }

    /// How many inputs a merged model is measured on.
    public var inputCount: Int { sharedInputs?.count ?? tasks.reduce(0) { $0 + $1.samples } }

    /// Measures the experts on the tasks that have data.
    ///
    /// - Parameters:
    ///   - measuresBase: whether the accuracy of the base is wanted.
    ///   - progress: is told of inputs that a model was measured on, also those that are measured later.
    /// - Throws: `input.missing_data` when no task has data; `network.*`.
    public init(
        _ set: ExpertSet, measuresBase: Bool = true, budget: ComputeBudget,
        progress: any ProgressSink = SilentProgress()
    ) throws {
        let base = measuresBase ? try set.backbone.parameters(of: set.base) : nil
        var tasks: [MeasuredTask] = []
        var references: [ExpertReference] = []
        for expert in set.experts {
            guard let data = expert.data else { continue }
            let reference = try ExpertReference(
                set.backbone.network, expert: try set.backbone.parameters(of: expert.store), data: data, budget: budget)
            let baseAccuracy =
                data.labels == nil
                ? nil
                : try base.map { try evaluate(set.backbone.network, parameters: $0, tasks: [data], budget: budget)[0] }?
                    .accuracy
            progress.advance(by: data.inputs.count * (baseAccuracy == nil ? 1 : 2))
            references.append(reference)
            tasks.append(
                MeasuredTask(
                    name: expert.name, samples: data.inputs.count, baseAccuracy: baseAccuracy,
                    expertAccuracy: reference.accuracy))
        }
        guard !tasks.isEmpty else {
            throw InputError(
                .missingData, "no task has data to measure on",
                hint: "give some with --data NAME=FILE, or data: in a recipe")
        }
        self.tasks = tasks
        self.references = references
        sharedInputs = nil
        self.backbone = set.backbone
        self.budget = budget
        self.progress = progress
    }

    /// Measures the experts, each under the head of its own task, on inputs of no task.
    ///
    /// - Throws: `input.missing_head` when an expert has none; `network.*`.
    public init(
        _ set: ExpertSet, on inputs: InputSet, budget: ComputeBudget, progress: any ProgressSink = SilentProgress()
    ) throws {
        let tasks = try set.tasks()
        references = try zip(set.experts, tasks).map { expert, task in
            defer { progress.advance(by: inputs.count) }
            return try ExpertReference(
                set.backbone.network, expert: try set.backbone.parameters(of: expert.store),
                data: try TaskData(task: task, inputs: inputs), budget: budget)
        }
        self.tasks = tasks.map {
            MeasuredTask(name: $0.name, samples: inputs.count, baseAccuracy: nil, expertAccuracy: nil)
        }
        sharedInputs = inputs
        backbone = set.backbone
        self.budget = budget
        self.progress = progress
    }

    /// Interference and accuracy of a merged model.
    ///
    /// - Throws: `input.*` when the model does not fit the backbone, `NetworkError` when memory is short.
    public func measure(_ merged: TensorStore, distance: Distance = .kl) throws -> CrossTaskInterference {
        defer { progress.advance(by: inputCount) }
        return try CrossTaskInterference(
            backbone.network, merged: try backbone.parameters(of: merged), references: references, distance: distance,
            on: sharedInputs, budget: budget)
    }

    /// All that can be said of a merged model on the tasks, with intervals.
    ///
    /// - Throws: `input.*` when the model does not fit the backbone, `NetworkError` when memory is short.
    public func drift(of merged: TensorStore, distances: [Distance]) throws -> MergeDrift {
        defer { progress.advance(by: inputCount) }
        return try MergeDrift(
            backbone.network, merged: try backbone.parameters(of: merged), references: references,
            distances: distances, budget: budget)
    }

    /// The drift that each single expert causes on each other task, a matrix for each distance.
    ///
    /// - Throws: `input.missing_data` when a task has none: the matrix has a row for every expert.
    public func matrices(of set: ExpertSet, distances: [Distance] = [.kl]) throws -> [InterferenceMatrix] {
        if let expert = set.experts.first(where: { $0.data == nil }) {
            throw InputError(
                .missingData, "task \"\(expert.name)\" has no data, and the matrix has a row for every task",
                hint: "give some with --data \(expert.name)=FILE")
        }
        defer { progress.advance(by: (tasks.count - 1) * inputCount) }
        return try InterferenceMatrix.all(
            backbone.network, base: try backbone.parameters(of: set.base),
            experts: try set.experts.map { try backbone.parameters(of: $0.store) }, references: references,
            distances: distances, budget: budget)
    }
}
