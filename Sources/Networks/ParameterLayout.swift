public import TensorCore

/// Where each tensor of a network lies in its flat parameter vector.
public struct ParameterLayout: Sendable {
    /// One tensor: its timm name, its shape and the range of its row-major values.
    public struct Entry: Sendable, Hashable {
        public let name: TensorName
        public let shape: Shape
        public let range: Range<Int>
    }

    /// In the order of timm's state dictionary, without gaps.
    public let entries: [Entry]
    /// The length of the flat vector.
    public let count: Int
    private let indices: [TensorName: Int]

    public subscript(name: TensorName) -> Entry? { indices[name].map { entries[$0] } }

    /// Lays the parameters of an architecture out in one array.
    ///
    /// - Precondition: `config` is valid.
    init(_ config: VisionTransformerConfig) {
        var builder = Builder()
        let (C, M) = (config.hiddenSize, config.mlpSize)
        builder.add("cls_token", [1, 1, C])
        builder.add("pos_embed", [1, config.tokenCount, C])
        builder.add("patch_embed.proj.weight", [C, config.channels, config.patchSize, config.patchSize])
        if config.patchBias { builder.add("patch_embed.proj.bias", [C]) }
        if config.preNorm { builder.addNorm("norm_pre", C) }
        for block in 0..<config.layerCount {
            let prefix = "blocks.\(block)."
            builder.addNorm(prefix + "norm1", C)
            builder.addLinear(prefix + "attn.qkv", [3 * C, C], bias: config.qkvBias)
            builder.addLinear(prefix + "attn.proj", [C, C])
            builder.addNorm(prefix + "norm2", C)
            builder.addLinear(prefix + "mlp.fc1", [M, C])
            builder.addLinear(prefix + "mlp.fc2", [C, M])
        }
        builder.addNorm(config.finalNorm == .beforePooling ? "norm" : "fc_norm", C)
        if let projection = config.projectionSize { builder.add("head.weight", [projection, C]) }
        entries = builder.entries
        count = builder.count
        indices = Dictionary(uniqueKeysWithValues: zip(builder.entries.map(\.name), builder.entries.indices))
    }

    private struct Builder {
        var entries: [Entry] = []
        var count = 0

        mutating func add(_ name: String, _ dims: [Int]) {
            let size = dims.reduce(1, *)
            entries.append(Entry(name: TensorName(name), shape: Shape(dims), range: count..<count + size))
            count += size
        }

        mutating func addNorm(_ name: String, _ size: Int) {
            add(name + ".weight", [size])
            add(name + ".bias", [size])
        }

        mutating func addLinear(_ name: String, _ dims: [Int], bias: Bool = true) {
            add(name + ".weight", dims)
            if bias { add(name + ".bias", [dims[0]]) }
        }
    }
}
