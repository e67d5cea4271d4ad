import Checkpoints
import SystemPackage
import TensorCore

/// The `config.json` of a model that is written again: perhaps in part or in another type, with weights that were quantised, or are no
/// longer.
public struct ConvertedConfig {
    /// What the file is called.
    public static let fileName = ModelConfig.fileName

    private let config: ModelConfig

    /// Looks for the configuration of a model.
    ///
    /// - Returns: nil when there is none beside the weights, or none that can be read.
    public init?(of store: TensorStore) {
        guard let config = ModelFolder(of: store)?.config else { return nil }
        self.config = config
    }

    /// The text for tensors that are written as they are stored, or cast.
    ///
    /// - Parameters:
    ///   - before: those that it describes.
    ///   - outputs: those that it is to describe.
    /// - Throws: `FormatError` when the text cannot be edited.
    public func converted(from before: [TensorDescriptor], to outputs: [TensorDescriptor]) throws -> [UInt8] {
        guard Set(before) != Set(outputs) else { return config.text }
        return try config.rewritten(from: before, to: outputs, isTied: nil, wasQuantized: false).text
    }

    /// The text for weights that are numbers, without what it says of codes.
    ///
    /// - Parameters:
    ///   - before: the weights that it describes, as numbers.
    ///   - outputs: those that it is to describe.
    /// - Throws: `FormatError` when the text cannot be edited.
    public func dequantized(from before: [TensorDescriptor], to outputs: [TensorDescriptor]) throws -> [UInt8] {
        try config.rewritten(from: before, to: outputs, isTied: nil, wasQuantized: true).text
    }

    /// The text for weights that are stored as codes.
    ///
    /// - Parameter settings: what it has to say of them, as JSON.
    /// - Throws: `FormatError` when the text cannot be edited.
    public func quantized(_ settings: String) throws -> [UInt8] {
        var editor = try JSONEditor(config.text)
        try editor.set([QuantizationConfig.keys[0]], to: settings)
        return editor.text
    }
}
