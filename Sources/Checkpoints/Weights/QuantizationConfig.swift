import SystemPackage
import TensorCore

/// What the files beside a checkpoint say of how it is quantised.
///
/// `config.json` has it under `quantization_config` (transformers) or `compression_config` (compressed-tensors before that), also
/// in the part of a multimodal model that describes its language model; MLX has it under `quantization`. GPTQ, AWQ and ModelOpt have
/// a file of their own.
enum QuantizationConfig {
    /// What the method is called there, such as `gptq`; nil when nothing is said.
    static func method(beside checkpoint: FilePath) -> String? {
        let folder = checkpoint.removingLastComponent()
        func root(_ name: String) -> JSONValue? {
            let path = folder.appending(name)
            guard fileExists(path), let file = try? MappedFile(path), file.byteCount < 16 << 20 else {
                return nil
            }
            return try? file.withUnsafeBytes { try JSONDocument.parse($0, file: path) }
        }
        if let config = root("config.json") {
            let sections = [config] + ["text_config", "llm_config", "language_config"].compactMap { config[$0] }
            for section in sections {
                if let stated = section["quantization"], stated["group_size"] != nil { return "mlx" }
                guard let stated = section["quantization_config"] ?? section["compression_config"],
                    stated.kind == .object
                else { continue }
                return (stated["quant_method"] ?? stated["quant_algo"])?.string ?? "quantized"
            }
        }
        if root("quantize_config.json") != nil { return "gptq" }
        if root("quant_config.json") != nil { return "awq" }
        return root("hf_quant_config.json")?["quantization"]?["quant_algo"]?.string
    }
}
