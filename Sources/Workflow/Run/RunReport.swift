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
    /// What became of the base's outputs, where their entry was carried out by itself.
    public var teachers: KeptTeachers?
    /// The adapted experts; empty when the recipe asks for no resolving.
    public var adapted: [AdaptedExpert] = []
    /// The tasks that have data.
    public var tasks: [TaskMeasurement.MeasuredTask] = []
    /// The merge of the experts as they are.
    public var merged: CrossTaskInterference?
    /// The merge of the adapted experts.
    public var mergedResolved: CrossTaskInterference?
    /// The merged model after distilling; nil when the recipe asks for none, or an earlier run had done it.
    public var distilled: AdaptedExpert?
    /// What the merge became by distilling.
    public var mergedDistilled: CrossTaskInterference?
    /// What was written; nil when there is no output or an earlier run had written it.
    public var written: WrittenCheckpoint?
    public var mergeWasDone = false
    public var duration: Duration = .zero

    init(recipe: Recipe) { self.recipe = recipe }
}
