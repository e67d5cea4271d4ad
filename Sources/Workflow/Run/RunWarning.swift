import TensorCore

/// What a run finds out about itself.
public enum RunWarning: String, WarningCode {
    public static let area = "run"

    /// Resolving made the interference worse.
    case moreInterference = "more_interference"
}
