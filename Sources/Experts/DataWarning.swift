import TensorCore

/// What is odd about the inputs of tasks.
public enum DataWarning: String, WarningCode {
    public static let area = "input"

    /// Floating-point images lie where no backbone was trained.
    case pixelRange = "pixel_range"
    /// Pictures or lines that cannot be read were left out.
    case skipped
    /// Of pictures in the order of classes only the first are used.
    case firstPictures = "first_pictures"
    /// The classes that data names are not those of the head.
    case unknownClasses = "unknown_classes"
}
