import TensorCore

/// What task vectors do not show.
public enum AnalysisWarning: String, WarningCode {
    public static let area = "analysis"

    /// Tensors that hold weights and have no task vector.
    case notMeasured = "not_measured"
    /// Differences that F32 cannot hold.
    case beyondF32 = "beyond_f32"
}
