import Checkpoints
import Experts

extension Backbone {
    /// The parameters of a checkpoint, to compare.
    func values(of checkpoint: TensorStore) throws -> [Float] { try parameters(of: checkpoint).numbers }
}
