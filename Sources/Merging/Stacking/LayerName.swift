import TensorCore

/// A tensor name taken apart at the number of its layer, which is its first `.N.`: `model.layers.` 7 `.mlp.up_proj.weight`.
///
/// Names are all that is looked at, so no list of architectures is needed. mergekit has the same rule for architectures that
/// it does not know. The number of an expert, behind `experts`, is none of a layer.
public struct LayerName: Hashable, Sendable {
    /// With the dot before the number.
    public let prefix: String
    public let number: Int
    /// With the dot behind the number.
    public let suffix: String

    /// Nil for a tensor outside of layers.
    public init?(_ name: TensorName) {
        let bytes = name.text.utf8
        var dot = bytes.firstIndex(of: UInt8(ascii: "."))
        while let start = dot {
            let digits = bytes.index(after: start)
            dot = bytes[digits...].firstIndex(of: UInt8(ascii: "."))
            guard let end = dot, digits < end, bytes[digits..<end].allSatisfy({ (0x30...0x39).contains($0) }),
                let number = Int(name.text[digits..<end]), !name.text[..<start].hasSuffix("experts")
            else { continue }
            prefix = String(name.text[..<digits])
            self.number = number
            suffix = String(name.text[end...])
            return
        }
        return nil
    }

    /// The name of the same tensor in another layer.
    public func inLayer(_ number: Int) -> TensorName { TensorName("\(prefix)\(number)\(suffix)") }
}

/// A run of layers that share what stands before their number.
public struct LayerStack: Hashable, Sendable {
    public let prefix: String
    /// One more than the highest number.
    public let count: Int

    /// The stacks of a model in the order in which they appear. Text models have one, others one for each tower.
    public static func all(in descriptors: [TensorDescriptor]) -> [LayerStack] {
        var counts: [String: Int] = [:]
        var order: [String] = []
        for name in descriptors.lazy.compactMap({ LayerName($0.name) }) {
            guard let known = counts[name.prefix] else {
                order.append(name.prefix)
                counts[name.prefix] = name.number &+ 1
                continue
            }
            counts[name.prefix] = max(known, name.number &+ 1)
        }
        return order.map { LayerStack(prefix: $0, count: counts[$0] ?? 0) }
    }
}

extension TensorName {
    /// Whether a tensor outside of layers comes before them: embeddings do, final norms and heads do not.
    ///
    /// Going by the order in the file would not do: many files are sorted by name. The words cover what mergekit's 62 architecture
    /// descriptions put before the layers of models with one stack.
    package var comesBeforeLayers: Bool {
        let name = text.lowercased()
        // The head of GPT-NeoX.
        guard !name.hasPrefix("embed_out") else { return false }
        return Self.wordsBeforeLayers.contains { name.contains($0) }
    }

    private static let wordsBeforeLayers = [
        "embed", "embd", "wte", "wpe", "token", "position", "pos_", "rotary", "relative_pe", "shared", "conv", "patch",
        "ln_pre", "norm_pre", "pre_norm", "pre_layernorm", "pre_layrnorm",
    ]
}
