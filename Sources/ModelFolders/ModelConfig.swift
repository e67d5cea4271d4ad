import Checkpoints
import Merging
import SystemPackage
import TensorCore

/// A model's `config.json`, read for what a merge needs and rewritten only where the result differs.
struct ModelConfig: Sendable {
    static let fileName = "config.json"
    static let tieKey = "tie_word_embeddings"

    let text: [UInt8]
    let root: JSONValue

    /// Reads a configuration file.
    ///
    /// - Throws: `FormatError` when the file is not a strict JSON object, `IOError`.
    init(reading path: FilePath) throws {
        let text = try MappedFile(path).withUnsafeBytes { Array($0) }
        let root = try JSONDocument.parse(text, file: path)
        guard root.kind == .object else {
            throw InputError(.badConfig, "\(path.string) is \(root.kind.phrase), not an object", file: path)
        }
        self.text = text
        self.root = root
    }

    /// Whether the output head is the embedding matrix; nil when the file does not say.
    var tiesWordEmbeddings: Bool? { root[Self.tieKey]?.bool }

    /// Whether transformers knows what to do with the folder.
    var isForTransformers: Bool { root["architectures"] != nil || root["model_type"] != nil }

    /// The sections that may describe the language model: the whole, or a part of a multimodal model.
    private static let sections = [[], ["text_config"], ["llm_config"], ["language_config"]]
    static let layerCountKeys = ["num_hidden_layers", "n_layer", "num_layers", "n_layers"]
    private static let dtypeKeys = ["torch_dtype", "dtype"]

    /// The file with number of layers, type, vocabulary and tying as they are in the result.
    ///
    /// - Parameters:
    ///   - donor: the tensors that the file describes.
    ///   - outputs: the tensors that it is to describe.
    ///   - isTied: whether the result has its head in the embeddings; nil leaves what the file says.
    ///   - wasQuantized: whether the result has numbers where the file speaks of codes.
    func rewritten(
        from donor: [TensorDescriptor], to outputs: [TensorDescriptor], isTied: Bool?, wasQuantized: Bool
    ) throws(FormatError) -> RewrittenConfig {
        var editor = RewrittenConfig(editor: try JSONEditor(text))
        for section in Self.sections where value(at: section)?.kind == .object {
            try setLayerCount(section, from: donor, to: outputs, &editor)
            try setVocabulary(section, from: donor, to: outputs, &editor)
            try setDType(section, outputs, &editor)
        }
        let known = Self.sections.contains { section in Self.dtypeKeys.contains { value(at: section + [$0]) != nil } }
        if !known, let was = donor.mainDType, let now = outputs.mainDType, was != now, let name = now.configName {
            try editor.set(["torch_dtype"], to: JSONEditor.quoted(name))
        }
        if let isTied, tiesWordEmbeddings != isTied {
            try editor.set([Self.tieKey], to: isTied ? "true" : "false")
        }
        if wasQuantized { try editor.removeQuantization() }
        return editor
    }

    private func value(at path: [String]) -> JSONValue? {
        path.reduce(Optional(root)) { value, key in value?[key] }
    }

    private func setLayerCount(
        _ section: [String], from donor: [TensorDescriptor], to outputs: [TensorDescriptor],
        _ editor: inout RewrittenConfig
    ) throws(FormatError) {
        let before = LayerStack.all(in: donor)
        let after = Dictionary(uniqueKeysWithValues: LayerStack.all(in: outputs).map { ($0.prefix, $0.count) })
        for key in Self.layerCountKeys {
            guard let count = value(at: section + [key])?.int else { continue }
            // The stack of layers that the number speaks of, by its length; a vision tower may have another.
            let stacks = before.filter { $0.count == count }
            let counts = Set(stacks.compactMap { after[$0.prefix] }).subtracting([count])
            guard counts.count == 1, let new = counts.first else { continue }
            try editor.set(section + [key], to: "\(new)")
            if value(at: section + ["layer_types"])?.array?.count == count {
                editor.warnings.append(
                    Warning(
                        FolderWarning.layerTypes,
                        "config.json lists \(count) layer_types and the result has \(new) layers; adapt the list by hand"
                    ))
            }
        }
    }

    private func setVocabulary(
        _ section: [String], from donor: [TensorDescriptor], to outputs: [TensorDescriptor],
        _ editor: inout RewrittenConfig
    ) throws(FormatError) {
        guard value(at: section + ["vocab_size"])?.int != nil else { return }
        guard let embedding = donor.first(where: { TiedEmbeddings.isEmbedding($0.name) }),
            let result = outputs.first(where: { $0.name == embedding.name }), let rows = result.shape.dims.first,
            rows != embedding.shape.dims.first
        else { return }
        try editor.set(section + ["vocab_size"], to: "\(rows)")
    }

    private func setDType(
        _ section: [String], _ outputs: [TensorDescriptor], _ editor: inout RewrittenConfig
    ) throws(FormatError) {
        guard let name = outputs.mainDType?.configName else { return }
        for key in Self.dtypeKeys {
            guard let stated = value(at: section + [key])?.string, stated != name, stated != "torch.\(name)" else {
                continue
            }
            try editor.set(section + [key], to: JSONEditor.quoted(name))
        }
    }
}

/// A `config.json` with what was changed in it.
struct RewrittenConfig {
    fileprivate(set) var editor: JSONEditor
    /// `num_hidden_layers = 24`, and so on.
    fileprivate(set) var changes: [String] = []
    fileprivate(set) var warnings: [Warning] = []

    var text: [UInt8] { editor.text }

    fileprivate init(editor: JSONEditor) { self.editor = editor }

    /// Takes out what says how weights are quantised.
    fileprivate mutating func removeQuantization() throws(FormatError) {
        for section in [[]] + QuantizationConfig.sections.map({ [$0] }) {
            for key in QuantizationConfig.keys where try editor.remove(section + [key]) {
                changes.append("\((section + [key]).joined(separator: ".")) removed")
            }
        }
    }

    fileprivate mutating func set(_ path: [String], to literal: String) throws(FormatError) {
        if try editor.set(path, to: literal) { changes.append("\(path.joined(separator: ".")) = \(literal)") }
    }
}

extension [TensorDescriptor] {
    /// The floating-point type that most of the data has.
    var mainDType: DType? {
        var byteCounts: [DType: Double] = [:]
        for tensor in self where tensor.dtype.isFloatingPoint {
            byteCounts[tensor.dtype, default: 0] += Double(tensor.byteCount)
        }
        return byteCounts.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }?.key
    }
}
