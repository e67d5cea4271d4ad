import SystemPackage
import TensorCore

/// Compares the tensors of a model with what its `config.json` says of them: a wrong number of heads would put rows in a wrong order.
struct GGUFModelCheck {
    private let config: JSONValue
    private let translation: GGUFTranslation
    private let file: FilePath

    /// A size that the configuration says.
    private struct Size {
        let count: Int
        /// The keys that it comes from.
        let source: String
    }

    init(_ config: JSONValue, _ translation: GGUFTranslation, folder: FilePath) {
        self.config = config
        self.translation = translation
        file = folder.appending("config.json")
    }

    /// Compares shapes, and the numbers of layers.
    ///
    /// - Throws: `FormatError` `bad_shape` with the key, the tensor and both numbers.
    func requireShapes(of reader: any CheckpointReader) throws(FormatError) {
        for tensor in reader.descriptors {
            guard let name = translation.architecture.ggufName(of: tensor.name) else { continue }
            if let layer = Self.layer(of: name), let count = config["num_hidden_layers"]?.int, layer >= count {
                throw fault(
                    "`num_hidden_layers` is \(count), but tensor \"\(tensor.name)\" is of layer \(layer)", tensor.name)
            }
            let sizes = sizes(of: name)
            guard !sizes.isEmpty else { continue }
            guard tensor.shape.rank == sizes.count else {
                throw fault(
                    "tensor \"\(tensor.name)\" of shape \(tensor.shape) has not the \(sizes.count) dimensions of its kind",
                    tensor.name)
            }
            for case (let dim, let size?) in zip(tensor.shape.dims, sizes) where dim != size.count {
                throw fault(
                    "\(size.source) is \(size.count), but tensor \"\(tensor.name)\" of shape \(tensor.shape) has \(dim)",
                    tensor.name)
            }
        }
    }

    /// Looks for the tensors that every layer has.
    ///
    /// - Throws: `FormatError` `tensor_count` for one that is missing.
    func requireAll(of reader: any CheckpointReader) throws(FormatError) {
        let found = Set(reader.descriptors.compactMap { translation.architecture.ggufName(of: $0.name) })
        let layerCount = config["num_hidden_layers"]?.int ?? 0
        // A layer that is missing ends the search, so that a wrong count does not make it long.
        for pattern in translation.architecture.weights {
            if pattern == "output.weight", config["tie_word_embeddings"]?.bool != false { continue }
            for layer in 0..<(pattern.contains("#") ? max(0, layerCount) : 1) {
                let text = pattern.split(separator: ".").map { $0 == "#" ? "\(layer)" : $0 }.joined(separator: ".")
                let name = TensorName(text)
                guard !found.contains(name) else { continue }
                let missing = translation.architecture.transformersName(of: name) ?? name
                let reason =
                    pattern.contains("#") ? "`num_hidden_layers` is \(layerCount)" : "the model needs it"
                throw FormatError(
                    .tensorCount, "\(reader.path.string) has no tensor \"\(missing)\", but \(reason)",
                    file: reader.path, tensor: missing, hint: "compare config.json with `untangle inspect`")
            }
        }
    }

    /// What the dimensions of a tensor are to be, nil for one of which the configuration says nothing; none for other tensors.
    private func sizes(of name: TensorName) -> [Size?] {
        let parts = name.text.split(separator: ".")
        guard let end = parts.last, parts.count >= 2 else { return [] }
        let isBias = end == "bias"
        func matrix(_ rows: Size?, _ columns: Size?) -> [Size?] { isBias ? [rows] : [rows, columns] }
        switch parts[parts.count - 2] {
        case "token_embd", "output": return matrix(size("vocab_size"), size("hidden_size"))
        case "output_norm", "attn_norm", "ffn_norm": return [size("hidden_size")]
        case "attn_q": return matrix(rows(of: "num_attention_heads"), size("hidden_size"))
        case "attn_k", "attn_v": return matrix(rows(of: "num_key_value_heads"), size("hidden_size"))
        case "attn_output": return matrix(size("hidden_size"), rows(of: "num_attention_heads"))
        case "ffn_gate", "ffn_up": return matrix(size("intermediate_size"), size("hidden_size"))
        case "ffn_down": return matrix(size("hidden_size"), size("intermediate_size"))
        case "attn_q_norm", "attn_k_norm": return [headWidth]
        default: return []
        }
    }

    private func size(_ key: String) -> Size? { config[key]?.int.map { Size(count: $0, source: "`\(key)`") } }

    private var headWidth: Size? {
        if let width = size("head_dim") { return width }
        guard let hidden = size("hidden_size"), translation.headCount > 0 else { return nil }
        return Size(
            count: hidden.count / translation.headCount, source: "`hidden_size` divided by `num_attention_heads`")
    }

    /// The rows of all heads.
    private func rows(of key: String) -> Size? {
        guard let width = headWidth else { return nil }
        let count = key == "num_attention_heads" ? translation.headCount : translation.keyValueHeadCount
        let (product, overflow) = count.multipliedReportingOverflow(by: width.count)
        return Size(
            count: overflow ? Int.max : product, source: "`\(key)` \(count) times \(width.source) \(width.count)")
    }

    private static func layer(of name: TensorName) -> Int? {
        let parts = name.text.split(separator: ".")
        return parts.first == "blk" && parts.count > 1 ? Int(parts[1]) : nil
    }

    private func fault(_ message: String, _ tensor: TensorName) -> FormatError {
        FormatError(
            .badShape, "in config.json \(message)", file: file, tensor: tensor,
            hint: "take the config.json that was saved with the weights")
    }
}
