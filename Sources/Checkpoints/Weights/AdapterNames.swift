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
        store.descriptors.lazy.map(\.name).first { isFactor($0.text) && wanted.contains($0) }
    }

    /// Whether a name is that of a factor: LoRA and DoRA as PEFT, kohya and diffusers write them, LoHa, LoKr, VeRA, IA³, OFT.
    public static func isFactor(_ name: String) -> Bool {
        name.split(separator: ".").contains { words.contains($0) || $0.hasPrefix("ia3_l") || $0.hasPrefix("oft_") }
    }

    private static let words: Set<Substring> = [
        "lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector", "lora_up", "lora_down",
        "lora_mid", "lora", "lora_linear_layer", "dora_scale", "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b",
        "hada_t1", "hada_t2", "lokr_w1", "lokr_w2", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "lokr_t2",
        "vera_lambda_b", "vera_lambda_d",
    ]
}
