import Checkpoints
import SystemPackage
import TensorCore

/// The files beside a model's weights, sorted into those that go along with it and those that do not.
package struct CompanionFiles: Sendable {
    /// One file.
    package struct File: Sendable, Hashable {
        package let name: String
        package let path: FilePath
    }

    package private(set) var copied: [File] = []
    /// Names of files that do not go along although they lie in the model's own folder.
    private(set) var leftOut: [String] = []

    /// Larger files are data, not settings; the largest vocabularies have some 30 MB.
    private static let byteCountLimit = 256 << 20

    /// Kinds of files that describe a model: settings, vocabularies, templates, custom code, licences.
    private static let extensions: Set<String> = ["json", "txt", "model", "jinja", "py", "tiktoken", "vocab", "bpe"]

    private static let tokenizerNames: Set<String> = [
        "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "tokenizer.model.v3", "special_tokens_map.json",
        "added_tokens.json", "merges.txt", "vocab.json", "vocab.txt", "vocab.bpe", "spiece.model",
        "sentencepiece.bpe.model", "chat_template.jinja", "chat_template.json", "tekken.json",
    ]

    private static let otherNames: Set<String> = [
        "generation_config.json", "preprocessor_config.json", "processor_config.json", "image_processor_config.json",
        "video_preprocessor_config.json", "feature_extractor_config.json", "configuration.json",
    ]

    /// What is written anew, and what tells of one training run.
    private static let neverNames: Set<String> = [
        ModelConfig.fileName, "README.md", MergedFolder.recipeName, "trainer_state.json", "training_args.json",
        "all_results.json", "train_results.json", "eval_results.json", "adapter_config.json",
    ]

    /// Whether a file belongs to the tokenizer, and is to come from the same model as the rest of it.
    static func isTokenizerFile(_ name: String) -> Bool {
        tokenizerNames.contains(name) || name.hasSuffix(".tiktoken")
    }

    /// Decides about a file.
    ///
    /// - Parameter isOwn: whether the folder belongs to the model alone.
    mutating func add(_ name: String, in folder: FilePath, isOwn: Bool) {
        guard !Self.neverNames.contains(name), !Self.isWeights(name) else { return }
        let isKnown = Self.isTokenizerFile(name) || Self.otherNames.contains(name)
        guard isKnown || isOwn else { return }
        let path = folder.appending(name)
        if isKnown || Self.describesModel(name), fileByteCount(path) <= Self.byteCountLimit {
            copied.append(File(name: name, path: path))
        } else {
            leftOut.append(name)
        }
    }

    /// Leaves files where they are.
    mutating func leaveOut(_ names: [String]) {
        leftOut += copied.map(\.name).filter(names.contains)
        copied.removeAll { names.contains($0.name) }
    }

    /// The same with the tokenizer of another model in place of this one's.
    func replacingTokenizer(by other: CompanionFiles) -> CompanionFiles {
        var result = self
        result.copied.removeAll { Self.isTokenizerFile($0.name) }
        result.copied += other.copied.filter { Self.isTokenizerFile($0.name) }
        result.copied.sort { $0.name < $1.name }
        return result
    }

    private static func describesModel(_ name: String) -> Bool {
        if name.hasPrefix("LICENSE") || name.hasPrefix("NOTICE") || name.hasPrefix("USE_POLICY") { return true }
        return FilePath.Component(name)?.extension.map { extensions.contains($0.lowercased()) } ?? false
    }

    private static func isWeights(_ name: String) -> Bool {
        if ShardIndexName(name) != nil || name.hasSuffix(".signature") { return true }
        let endings: Set<String> = [
            "safetensors", "npz", "npy", "skein", "bin", "pt", "pth", "ckpt", "gguf", "h5", "msgpack", "onnx", "tflite",
        ]
        return FilePath.Component(name)?.extension.map { endings.contains($0.lowercased()) } ?? false
    }
}
