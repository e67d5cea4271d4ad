import SystemPackage
import TensorCore

/// Recognises adapters: factors that change a model only as a product with each other.
///
/// Averaging the factors of two adapters is not averaging what they do: (A₁ + A₂)(B₁ + B₂) has terms that belong to neither.
public enum AdapterNames {
    /// The first of a checkpoint's tensors that is a factor of an adapter; nil when there is none.
    ///
    /// - Parameter wanted: the tensors that count.
    static func firstFactor(in store: TensorStore, among wanted: Set<TensorName>) -> TensorName? {
        let isAdapter = hasConfiguration(beside: store.path)
        return store.descriptors.lazy.map(\.name).first {
            wanted.contains($0) && (isAdapter || isFactor($0.text))
        }
    }

    /// Whether a checkpoint is what an `adapter_config.json` beside it speaks of: prompts and prefixes are known by nothing else.
    private static func hasConfiguration(beside checkpoint: FilePath) -> Bool {
        guard checkpoint.lastComponent?.string.hasPrefix("adapter_model.") == true else { return false }
        return fileExists(checkpoint.removingLastComponent().appending("adapter_config.json"))
    }

    /// Whether a name is that of a factor: LoRA and DoRA as PEFT, kohya and diffusers write them, LoHa, LoKr, VeRA, IA³, OFT.
    public static func isFactor(_ name: String) -> Bool {
        name.split(separator: ".").contains { part in
            words.contains(part) || beginnings.contains { part.hasPrefix($0) }
                // `to_q_lora.down.weight` of diffusers' attention processors.
                || part.hasSuffix("_lora")
        }
    }

    private static let beginnings = ["ia3_l", "oft_", "boft_"]

    private static let words: Set<Substring> = [
        "lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector", "lora_up", "lora_down",
        "lora_mid", "lora", "lora_linear_layer", "lora_a", "lora_b", "dora_scale", "hada_w1_a", "hada_w1_b",
        "hada_w2_a", "hada_w2_b",
        "hada_t1", "hada_t2", "lokr_w1", "lokr_w2", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "lokr_t2",
        "vera_lambda_b", "vera_lambda_d",
    ]
}
