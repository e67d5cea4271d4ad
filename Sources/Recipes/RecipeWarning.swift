import TensorCore

/// What in a recipe is ignored, or may be meant otherwise.
public enum RecipeWarning: String, WarningCode {
    public static let area = "recipe"

    case unknownKey = "unknown_key"
    case unknownParameter = "unknown_parameter"
    /// Something that has no effect where it stands.
    case noEffect = "no_effect"
    /// The base is merged like the models.
    case baseIsMerged = "base_is_merged"
    /// A default is taken that mergekit refuses.
    case missingValue = "missing_value"
    /// A filter is part of no tensor's name.
    case unusedFilter = "unused_filter"
    /// `merge` does not resolve.
    case resolveLeftOut = "resolve_left_out"
}
