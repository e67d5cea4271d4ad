/// The formats the product knows, by name.
public enum FormatID: String, Sendable, CaseIterable {
    case safetensors, npz, npy, skein, torch, gguf
}
