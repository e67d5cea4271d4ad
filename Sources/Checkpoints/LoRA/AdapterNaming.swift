import TensorCore

/// Whose names an adapter's tensors have.
public enum AdapterNaming: String, Sendable, CaseIterable {
    /// `base_model.model.MODULE.lora_A.weight`, with a configuration beside the file.
    case peft
    /// `lora_unet_MODULE.lora_down.weight`, with an underscore for every dot, and alpha as a tensor.
    case kohya
    /// `unet.MODULE.lora_A.weight`, or one of the names that diffusers had before.
    case diffusers

    /// The naming of a file that tells everything by its names; nil when these are of another kind.
    init?(ofTensors names: [TensorName]) {
        let found: [AdapterNaming] = [.kohya, .diffusers]
        guard
            let naming = found.first(where: { naming in names.contains { ImageAdapterKey($0, naming)?.isSure == true } }
            )
        else { return nil }
        self = naming
    }

    /// The names of a module's factors, and of its alpha where that is a tensor.
    package func factors(of module: String, isEmbedding: Bool) -> (a: String, b: String, alpha: String?) {
        switch self {
        case .peft where isEmbedding:
            ("base_model.model.\(module).lora_embedding_A", "base_model.model.\(module).lora_embedding_B", nil)
        case .peft: ("base_model.model.\(module).lora_A.weight", "base_model.model.\(module).lora_B.weight", nil)
        case .kohya: ("\(module).lora_down.weight", "\(module).lora_up.weight", "\(module).alpha")
        case .diffusers: ("\(module).lora_A.weight", "\(module).lora_B.weight", nil)
        }
    }
}
