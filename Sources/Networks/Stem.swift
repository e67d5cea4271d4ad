/// How inputs become the tokens that a transformer's blocks work on.
public enum Stem: Sendable, Hashable, Encodable {
    /// Images, cut in patches.
    case patches(PatchStem)
    /// Texts, looked up word by word.
    case words(WordStem)

    /// What goes in.
    var input: NetworkInput {
        switch self {
        case .patches(let stem): .images(stem.image)
        case .words(let stem):
            .tokens(TokenShape(vocabulary: stem.vocabulary, longest: stem.longest, typeCount: stem.typeCount))
        }
    }

    /// The most tokens of one input.
    var largestTokenCount: Int {
        switch self {
        case .patches(let stem): stem.tokenCount
        case .words(let stem): stem.longest
        }
    }

    /// The numbers of the input that one token is made of.
    var elementsPerToken: Int {
        switch self {
        case .patches(let stem): stem.patchElementCount
        case .words: 1
        }
    }

    /// Sizes by the names of configurations, all of which are positive.
    var sizes: [(name: String, size: Int)] {
        switch self {
        case .patches(let stem):
            [
                ("patch_size", stem.patchSize), ("image_size (height)", stem.image.height),
                ("image_size (width)", stem.image.width), ("num_channels", stem.image.channels),
            ]
        case .words(let stem):
            [("vocab_size", stem.vocabulary), ("max_position_embeddings", stem.positionCount)]
        }
    }

    /// Checks sizes against each other that are all positive.
    func validate() throws(NetworkError) {
        switch self {
        case .patches(let stem):
            for (name, size) in [("height", stem.image.height), ("width", stem.image.width)]
            where size % stem.patchSize != 0 {
                throw NetworkError(
                    .badConfig, "image \(name) \(size) is not a multiple of patch_size \(stem.patchSize)",
                    hint: "set image_size to the size that the position embedding was made for")
            }
        case .words(let stem):
            guard 0...1 << 20 ~= stem.typeCount else {
                throw NetworkError(
                    .badConfig, "type_vocab_size is \(stem.typeCount); it must lie between 0 and \(1 << 20)")
            }
            if let row = stem.paddingRow, !(0..<stem.vocabulary).contains(row) {
                throw NetworkError(
                    .badConfig, "pad_token_id is \(row), and vocab_size is \(stem.vocabulary)")
            }
            if let padding = stem.padding, !(0..<stem.positionCount - 1).contains(padding) {
                throw NetworkError(
                    .badConfig,
                    "pad_token_id is \(padding), after which there is no room among max_position_embeddings "
                        + "\(stem.positionCount)")
            }
        }
    }
}

/// Images cut in square patches, behind tokens that are learned.
public struct PatchStem: Sendable, Hashable, Encodable {
    /// The size of the images.
    public var image: ImageShape
    /// Side of a patch, in pixels.
    public var patchSize: Int
    /// Whether the patch embedding has a bias; CLIP's has none.
    public var hasBias: Bool
    /// The learned tokens in front: class token, distillation token, registers.
    public var prefix: [Prefix]
    /// Which tokens have a position.
    public var positions: Positions

    /// Learned tokens, by their names in timm.
    public struct Prefix: Sendable, Hashable, Encodable {
        public var name: String
        public var count: Int

        /// Names so many learned tokens.
        public init(_ name: String, _ count: Int = 1) {
            self.name = name
            self.count = count
        }
    }

    /// Which tokens the position embedding is added to.
    public enum Positions: String, Sendable, Encodable {
        case allTokens
        case patches
        /// The first token and the patches, as in DINOv2 with registers.
        case classAndPatches
    }

    /// Describes a stem; by default one class token, and positions of all tokens.
    public init(
        image: ImageShape, patchSize: Int, hasBias: Bool = true, prefix: [Prefix] = [Prefix("cls_token")],
        positions: Positions = .allTokens
    ) {
        self.image = image
        self.patchSize = patchSize
        self.hasBias = hasBias
        self.prefix = prefix
        self.positions = positions
    }

    /// The number of patches of an image.
    public var patchCount: Int { (image.height / patchSize) * (image.width / patchSize) }
    /// The number of learned tokens.
    public var prefixCount: Int { prefix.reduce(0) { $0 + $1.count } }
    public var tokenCount: Int { prefixCount + patchCount }
    /// The numbers in one patch.
    var patchElementCount: Int { image.channels * patchSize * patchSize }

    /// For every token its row of the position embedding, if it has one.
    package var positionRows: [Int?] {
        (0..<tokenCount).map { token in
            switch positions {
            case .allTokens: token
            case .patches: token < prefixCount ? nil : token - prefixCount
            case .classAndPatches: token == 0 ? 0 : token < prefixCount ? nil : token - prefixCount + 1
            }
        }
    }

    /// The rows of the position embedding.
    package var positionCount: Int {
        switch positions {
        case .allTokens: tokenCount
        case .patches: patchCount
        case .classAndPatches: patchCount + min(prefixCount, 1)
        }
    }
}

/// Words by their numbers in a vocabulary, with positions and types.
public struct WordStem: Sendable, Hashable, Encodable {
    /// The rows of the word embedding.
    public var vocabulary: Int
    /// The rows of the position embedding.
    public var positionCount: Int
    /// The rows of the embedding of token types; 0 where there is none.
    public var typeCount: Int
    /// Where positions are counted as RoBERTa does: the first word is at `padding + 1`, words that are padding at `padding`, and
    /// padding is what has this number in the vocabulary. Nil counts all tokens from 0.
    public var padding: Int?
    /// The row of the word embedding that stands for padding and is not trained, as `padding_idx` of PyTorch's `Embedding`; nil where all
    /// are. Where positions are counted from `padding`, that row of the position embedding is none either.
    public var paddingRow: Int?

    /// Describes a stem; without `padding` positions are counted from 0.
    public init(vocabulary: Int, positionCount: Int, typeCount: Int, padding: Int? = nil, paddingRow: Int? = nil) {
        self.vocabulary = vocabulary
        self.positionCount = positionCount
        self.typeCount = typeCount
        self.padding = padding
        self.paddingRow = paddingRow
    }

    /// The most words of a text.
    public var longest: Int { positionCount - (padding.map { $0 + 1 } ?? 0) }
}
