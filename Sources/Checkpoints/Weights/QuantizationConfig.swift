import SystemPackage
import TensorCore

/// What the files beside a checkpoint say of how it is quantised.
///
/// `config.json` has it under `quantization_config` (transformers) or `compression_config` (compressed-tensors before that), also
/// in the part of a multimodal model that describes its language model; MLX has it under `quantization`. GPTQ, AWQ and ModelOpt have
/// a file of their own.
public struct QuantizationConfig: Sendable {
    /// What the method is called, such as `gptq`; nil when nothing is said.
    let method: String?
    /// All that is said about it.
    let settings: JSONValue?
    /// The type that the weights are said to have when they are not quantised.
    let dtype: DType?
    /// Where that is said.
    let sources: [FilePath]

    /// The files that say nothing else.
    public static let files = ["quantize_config.json", "quant_config.json", "hf_quant_config.json"]
    /// The keys of `config.json`, in any of its sections.
    public static let keys = ["quantization_config", "compression_config"]
    /// The sections that may describe a quantised model, besides the whole.
    public static let sections = ["text_config", "llm_config", "language_config"]

    /// Reads what is there; what cannot be read says nothing.
    init(beside checkpoint: FilePath) {
        let folder = checkpoint.removingLastComponent()
        var sources: [FilePath] = []
        func root(_ name: String) -> JSONValue? {
            let path = folder.appending(name)
            guard fileExists(path), let file = try? MappedFile(path), file.byteCount < 16 << 20,
                let root = try? file.withUnsafeBytes({ try JSONDocument.parse($0, file: path) })
            else { return nil }
            sources.append(path)
            return root
        }
        let config = root("config.json")
        let sections = config.map { config in [config] + Self.sections.compactMap { config[$0] } } ?? []
        dtype = sections.lazy.compactMap { ($0["dtype"] ?? $0["torch_dtype"])?.string }.first.flatMap(
            DType.init(stated:))
        (method, settings) = sections.lazy.compactMap(Self.statement).first ?? Self.statement(ofOwnFile: root)
        self.sources = sources
    }

    private typealias Statement = (method: String?, settings: JSONValue?)

    private static func statement(in section: JSONValue) -> Statement? {
        if let stated = section["quantization"], stated["group_size"] != nil { return ("mlx", stated) }
        guard let stated = keys.lazy.compactMap({ section[$0] }).first, stated.kind == .object else { return nil }
        return ((stated["quant_method"] ?? stated["quant_algo"])?.string ?? "quantized", stated)
    }

    private static func statement(ofOwnFile root: (String) -> JSONValue?) -> Statement {
        if let stated = root("quantize_config.json") { return ("gptq", stated) }
        if let stated = root("quant_config.json") { return ("awq", stated) }
        let stated = root("hf_quant_config.json")?["quantization"]
        return (stated?["quant_algo"]?.string, stated)
    }

    /// An integer that is said of all weights.
    func integer(_ names: String...) -> Int? { names.lazy.compactMap { settings?[$0]?.int }.first }

    /// A text that is said of all weights, in lower case.
    func text(_ name: String) -> String? { settings?[name]?.string?.lowercased() }

    /// What is said of the weights of each group of modules, as compressed-tensors has it.
    private var schemes: [JSONValue] {
        settings?["config_groups"]?.object?.compactMap { $0.value["weights"] } ?? []
    }

    /// Rows and columns of the blocks that have one scale.
    var blocks: [(rows: Int, columns: Int)] { statedBlocks.compactMap(Self.block) }

    private var statedBlocks: [JSONValue] {
        ([settings?["weight_block_size"]] + schemes.map { $0["block_structure"] }).compactMap(Self.stated)
    }

    /// compressed-tensors writes `[128, 128]` and has written `128x128`.
    private static func block(_ value: JSONValue) -> (rows: Int, columns: Int)? {
        let sizes = value.string?.split(separator: "x").compactMap { Int($0) } ?? value.array?.compactMap(\.int) ?? []
        return sizes.count == 2 && sizes.allSatisfy(sizeRange.contains) ? (sizes[0], sizes[1]) : nil
    }

    /// How many columns have one scale; `Int.max` for whole rows.
    var groupSizes: [Int] { statedGroups.compactMap(Self.group) }

    private var statedGroups: [JSONValue] {
        (["group_size", "q_group_size"].map { settings?[$0] } + schemes.map { $0["group_size"] })
            .compactMap(Self.stated)
    }

    private static func group(_ value: JSONValue) -> Int? {
        value.int.flatMap { $0 == -1 ? Int.max : sizeRange.contains($0) ? $0 : nil }
    }

    private static let sizeRange = 1...1 << 30

    private static func stated(_ value: JSONValue?) -> JSONValue? { value.flatMap { $0.kind == .null ? nil : $0 } }

    /// Whether all sizes that are stated are ones.
    var isUnderstood: Bool {
        blocks.count == statedBlocks.count && groupSizes.count == statedGroups.count
    }

    /// Whether a model is more than its weights: turned by matrices that only the configuration knows, or thinned out.
    var needsMoreThanWeights: Bool {
        let transforms = settings?["transform_config"]?["config_groups"]?.object?.contains { _ in true } ?? false
        let sparsity = settings?["sparsity_config"]?["format"]?.string
        return transforms || !(sparsity == nil || sparsity == "dense")
    }
}

extension DType {
    /// Reads what a configuration calls a type: `bfloat16` or `torch.bfloat16`; nil for one that does not compute.
    fileprivate init?(stated name: String) {
        let name = name.hasPrefix("torch.") ? String(name.dropFirst(6)) : name
        guard let dtype = Self.allCases.first(where: { $0.configName == name }) else { return nil }
        self = dtype
    }
}
