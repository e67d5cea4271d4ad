import Checkpoints
import Kernels
import SystemPackage
import TensorCore

/// What of the difference between a model and its base becomes factors of an adapter, and what goes along whole.
///
/// Weights of two and more dimensions become factors, as PEFT has them for linear layers, embeddings and convolutions. Modules whose other tensors
/// changed (norms, added tokens) are saved as a whole. Tensors that PEFT has no place for are left out.
struct AdapterPlan: Sendable {
    /// A weight that becomes factors.
    struct Item: Sendable {
        /// The places in the base and in the model.
        let base, expert: Int
        let descriptor: TensorDescriptor
        let kind: Kind
        /// The rows of the matrix, those of PEFT's second factor, and its columns.
        let outputs, inputs: Int
        /// Whether the matrix is stored the other way round.
        let isTransposed: Bool

        enum Kind: Hashable, Sendable { case linear, embedding, convolution }

        /// The module that PEFT wraps.
        var module: String { String(descriptor.name.text.dropLast(AdapterPlan.weight.count)) }
    }

    fileprivate static let weight = ".weight"

    private(set) var items: [Item] = []
    /// Tensors that are saved whole, by their places in the model, and the modules that they belong to.
    private(set) var saved: [(place: Int, name: TensorName)] = []
    private(set) var savedModules: [String] = []
    /// Biases of modules that have factors, by their places in the model.
    private(set) var biases: [(place: Int, module: String)] = []
    /// Names of tensors that changed and have no place in an adapter.
    private(set) var leftOut: [TensorName] = []
    /// Whether weights are `[inputs, outputs]`, as those of GPT-2 are.
    let isTransposed: Bool

    /// Decides about all tensors of the model.
    ///
    /// - Parameters:
    ///   - changed: the tensors of the model that differ from those of the base, or that the base lacks.
    ///   - modelType: what `config.json` calls the architecture.
    init(
        base: TensorStore, expert: TensorStore, changed: Set<TensorName>, selection: TensorSelection,
        modelType: String?
    ) {
        isTransposed = ["gpt2", "gpt_bigcode", "imagegpt", "openai-gpt", "decision_transformer"].contains(
            modelType ?? "")
        var modules: [String: [(leaf: String, place: Int)]] = [:]
        var order: [String] = []
        for (place, descriptor) in expert.descriptors.enumerated() where selection.contains(descriptor.name) {
            let (module, leaf) = Self.split(descriptor.name)
            if modules[module] == nil { order.append(module) }
            modules[module, default: []].append((leaf, place))
        }
        for module in order {
            let tensors = modules[module] ?? []
            let changes = tensors.filter { changed.contains(expert.descriptors[$0.place].name) }
            guard !changes.isEmpty else { continue }
            let weight = changes.first { $0.leaf == "weight" }
            let item = weight.flatMap {
                Self.factored($0.place, module: module, of: base, expert, isTransposed: isTransposed)
            }
            if let item { items.append(item) }
            let rest = changes.filter { item == nil || $0.leaf != "weight" }
            if item != nil {
                for (leaf, place) in rest {
                    if leaf == "bias" {
                        biases.append((place, module))
                    } else {
                        leftOut.append(expert.descriptors[place].name)
                    }
                }
            } else if !module.isEmpty, tensors.allSatisfy({ ["weight", "bias"].contains($0.leaf) }) {
                savedModules.append(module)
                saved += tensors.map { ($0.place, expert.descriptors[$0.place].name) }
            } else {
                leftOut += rest.map { expert.descriptors[$0.place].name }
            }
        }
    }

    /// A weight as factors of it are made; nil where PEFT makes none.
    private static func factored(
        _ place: Int, module: String, of base: TensorStore, _ expert: TensorStore, isTransposed: Bool
    ) -> Item? {
        let descriptor = expert.descriptors[place]
        guard let index = base.index(of: descriptor.name), !module.isEmpty else { return nil }
        let stored = base.descriptors[index]
        let dims = descriptor.shape.dims
        guard stored.shape == descriptor.shape, dims.count >= 2, descriptor.elementCount > 0,
            stored.dtype.isComputable, descriptor.dtype.isComputable
        else { return nil }
        let leaf = module.split(separator: ".").last ?? ""
        let isEmbedding = dims.count == 2 && isEmbedding(leaf)
        // Of a convolution channel by channel PEFT makes no factors.
        if dims.count > 2, dims[1] == 1, dims[0] > 1 { return nil }
        let isTurned = isEmbedding || isTransposed && dims.count == 2 && leaf.hasPrefix("c_")
        let rest = dims.dropFirst().reduce(1, *)
        return Item(
            base: index, expert: place, descriptor: descriptor,
            kind: isEmbedding ? .embedding : dims.count == 2 ? .linear : .convolution,
            outputs: isTurned ? rest : dims[0], inputs: isTurned ? dims[0] : rest, isTransposed: isTurned)
    }

    /// Whether a module is an embedding, by the last part of its name.
    static func isEmbedding(_ leaf: Substring) -> Bool {
        ["wte", "wpe", "shared", "token_embedding", "position_embedding"].contains(leaf) || leaf.hasPrefix("embed_")
            || leaf == "embed" || leaf.hasSuffix("_embeddings") || leaf.hasSuffix("_embedding")
            || leaf == "tok_embeddings" || leaf == "embeddings"
    }

    private static func split(_ name: TensorName) -> (module: String, leaf: String) {
        var parts = name.text.split(separator: ".", omittingEmptySubsequences: false)
        let leaf = parts.removeLast()
        return (parts.joined(separator: "."), String(leaf))
    }
}
