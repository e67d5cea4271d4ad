import Checkpoints
import Interference
import Recipes
import Reporting
import SystemPackage
import TensorCore

/// What a run did and measured.
public struct RunReport: Sendable {
    public let recipe: Recipe
    public var warnings: [Warning] = []
    /// The adapted experts; empty when the recipe asks for no resolving.
    public var adapted: [AdaptedExpert] = []
    /// The tasks that have data.
    public var tasks: [TaskMeasurement.MeasuredTask] = []
    /// The merge of the experts as they are.
    public var merged: CrossTaskInterference?
    /// The merge of the adapted experts.
    public var mergedResolved: CrossTaskInterference?
    /// What was written; nil when there is no output or an earlier run had written it.
    public var written: WrittenCheckpoint?
    public var mergeWasDone = false
    public var duration: Duration = .zero

    init(recipe: Recipe) { self.recipe = recipe }

    /// One row of the table: a task, or the mean and total of all.
    struct Row {
        var name: String
        var samples: Int?
        var base, expert, merged, mergedResolved: Double?
        var interference, interferenceResolved: Double?
    }

    var rows: [Row] {
        tasks.indices.map { index in
            let (task, plain, resolved) = (tasks[index], merged?.tasks[index], mergedResolved?.tasks[index])
            return Row(
                name: task.name, samples: task.samples, base: task.baseAccuracy, expert: task.expertAccuracy,
                merged: plain?.mergedAccuracy, mergedResolved: resolved?.mergedAccuracy,
                interference: plain?.interference, interferenceResolved: resolved?.interference)
        }
    }

    /// Mean accuracies over the tasks that have labels, and total interferences.
    var summary: Row {
        func mean(_ value: (Row) -> Double?) -> Double? {
            let values = rows.compactMap(value)
            return values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
        }
        return Row(
            name: "mean / total", samples: nil, base: mean(\.base), expert: mean(\.expert), merged: mean(\.merged),
            mergedResolved: mean(\.mergedResolved), interference: merged?.total,
            interferenceResolved: mergedResolved?.total)
    }
}
