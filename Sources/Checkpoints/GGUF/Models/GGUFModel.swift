import SystemPackage
import TensorCore

/// A model of transformers on its way into a GGUF file: its tensors under the names there, and the metadata that llama.cpp needs.
public struct GGUFModel: Sendable {
    public let reader: any CheckpointReader
    public let metadata: GGUFMetadata
    /// What is not carried over, such as a tokenizer of another kind.
    public let warnings: [Warning]

    /// Carries a model over whose `config.json` and tokenizer lie in a folder.
    ///
    /// - Parameters:
    ///   - reader: the tensors, which need not lie there.
    ///   - layout: that of most tensors in the file.
    /// - Returns: nil when the folder holds no configuration of an architecture that is known.
    /// - Throws: `FormatError` `bad_name` for a tensor that GGUF has no name for, `bad_shape` when the heads do not fill the rows of
    ///   queries or keys; `IOError` when there is no memory.
    public init?(_ reader: any CheckpointReader, folder: FilePath, layout: ElementLayout) throws {
        func document(_ name: String) -> JSONValue? { JSONDocument.read(folder.appending(name)) }
        guard let config = document("config.json"), let translation = GGUFTranslation(config) else { return nil }
        let factors =
            translation.architecture.name == "llama"
            ? try RotaryFactors.tensor(config, headCount: translation.headCount) : nil
        self.reader = try translation.toGGUF(reader, extra: factors)
        let model = GGUFModelMetadata(
            config, translation, name: folder.lastComponent?.string ?? "model", layout: layout)
        var metadata = model.metadata
        var warnings = model.warnings
        let vocabulary = document("tokenizer.json").flatMap { tokenizer in
            GGUFVocabulary(
                tokenizer: tokenizer, settings: document("tokenizer_config.json"), config: config,
                template: Self.text(of: folder.appending("chat_template.jinja")))
        }
        for entry in vocabulary?.metadata.entries ?? [] { metadata[entry.key] = entry.value }
        if vocabulary == nil {
            warnings.append(
                Warning(
                    FormatWarning.noVocabulary,
                    "the file has no tokenizer: \(folder.string) holds no tokenizer.json of byte-level BPE that splits texts "
                        + "as Llama 3, Qwen 2 or GPT-2 do; llama.cpp cannot run the model without one"))
        }
        self.metadata = metadata
        self.warnings = warnings
    }

    private static func text(of path: FilePath) -> String? {
        guard let file = try? MappedFile(path), file.byteCount < 1 << 24 else { return nil }
        return file.withUnsafeBytes { $0.validatedText }
    }
}
