import Kernels
import TensorCore

/// The factors of an adapter that has no configuration: from its tensors called alpha, or from what diffusers keeps in the metadata;
/// without either alpha is the rank.
struct ImageAdapterScaling {
    private let reader: any CheckpointReader
    private let naming: AdapterNaming
    /// PEFT's configurations by component.
    private let configs: [String: AdapterConfig]

    /// The key of the metadata.
    static let metadataKey = "lora_adapter_metadata"

    /// Reads the metadata of an adapter.
    ///
    /// - Throws: `FormatError` for configurations that are none.
    init(of reader: any CheckpointReader, _ naming: AdapterNaming) throws(FormatError) {
        self.reader = reader
        self.naming = naming
        var configs: [String: AdapterConfig] = [:]
        if naming == .diffusers, let text = reader.metadata[Self.metadataKey] {
            let document = try JSONDocument.parse(Array(text.utf8), file: reader.path)
            for component in ModuleReference.components where document["\(component).peft_type"] != nil {
                configs[component] = try AdapterConfig(document, prefix: "\(component).", file: reader.path)
            }
        }
        self.configs = configs
    }

    /// The rank of a module and the factor of its product.
    ///
    /// - Parameters:
    ///   - a: the place of the first factor.
    ///   - alpha: the place of the tensor with alpha.
    /// - Throws: `FormatError` `bad_config` for an alpha that is no finite number; what the reader throws.
    func scaling(of module: String, a: Int, alpha: Int?) throws -> (rank: Int, factor: Double) {
        let rank = reader.descriptors[a].shape.dims.first ?? 0
        if let alpha {
            let tensor = reader.descriptors[alpha]
            var value = Double.nan
            if tensor.elementCount == 1, tensor.layout.isPlain, tensor.dtype.isComputable {
                try reader.bytes(of: alpha).withUnsafeBytes { bytes in
                    withUnsafeMutablePointer(to: &value) {
                        widen(bytes, tensor.dtype, into: UnsafeMutableBufferPointer(start: $0, count: 1))
                    }
                }
            }
            guard value.isFinite, rank > 0 else {
                throw FormatError(
                    .badConfig, "tensor \"\(tensor.name)\" is no finite number", file: reader.path, tensor: tensor.name)
            }
            return (rank, value / Double(rank))
        }
        guard let reference = ModuleReference(module, naming), let config = configs[reference.component] else {
            return (rank, 1)
        }
        return config.scaling(of: reference.name)
    }
}
