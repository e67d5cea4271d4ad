import TensorCore

/// The metadata that llama.cpp needs of a model, from the `config.json` of transformers.
///
/// Source: `set_gguf_parameters` of `conversion/base.py` and `conversion/llama.py` of llama.cpp.
struct GGUFModelMetadata {
    private(set) var metadata = GGUFMetadata()
    /// What the configuration asks for that is not carried over.
    private(set) var warnings: [Warning] = []
    private let config: JSONValue
    private let architecture: String

    /// Carries the parameters of a model over.
    ///
    /// - Parameters:
    ///   - name: what the model is called.
    ///   - layout: that of most tensors, by which the file calls its type.
    init(_ config: JSONValue, _ translation: GGUFTranslation, name: String, layout: ElementLayout) {
        self.config = config
        architecture = translation.architecture.name
        metadata["general.architecture"] = .string(architecture)
        metadata["general.type"] = .string("model")
        metadata["general.name"] = .string(name)
        setNumber("block_count", "num_hidden_layers")
        setNumber("context_length", "max_position_embeddings")
        setNumber("embedding_length", "hidden_size")
        setNumber("feed_forward_length", "intermediate_size")
        set("attention.head_count", UInt32(exactly: translation.headCount).map(GGUFValue.uint32))
        set("attention.head_count_kv", UInt32(exactly: translation.keyValueHeadCount).map(GGUFValue.uint32))
        setRotaryPositions()
        set("attention.layer_norm_rms_epsilon", config["rms_norm_eps"]?.double.map { .float32(Float($0)) })
        setNumber("attention.key_length", "head_dim")
        setNumber("attention.value_length", "head_dim")
        if let number = layout.ggufFileType { metadata["general.file_type"] = .uint32(number) }
        if architecture == "llama" {
            setNumber("vocab_size", "vocab_size")
            let width = config["hidden_size"]?.int.flatMap {
                translation.headCount > 0 ? $0 / translation.headCount : nil
            }
            set(
                "rope.dimension_count",
                (config["head_dim"]?.int ?? width).flatMap(UInt32.init(exactly:)).map(GGUFValue.uint32))
        }
        metadata["general.quantization_version"] = .uint32(2)
    }

    private mutating func set(_ key: String, _ value: GGUFValue?) {
        if let value { metadata["\(architecture).\(key)"] = value }
    }

    private mutating func setNumber(_ key: String, _ field: String) {
        set(key, config[field]?.int.flatMap(UInt32.init(exactly:)).map(GGUFValue.uint32))
    }

    private mutating func setRotaryPositions() {
        let scaling = config["rope_parameters"] ?? config["rope_scaling"]
        let factor = scaling?["factor"]?.double.map { GGUFValue.float32(Float($0)) }
        switch (scaling?["rope_type"] ?? scaling?["type"])?.string {
        case "linear":
            set("rope.scaling.type", .string("linear"))
            set("rope.scaling.factor", factor)
        case "yarn":
            set("rope.scaling.type", .string("yarn"))
            set("rope.scaling.factor", factor)
            let length = scaling?["original_max_position_embeddings"] ?? config["original_max_position_embeddings"]
            set(
                "rope.scaling.original_context_length", length?.int.flatMap(UInt32.init(exactly:)).map(GGUFValue.uint32)
            )
        case nil, "default", "llama3": break
        case let kind?:
            warnings.append(
                Warning(
                    FormatWarning.passedOver,
                    "rotary positions of the kind \"\(kind.escapingControlCharacters)\" are not carried into GGUF"))
        }
        let base = (scaling?["rope_theta"] ?? config["rope_theta"])?.double
        set("rope.freq_base", base.map { .float32(Float($0)) })
    }
}

extension ElementLayout {
    /// The number by which a GGUF file calls its type; nil where llama.cpp has none.
    ///
    /// Source: `LlamaFileType` of gguf-py.
    package var ggufFileType: UInt32? {
        switch self {
        case .plain(.f32): 0
        case .plain(.f16): 1
        case .plain(.bf16): 32
        case .blocks(.q8_0): 7
        default: nil
        }
    }
}
