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
    ///   - isWhole: whether the tensors are all of the model.
    /// - Returns: nil when the folder holds no configuration of an architecture that is known.
    /// - Throws: `FormatError` `bad_name` for a tensor that GGUF has no name for, as those of a mixture of experts, `bad_shape` when
    ///   a tensor is not as the configuration says, `tensor_count` when one is missing; `IOError` when there is no memory.
    public init?(
        _ reader: any CheckpointReader, folder: FilePath, layout: ElementLayout, isWhole: Bool = true
    ) throws {
        func document(_ name: String) -> JSONValue? { JSONDocument.read(folder.appending(name)) }
        guard let config = document("config.json") else { return nil }
        try Self.refuseExperts(config, reader)
        guard let translation = GGUFTranslation(config) else { return nil }
        let factors =
            translation.architecture.name == "llama"
            ? try RotaryFactors.tensor(config, headCount: translation.headCount) : nil
        let check = GGUFModelCheck(config, translation, folder: folder)
        try check.requireShapes(of: reader)
        self.reader = try translation.toGGUF(reader, extra: factors)
        if isWhole { try check.requireAll(of: reader) }
        let model = GGUFModelMetadata(
            config, translation, name: Self.name(of: folder), layout: layout)
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

    /// Makes sure that a model has one network for each layer: GGUF stacks those of experts.
    private static func refuseExperts(_ config: JSONValue, _ reader: any CheckpointReader) throws(FormatError) {
        let keys = ["num_local_experts", "num_experts", "n_routed_experts"]
        guard let key = keys.first(where: { (config[$0]?.int ?? 0) > 1 }), let count = config[key]?.int else { return }
        let tensor = reader.descriptors.first { $0.name.text.split(separator: ".").contains("experts") }
        throw FormatError(
            .badName,
            "`\(key)` in config.json is \(count): the tensors of a mixture of experts are stacked in GGUF, under names that "
                + "are not written yet", file: reader.path, tensor: tensor?.name,
            hint: "convert the model with `convert_hf_to_gguf.py` of llama.cpp")
    }

    /// What the model of a folder is called: by its name on the hub, else by that of the folder.
    private static func name(of folder: FilePath) -> String {
        let place = folder.resolved
        let hubName = (HubSnapshot(containing: folder) ?? HubSnapshot(containing: place))?.name.description
        // Without the organisation, as llama.cpp names models.
        return hubName?.split(separator: "/").last.map(String.init) ?? place.lastComponent?.string ?? "model"
    }

    private static func text(of path: FilePath) -> String? {
        guard let file = try? MappedFile(path), file.byteCount < 1 << 24 else { return nil }
        return file.withUnsafeBytes { $0.validatedText }
    }
}
