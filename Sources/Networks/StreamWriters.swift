import TensorCore

/// The tensors whose outputs add up to what features are read from: in a transformer the residual stream.
///
/// What they change, a head sees through nothing but norms and a projection, so the head's weight says which of their changes it
/// notices. Of tensors in front of them it does not.
public struct StreamWriters: Sendable {
    /// A tensor that adds to the stream.
    public struct Writer: Sendable, Hashable {
        public let entry: ParameterLayout.Entry
        /// Whether it is multiplied with inputs, as a weight `[width, ...]`; otherwise rows of it are added as they are, `[..., width]`.
        public let isProduct: Bool
        /// What its output is multiplied by before it is added, number by number, `[width]`; nil for nothing.
        public let scale: ParameterLayout.Entry?
    }

    public let writers: [Writer]
    /// The width of the stream.
    public let width: Int
    /// From the stream to features, `[featureSize, width]`; nil where features are as the stream is.
    public let projection: ParameterLayout.Entry?
}

extension StreamWriters {
    /// Collects the writers of a layout by their names.
    struct Builder {
        let layout: ParameterLayout
        private(set) var writers: [Writer] = []

        init(_ layout: ParameterLayout) { self.layout = layout }

        /// Adds a table whose rows are added to the stream, if there is one of the name.
        mutating func addTable(_ name: String, scale: String? = nil) { add(name, isProduct: false, scale) }

        /// Adds the weight and the bias of a linear layer that writes to the stream.
        mutating func addLinear(_ name: String, scale: String? = nil) {
            add(name + ".weight", isProduct: true, scale)
            addTable(name + ".bias", scale: scale)
        }

        private mutating func add(_ name: String, isProduct: Bool, _ scale: String?) {
            guard let entry = layout[TensorName(name)] else { return }
            writers.append(
                Writer(entry: entry, isProduct: isProduct, scale: scale.flatMap { layout[TensorName($0)] }))
        }
    }
}

extension Transformer {
    /// The stem and what blocks add: the outputs of attention and MLP. Where attention pools tokens, its own output and that of its MLP
    /// alone, as features are read behind it.
    public var streamWriters: StreamWriters {
        var builder = StreamWriters.Builder(layout)
        if config.pooling == .attention {
            builder.addLinear("attn_pool.proj")
            builder.addLinear("attn_pool.mlp.fc2")
        } else {
            switch config.stem {
            case .patches(let stem):
                for part in stem.prefix { builder.addTable(part.name) }
                builder.addLinear("patch_embed.proj")
            case .words:
                builder.addTable("word_embed.weight")
                builder.addTable("type_embed.weight")
            }
            builder.addTable("pos_embed")
            for block in 0..<config.layerCount {
                builder.addLinear("blocks.\(block).attn.proj", scale: "blocks.\(block).ls1.gamma")
                builder.addLinear("blocks.\(block).mlp.fc2", scale: "blocks.\(block).ls2.gamma")
            }
        }
        return StreamWriters(
            writers: builder.writers, width: config.hiddenSize, projection: layout[TensorName("head.weight")])
    }
}

extension Perceptron {
    /// The last layer, whose output is the feature.
    public var streamWriters: StreamWriters {
        var builder = StreamWriters.Builder(layout)
        builder.addLinear("layers.\(config.layerSizes.count - 1)")
        return StreamWriters(writers: builder.writers, width: featureSize, projection: nil)
    }
}
