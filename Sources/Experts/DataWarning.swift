import TensorCore

/// What is odd about the inputs of tasks.
public enum DataWarning: String, WarningCode {
    public static let area = "input"

    /// Floating-point images lie where no backbone was trained.
    case pixelRange = "pixel_range"
}
