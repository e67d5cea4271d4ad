import TensorCore

/// Deviations of checkpoints that readers tolerate.
public enum FormatWarning: String, WarningCode {
    public static let area = "format"

    /// White space before a safetensors header.
    case leadingSpace = "leading_space"
    case unknownField = "unknown_field"
    /// The index of shards states another size than its tensors have.
    case totalSize = "total_size"
    /// Shards have different values for one key.
    case shardMetadata = "shard_metadata"
    /// A folder holds other sets of weights than the one that is taken.
    case otherWeights = "other_weights"
    /// A folder holds parts of a checkpoint that its index does not name.
    case otherParts = "other_parts"
    /// An adapter has modules of other components of a pipeline than the base.
    case otherComponents = "other_components"
    /// An adapter's configuration says that layers are stored the other way round than they are.
    case notTransposed = "not_transposed"
    /// An adapter that holds nothing.
    case emptyAdapter = "empty_adapter"
    /// NumPy data without a byte order.
    case byteOrder = "byte_order"
    /// Members of an archive that no tensor can hold.
    case passedOver = "passed_over"
    /// A PyTorch archive was written without checksums.
    case noChecksums = "no_checksums"
    /// Tensors are views of the same numbers, and each is read by itself.
    case sharedStorage = "shared_storage"
    /// All tensors of a file lie in parts of it, such as a model beside an optimiser.
    case nestedTensors = "nested_tensors"
    /// Stored data decodes to far more than it takes.
    case expansion
    /// Damage that costs no tensor.
    case harmlessDamage = "harmless_damage"
    /// A GGUF file that is written without a tokenizer.
    case noVocabulary = "no_vocabulary"
    /// A GGUF file that is written of a model whose names there are not known.
    case unknownModel = "unknown_model"
    /// Tensors of a GGUF model of a known architecture that keep the names of the file.
    case unknownTensor = "unknown_tensor"
}

/// What is odd about the selection of tensors, or their weights.
public enum WeightsWarning: String, WarningCode {
    public static let area = "input"

    /// Figures are of quantised numbers as they are stored.
    case storedNumbers = "stored_numbers"
    /// Quantised weights are worked on as the numbers that they stand for.
    case dequantized
    /// Patterns leave no tensor.
    case nothingSelected = "nothing_selected"
    /// A rule for names changes none.
    case unusedRename = "unused_rename"
    /// Most tensors of two checkpoints would have the same names by a rule.
    case otherNames = "other_names"
}
