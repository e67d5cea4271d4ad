import TensorCore

/// What a tensor of a LoRA adapter is, by its name.
///
///     base_model.model. MODULE .lora_A[.ADAPTER].weight        [rank, inputs]
///     base_model.model. MODULE .lora_B[.ADAPTER].weight        [outputs, rank]; and .bias [outputs]
///     base_model.model. MODULE .lora_embedding_A[.ADAPTER]     [rank, words]
///     base_model.model. MODULE .lora_embedding_B[.ADAPTER]     [width, rank]
///     base_model.model. MODULE .lora_magnitude_vector[.ADAPTER][.weight]
///     base_model.model. TENSOR                                 takes the place of the base's
///     base_model.model. MODULE .modules_to_save[.ADAPTER]. TENSOR      the same
///     base_model.model. MODULE .original_module. TENSOR        what it was before, which is not needed
///
/// PEFT leaves the adapter's name out of files; some trainers do not. `base_layer` stands where a module lies in another one that
/// PEFT has put around it.
struct AdapterKey: Hashable {
    let part: Part
    /// The module, or the tensor, as the model calls it.
    let name: String
    /// The same with the wrappers that lie around it.
    let path: String
    /// How many wrappers lie around the module besides its own: those of further tensors that it holds.
    let depth: Int

    enum Part: Hashable {
        case a, b, bias, embeddingA, embeddingB, magnitude
        /// The rank times the factor of the product, a single number.
        case alpha
        /// A whole tensor, and one of a module that PEFT says to have trained as a whole: with all biases trained, a file has both.
        case tensor, saved
        /// What PEFT had before it trained a whole module.
        case original
    }

    private static let parts: [Substring: Part] = [
        "lora_A": .a, "lora_B": .b, "lora_embedding_A": .embeddingA, "lora_embedding_B": .embeddingB,
        "lora_magnitude_vector": .magnitude,
    ]

    private init(_ part: Part, _ path: ArraySlice<Substring>) {
        self.part = part
        name = Self.joined(path)
        self.path = path.joined(separator: ".")
        depth = path.reversed().prefix { $0 == "base_layer" }.count
    }

    /// Reads a name.
    ///
    /// - Returns: nil for the name of nothing that LoRA has.
    init?(_ tensor: TensorName, _ naming: AdapterNaming) {
        guard naming != .peft else {
            self.init(peft: tensor)
            return
        }
        guard let key = ImageAdapterKey(tensor, naming) else { return nil }
        self.init(key.part, [Substring(key.module)])
    }

    private init?(peft tensor: TensorName) {
        var path = tensor.text.split(separator: ".", omittingEmptySubsequences: false)
        if path.starts(with: ["base_model", "model"]) { path.removeFirst(2) }
        guard let place = path.lastIndex(where: { Self.parts[$0] != nil }), let part = Self.parts[path[place]] else {
            self.init(whole: path)
            return
        }
        var rest = path[(place + 1)...]
        let leaf = rest.last == "weight" || rest.last == "bias" ? rest.removeLast() : nil
        // What is left is the adapter's name.
        guard rest.count <= 1, !rest.contains(""), place > 0 else { return nil }
        switch (part, leaf) {
        case (.b, "bias"): self.init(.bias, path[..<place])
        case (_, "bias"), (.embeddingA, "weight"), (.embeddingB, "weight"), (.a, nil), (.b, nil): return nil
        default: self.init(part, path[..<place])
        }
    }

    private init?(whole path: [Substring]) {
        guard let leaf = path.last, !leaf.isEmpty, !path.contains("token_adapter"),
            !AdapterNames.isFactor(path.joined(separator: ".")), !path.contains(where: { $0.hasPrefix("lora_") })
        else { return nil }
        var path = path
        var part = Part.tensor
        if let place = path.lastIndex(of: "modules_to_save") {
            // Perhaps the name of the adapter, and the tensor.
            guard (2...3).contains(path.count - place) else { return nil }
            path.removeSubrange(place..<path.count - 1)
            part = .saved
        } else if let place = path.lastIndex(of: "original_module") {
            path.remove(at: place)
            part = .original
        }
        self.init(part, path[...])
    }

    private static func joined(_ path: ArraySlice<Substring>) -> String {
        path.filter { $0 != "base_layer" }.joined(separator: ".")
    }
}
