import TensorCore

/// What should be known about the folders of models and of the result.
public enum FolderWarning: String, WarningCode {
    public static let area = "folder"

    /// A `config.json` that cannot be read is left as it is, and says nothing of a model.
    case config
    /// The models' configurations differ in what the result inherits.
    case configDiffers = "config_differs"
    /// A list of layers does not fit the result.
    case layerTypes = "layer_types"
    /// A model's tokenizer differs from that of the result.
    case tokenizerDiffers = "tokenizer_differs"
    /// No model has a chat template.
    case noChatTemplate = "no_chat_template"
    /// A model without an output head takes its embeddings for it.
    case headMade = "head_made"
    /// transformers will ignore the output head.
    case headIgnored = "head_ignored"
    /// transformers will miss tensors in the result.
    case missingTensors = "missing_tensors"
}
