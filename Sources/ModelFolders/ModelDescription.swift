public import Checkpoints
import Merging
import Reporting
public import SystemPackage
public import TensorCore

/// What kind of model a checkpoint holds, as far as its tensors and the files beside it say. What they leave open is nil.
///
/// The names of the tensors tell the family, and shapes its sizes. `config.json` beside the checkpoint tells more, where it agrees
/// with them: beside the head of a classifier, for instance, it speaks of another file.
public struct ModelDescription: Sendable, Hashable {
    /// What the configuration calls it, else the family whose names the tensors have.
    public private(set) var architecture: String?
    /// What the sizes are of, in models that have other parts.
    public private(set) var part: String?
    public private(set) var layers: Int?
    /// How many of them the checkpoint holds, where it is a part of a model.
    public private(set) var presentLayers: Int?
    public private(set) var width: Int?
    public private(set) var heads: Int?
    /// Those of keys and values, where they are fewer.
    public private(set) var keyValueHeads: Int?
    public private(set) var vocabulary: Int?
    public private(set) var experts: Int?
    public private(set) var expertsPerToken: Int?
    /// The scheme of quantised weights.
    public private(set) var quantization: String?
    public private(set) var adapter: Adapter?
    /// The configuration that was read; nil where the file itself says everything.
    public private(set) var config: FilePath?
    /// Whether nothing but the names of tensors tells the family.
    private var restsOnNames = false

    /// What changes a model, and is none by itself.
    public struct Adapter: Sendable, Hashable {
        public let kind: String
        /// Of its factors, where they have one.
        public let ranks: ClosedRange<Int>?
        /// The model that it was made for.
        public let base: String?
    }

    /// Describes a checkpoint.
    ///
    /// - Parameter warn: gets told when there is a `config.json` that cannot be read.
    /// - Returns: nil when nothing is known of it.
    public init?(of store: TensorStore, warn: (Warning) -> Void) {
        quantization = Quantization(of: store)?.scheme.name
        adapter = Adapter(store, warn)
        let finding = ModelLayout.find(in: store)
        if let finding {
            architecture = finding.layout.name
            restsOnNames = true
            part = finding.layout.part
            layers = finding.layers
            width = finding.width
            vocabulary = finding.vocabulary
            experts = finding.experts
        }
        if let file = store.reader as? GGUFReader { read(file.typedMetadata, file.descriptors) }
        if adapter == nil, let config = ConfigFile(beside: store.path, "config.json", warn) {
            read(config, finding, store)
        }
        guard architecture != nil || quantization != nil || adapter != nil else { return nil }
    }

    /// Takes what a configuration says, if it is that of the checkpoint.
    private mutating func read(_ file: ConfigFile, _ finding: ModelLayout.Finding?, _ store: TensorStore) {
        let sections = finding?.layout.sections ?? ["text_config", "llm_config", "language_config"]
        let keys = ConfigSizes(file.root, sections: sections)
        let stated = (
            layers: keys.number(ModelConfig.layerCountKeys + ["depth"]), width: keys.number(ConfigSizes.widths)
        )
        if let finding {
            guard stated.layers.map({ $0 >= finding.layers }) ?? (stated.width != nil),
                stated.width.map({ $0 == finding.width }) ?? true
            else { return }
        } else {
            guard let layers = stated.layers, let width = stated.width,
                LayerStack.all(in: store.descriptors).contains(where: { $0.count == layers }),
                store.descriptors.contains(where: { $0.shape.dims.contains(width) })
            else { return }
        }
        guard let name = file.name ?? architecture else { return }
        config = file.path
        architecture = name
        restsOnNames = false
        if let all = stated.layers, let present = finding?.layers, all > present { presentLayers = present }
        layers = stated.layers ?? layers
        width = stated.width ?? width
        heads = keys.number(["num_attention_heads", "n_head", "num_heads", "n_heads"])
        keyValueHeads = keys.number(["num_key_value_heads"]).flatMap { $0 == heads ? nil : $0 }
        if part == nil { vocabulary = keys.number(["vocab_size"]) ?? vocabulary }
        experts =
            keys.number(["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"]) ?? experts
        if experts != nil {
            expertsPerToken = keys.number(["num_experts_per_tok", "experts_per_token", "moe_top_k", "moe_k"])
        }
    }

    /// Takes what the metadata of a GGUF file say of a model, and what its weights are stored as.
    private mutating func read(_ metadata: GGUFMetadata, _ tensors: [TensorDescriptor]) {
        guard let name = metadata["general.architecture"]?.string,
            ["model", nil].contains(metadata["general.type"]?.string)
        else { return }
        func number(_ key: String) -> Int? {
            metadata["\(name).\(key)"]?.integer.flatMap { (1...1 << 40).contains($0) ? $0 : nil }
        }
        architecture = name
        restsOnNames = false
        layers = number("block_count") ?? layers
        width = number("embedding_length") ?? width
        heads = number("attention.head_count")
        keyValueHeads = number("attention.head_count_kv").flatMap { $0 == heads ? nil : $0 }
        let embedding = tensors.first { $0.name.text == "token_embd.weight" && $0.shape.isMatrix }
        vocabulary = number("vocab_size") ?? embedding?.shape.dims[0] ?? vocabulary
        experts = number("expert_count") ?? experts
        expertsPerToken = number("expert_used_count")
        let blocks = Dictionary(grouping: tensors.filter { !$0.layout.isPlain }, by: \.layout.name)
        let shares = blocks.map { (name: $0, byteCount: $1.reduce(0.0) { $0 + Double($1.byteCount) }) }
        let names = shares.sorted { ($1.byteCount, $0.name) < ($0.byteCount, $1.name) }.map(\.name)
        if !names.isEmpty { quantization = names.joined(separator: ", ") }
    }

    /// One line: `LlamaForCausalLM, 32 layers, width 4,096, 32 heads (8 of keys and values), vocabulary 128,256`.
    public var phrase: String {
        func count(_ number: Int, _ unit: String) -> String { "\(number.grouped) \(unit)\(number == 1 ? "" : "s")" }
        var phrases: [String] = []
        if let architecture { phrases.append(architecture) }
        if let layers {
            let present = presentLayers.map { "\($0.grouped) of " } ?? ""
            phrases.append((part.map { "\($0) of " } ?? "") + present + count(layers, "layer"))
        }
        if let width { phrases.append("width \(width.grouped)") }
        if let heads {
            phrases.append(
                count(heads, "head") + (keyValueHeads.map { " (\($0.grouped) of keys and values)" } ?? ""))
        }
        if let vocabulary { phrases.append("vocabulary \(vocabulary.grouped)") }
        if let experts {
            phrases.append(count(experts, "expert") + (expertsPerToken.map { " (\($0.grouped) at a time)" } ?? ""))
        }
        if let quantization { phrases.append("quantised (\(quantization))") }
        if let adapter { phrases.append(adapter.phrase) }
        return phrases.joined(separator: ", ")
            + (restsOnNames ? " (by the names of its tensors)" : "")
    }
}

extension ModelDescription.Adapter {
    /// The factors of a checkpoint and what `adapter_config.json` says of them; nil when there are none.
    fileprivate init?(_ store: TensorStore, _ warn: (Warning) -> Void) {
        let names = store.descriptors.map(\.name.text)
        guard let first = names.first(where: AdapterNames.isFactor) else { return nil }
        let kinds = [
            ("lora", "LoRA"), ("hada_", "LoHa"), ("lokr_", "LoKr"), ("vera_", "VeRA"), ("ia3_", "IA3"), ("oft_", "OFT"),
        ]
        kind = kinds.first { first.contains($0.0) }?.1 ?? "other"
        // PEFT, and kohya and diffusers: rows of the first factor, whatever it is applied to.
        let ranks = store.descriptors.compactMap { descriptor -> Int? in
            let parts = descriptor.name.text.split(separator: ".")
            guard parts.contains(where: { ["lora_A", "lora_embedding_A", "lora_down"].contains($0) }),
                descriptor.shape.rank >= 2
            else { return nil }
            return descriptor.shape.dims[0]
        }
        self.ranks = ranks.min().flatMap { least in ranks.max().map { least...$0 } }
        base = ConfigFile(beside: store.path, "adapter_config.json", warn)?.root["base_model_name_or_path"]?.string
    }

    /// `LoRA of rank 16 for meta-llama/Llama-3.1-8B`.
    fileprivate var phrase: String {
        let rank = ranks.map {
            $0.count == 1 ? " of rank \($0.lowerBound)" : " of ranks \($0.lowerBound) to \($0.upperBound)"
        }
        return (kind == "other" ? "adapter" : "\(kind) adapter") + (rank ?? "") + (base.map { " for \($0)" } ?? "")
    }
}

/// A JSON file beside a checkpoint, of a size that such files have.
private struct ConfigFile {
    let path: FilePath
    let root: JSONValue

    private static let largest = 16 << 20

    /// Reads the file; nil when there is none, or none that can be read.
    init?(beside checkpoint: FilePath, _ name: String, _ warn: (Warning) -> Void) {
        path = checkpoint.removingLastComponent().appending(name)
        guard fileExists(path) else { return nil }
        do {
            let file = try MappedFile(path)
            guard file.byteCount <= Self.largest else {
                throw InputError(
                    .badConfig, "\(path.string) has \(ByteSize(file.byteCount)), more than a configuration", file: path)
            }
            root = try file.withUnsafeBytes { [path] in try JSONDocument.parse($0, file: path) }
            guard root.kind == .object else {
                throw InputError(.badConfig, "\(path.string) is \(root.kind.phrase), not an object", file: path)
            }
        } catch {
            let reason = (error as? any Diagnostic)?.message ?? "\(error)"
            warn(Warning(FolderWarning.config, "\(path.string) is not used: \(reason)"))
            return nil
        }
    }

    /// What libraries make of it: `architectures` of transformers, `architecture` of timm.
    var name: String? {
        root["architectures"]?.array?.first { _ in true }?.string ?? root["architecture"]?.string
            ?? root["model_type"]?.string
    }
}

/// The sizes in a configuration. Numbers that no size can be are not there.
private struct ConfigSizes {
    private let places: [JSONValue]

    static let widths = ["hidden_size", "n_embd", "d_model", "dim", "embed_dim", "num_features"]

    /// Finds where keys may stand.
    ///
    /// - Parameter sections: go before the whole.
    init(_ root: JSONValue, sections: [String]) {
        places = sections.compactMap { root[$0] }.filter { $0.kind == .object } + [root]
    }

    func number(_ keys: [String]) -> Int? {
        for place in places {
            for key in keys {
                if let number = place[key]?.int, (1...1 << 40).contains(number) { return number }
            }
        }
        return nil
    }
}
