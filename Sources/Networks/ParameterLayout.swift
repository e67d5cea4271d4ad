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

    /// Where a tensor starts in the vector, if there is one of the name.
    func start(_ name: String) -> Int? { self[TensorName(name)]?.range.lowerBound }

    /// Where a tensor starts that every network of the kind has.
    func requiredStart(_ name: String) -> Int {
        guard let offset = start(name) else { preconditionFailure("the layout has no \(name)") }
        return offset
    }

    /// Lays the parameters of a transformer out in one array, by the names that timm would give them.
    ///
    /// - Precondition: `config` is valid.
    init(_ config: TransformerConfig) {
        var builder = Builder()
        let (C, M) = (config.hiddenSize, config.mlpSize)
        switch config.stem {
        case .patches(let stem):
            // One after the other, as the rows of one matrix.
            for part in stem.prefix { builder.add(part.name, [1, part.count, C]) }
            builder.add("pos_embed", [1, stem.positionCount, C])
            builder.add("patch_embed.proj.weight", [C, stem.image.channels, stem.patchSize, stem.patchSize])
            if stem.hasBias { builder.add("patch_embed.proj.bias", [C]) }
        case .words(let stem):
            builder.add("word_embed.weight", [stem.vocabulary, C])
            builder.add("pos_embed", [stem.positionCount, C])
            if stem.typeCount > 0 { builder.add("type_embed.weight", [stem.typeCount, C]) }
        }
        if config.preNorm { builder.addNorm("norm_pre", C) }
        for block in 0..<config.layerCount {
            let prefix = "blocks.\(block)."
            builder.addNorm(prefix + "norm1", C)
            builder.addLinear(prefix + "attn.qkv", [3 * C, C], bias: config.qkvBias)
            builder.addLinear(prefix + "attn.proj", [C, C])
            if config.layerScale { builder.add(prefix + "ls1.gamma", [C]) }
            builder.addNorm(prefix + "norm2", C)
            builder.addLinear(prefix + "mlp.fc1", [M, C])
            builder.addLinear(prefix + "mlp.fc2", [C, M])
            if config.layerScale { builder.add(prefix + "ls2.gamma", [C]) }
        }
        if let norm = config.finalNorm { builder.addNorm(norm.name, C) }
        if config.pooling == .attention {
            builder.add("attn_pool.latent", [1, 1, C])
            builder.addLinear("attn_pool.qkv", [3 * C, C])
            builder.addLinear("attn_pool.proj", [C, C])
            builder.addNorm("attn_pool.norm", C)
            builder.addLinear("attn_pool.mlp.fc1", [M, C])
            builder.addLinear("attn_pool.mlp.fc2", [C, M])
        }
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
