import TensorCore

/// What a conversion loses or leaves as it is.
public enum ConversionWarning: String, WarningCode {
    public static let area = "convert"

    /// A type that is not cast.
    case keptType = "kept_type"
    /// The output has no place for metadata.
    case metadataDropped = "metadata_dropped"
    /// Finite values became infinite.
    case overflow
    /// Most of the data gained nothing from the base.
    case littleGain = "little_gain"
}
