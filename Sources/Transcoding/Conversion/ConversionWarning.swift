import TensorCore

/// What a conversion loses or leaves as it is.
public enum ConversionWarning: String, WarningCode {
    public static let area = "convert"

    /// A type that is not cast.
    case keptType = "kept_type"
    /// The output has no place for metadata.
    case metadataDropped = "metadata_dropped"
    /// Finite values became infinite, or NaN in a type without infinities.
    case overflow
    /// Values other than zero became zero.
    case underflow
    /// Most of the data gained nothing from the base.
    case littleGain = "little_gain"
    /// Changed tensors that an adapter cannot hold.
    case leftOut = "left_out"
}
