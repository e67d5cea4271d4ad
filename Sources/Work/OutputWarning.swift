import TensorCore

/// What a dry run finds in the way of an output.
public enum OutputWarning: String, WarningCode {
    public static let area = "output"

    case exists
    /// The disk has too little room.
    case space
}
