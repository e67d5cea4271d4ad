import Checkpoints
import Experts
import Interference
import Reporting
import SystemPackage
import TensorCore
import Work

/// Measures the accuracy of a backbone under task heads.
public struct EvaluateJob: Job, Sendable {
    private let store: TensorStore
    private let backbone: Backbone
    private let tasks: [TaskData]

    /// Opens a backbone, heads, and data with labels.
    ///
    /// - Parameters:
    ///   - config: the configuration file; nil takes `config.json` beside the checkpoint.
    ///   - base: what a .skein checkpoint is stored against.
    ///   - data: how data is read that is no array.
    ///   - files: the heads and data of the tasks; the checkpoint counts for all.
    /// - Throws: `input.*`, `network.*`, what readers throw.
    public init(
        _ checkpoint: FilePath, config: FilePath?, base: FilePath?, data: DataOptions = DataOptions(),
        tasks files: [ExpertFiles], in context: Context
    ) throws {
        var reading = context.reading()
        reading.base = base
        store = try TensorStore(opening: checkpoint, options: reading)
        store.warnings.forEach(context.warn)
        var backbone = try Backbone(of: store, config: config)
        backbone.reading = context.reading()
        backbone.data = data
        tasks = try files.compactMap { [backbone] files in
            guard let data = files.data else { return nil }
            let head = try files.head.map { try backbone.taskHead($0, name: files.name) }
            return try backbone.taskData(data, task: head, name: files.name, needsLabels: true, in: context)
        }
        self.backbone = backbone
    }

    /// The accuracies in the order of the tasks.
    ///
    /// - Throws: `network.*`, what reading the checkpoint throws.
    public func run(in context: Context) throws -> [TaskAccuracy] {
        context.progress.begin(
            "evaluating \(store.path)", total: tasks.reduce(0) { $0 + $1.inputs.count }, unit: .items("inputs"))
        defer { context.progress.end() }
        let parameters = try backbone.parameters(of: store)
        return try tasks.flatMap { task in
            defer { context.progress.advance(by: task.inputs.count) }
            return try evaluate(backbone.network, parameters: parameters, tasks: [task], budget: context.budget)
        }
    }
}
