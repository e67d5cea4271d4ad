import TensorCore

/// How the tensors of a language model are named and ordered in transformers and in GGUF, both ways.
public struct GGUFTranslation: Sendable, Hashable {
    public let architecture: GGUFArchitecture
    let headCount: Int
    let keyValueHeadCount: Int

    /// Reads what the metadata of a GGUF file say; nil for architectures and heads that are not known.
    public init?(_ metadata: GGUFMetadata) {
        guard let name = metadata["general.architecture"]?.string,
            let architecture = GGUFArchitecture.all.first(where: { $0.name == name }),
            let headCount = metadata["\(name).attention.head_count"]?.integer
        else { return nil }
        self.architecture = architecture
        self.headCount = headCount
        guard let value = metadata["\(name).attention.head_count_kv"] else {
            keyValueHeadCount = headCount
            return
        }
        // Layers with different heads have an array.
        guard let count = value.integer else { return nil }
        keyValueHeadCount = count
    }

    /// Reads what the `config.json` of a model says; nil for architectures that are not known.
    public init?(_ config: JSONValue) {
        guard let name = config["architectures"]?.array?.first(where: { _ in true })?.string,
            let architecture = GGUFArchitecture.all.first(where: { $0.classes.contains(name) }),
            let headCount = config["num_attention_heads"]?.int
        else { return nil }
        self.architecture = architecture
        self.headCount = headCount
        keyValueHeadCount = config["num_key_value_heads"]?.int ?? headCount
    }

    /// Shows a model of transformers as GGUF has it.
    ///
    /// - Parameter extra: tensors that only GGUF has.
    /// - Throws: `FormatError` `bad_name` for a tensor that GGUF has no name for, `bad_shape` when the heads do not fill the rows of
    ///   queries or keys.
    func toGGUF(
        _ reader: any CheckpointReader, extra: MemoryCheckpoint? = nil
    ) throws(FormatError) -> any CheckpointReader {
        var tensors: [ViewedTensor] = []
        for (index, descriptor) in reader.descriptors.enumerated() {
            let name = descriptor.name
            // Older checkpoints hold what follows from the configuration.
            if name.text.hasSuffix(".rotary_emb.inv_freq") { continue }
            guard let other = architecture.ggufName(of: name) else {
                throw FormatError(
                    .badName,
                    "GGUF has no name for tensor \"\(name)\" of a model of the architecture \(architecture.name)",
                    file: reader.path, tensor: name, hint: "leave it out with --exclude")
            }
            tensors.append(try tensor(reader, index, named: other, order: order(of: other, isForGGUF: true)))
        }
        if let extra {
            for (index, descriptor) in extra.descriptors.enumerated() {
                tensors.append(ViewedTensor(extra, index, named: descriptor.name))
            }
        }
        return CheckpointView(reader, tensors)
    }

    /// Shows a GGUF checkpoint as transformers has it, without the factors of rotary frequencies, which follow from a configuration.
    /// Tensors without a name there keep their own, with a warning.
    ///
    /// - Parameter metadata: what the view is to have; nil for that of the checkpoint.
    /// - Throws: `FormatError` `bad_shape` when the heads do not fill the rows of queries or keys, `duplicate_key` when a tensor
    ///   has the name that another one is to have.
    public func fromGGUF(
        _ reader: any CheckpointReader, metadata: Metadata? = nil
    ) throws(FormatError) -> CheckpointView {
        var tensors: [ViewedTensor] = []
        var names: Set<TensorName> = []
        var unknown: [TensorName] = []
        for (index, descriptor) in reader.descriptors.enumerated() where descriptor.name != RotaryFactors.name {
            let translated = architecture.transformersName(of: descriptor.name)
            let name = translated ?? descriptor.name
            guard names.insert(name).inserted else {
                throw FormatError(
                    .duplicateKey, "two tensors would be named \"\(name)\", as transformers has it", file: reader.path,
                    tensor: descriptor.name)
            }
            if translated == nil { unknown.append(name) }
            let order = translated == nil ? nil : order(of: descriptor.name, isForGGUF: false)
            tensors.append(try tensor(reader, index, named: name, order: order))
        }
        return CheckpointView(reader, tensors, metadata: metadata, notes: Self.warnings(of: unknown, architecture))
    }

    private static func warnings(of unknown: [TensorName], _ architecture: GGUFArchitecture) -> [Warning] {
        guard let first = unknown.first else { return [] }
        let (which, verb) =
            switch unknown.count {
            case 1: ("tensor \"\(first)\"", "keeps its name")
            case 2: ("tensor \"\(first)\" and another one", "keep their names")
            default: ("tensor \"\(first)\" and \(unknown.count - 1) others", "keep their names")
            }
        return [
            Warning(
                FormatWarning.unknownTensor,
                "\(which) \(verb): transformers has none for it in a model of the architecture \(architecture.name)")
        ]
    }

    /// Why a GGUF file of a known architecture keeps its names; nil for other files.
    static func obstacle(in metadata: GGUFMetadata) -> Warning? {
        guard let name = metadata["general.architecture"]?.string,
            GGUFArchitecture.all.contains(where: { $0.name == name }), GGUFTranslation(metadata) == nil
        else { return nil }
        let keys = ["\(name).attention.head_count", "\(name).attention.head_count_kv"]
        let key = metadata[keys[0]]?.integer == nil ? keys[0] : keys[1]
        let found = metadata[key].map { "is \($0.description.escapingControlCharacters)" } ?? "is not there"
        return Warning(
            FormatWarning.unknownTensor,
            "the tensors keep the names and the order of rows of the file: `\(key)`, the number of heads, \(found)")
    }

    private func tensor(
        _ reader: any CheckpointReader, _ place: Int, named name: TensorName, order: RotaryOrder?
    ) throws(FormatError) -> ViewedTensor {
        guard let order else { return ViewedTensor(reader, place, named: name) }
        return try ViewedTensor(reader, place, named: name, order: order)
    }

    private func order(of ggufName: TensorName, isForGGUF: Bool) -> RotaryOrder? {
        guard architecture.isPermuted else { return nil }
        let parts = ggufName.text.split(separator: ".")
        if parts.contains("attn_q") { return RotaryOrder(headCount: headCount, isForGGUF: isForGGUF) }
        if parts.contains("attn_k") { return RotaryOrder(headCount: keyValueHeadCount, isForGGUF: isForGGUF) }
        return nil
    }

    /// The layout in which llama.cpp stores a tensor of a model that is written in another: F32 where it computes with nothing else, F16
    /// where blocks do not fill the rows.
    public static func layout(of descriptor: TensorDescriptor, wanted: ElementLayout) -> ElementLayout {
        let name = descriptor.name.text
        if descriptor.shape.rank <= 1 || name.hasSuffix("_norm.weight") || !name.hasSuffix(".weight") {
            return .plain(.f32)
        }
        return (descriptor.shape.dims.last ?? 1) % wanted.unit.elements == 0 ? wanted : .plain(.f16)
    }
}
