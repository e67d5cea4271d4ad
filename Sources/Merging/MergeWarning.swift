import TensorCore

/// What should be known about a merge.
public enum MergeWarning: String, WarningCode {
    public static let area = "merge"

    /// Tensors have different floating-point types in different models.
    case mixedTypes = "mixed_types"
    /// Parts of quantised weights, alike in all models, are kept as they are.
    case quantizedParts = "quantized_parts"
    /// Tensors that are no weights differ and are kept.
    case kept
    /// Tensors that are no weights and that the first model lacks are left out.
    case leftOut = "left_out"
    /// Adapters are merged as whole weights, of whose change the result holds a part.
    case folded
    /// A method of matrices treats many weights otherwise.
    case stacks
    /// Tensors lack the statistics that a method takes.
    case noStatistics = "no_statistics"
    /// Statistics that are given for one expert were measured on another.
    case otherStatistics = "other_statistics"
    /// Statistics are of a part of the inputs.
    case partialStatistics = "partial_statistics"
    /// What a method measures over a model is measured over one slice.
    case slices
    /// A pattern of `--keep-base` or `keep_base` is that of no tensor.
    case unusedPattern = "unused_pattern"
    /// Numbers were too large for the output type.
    case overflow
    /// Numbers were too small for the output type.
    case underflow
    /// The result holds NaN.
    case nan
    /// The result holds infinities.
    case infinity
    /// Adapters were trained on different bases.
    case differentBases = "different_bases"
    /// Whole tensors of adapters go along as they are.
    case wholeTensors = "whole_tensors"
    /// Singular directions beyond the numerical rank were left out.
    case rank
    /// Matrices have fewer rows or columns than there are experts.
    case crowded
    /// Statistics do not determine a layer.
    case underdetermined
    /// Of the core of a matrix fewer entries are kept than it has directions.
    case sparse
}
