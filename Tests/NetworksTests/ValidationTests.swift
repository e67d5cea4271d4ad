import Kernels
import Networks
import TensorCore
import TestSupport
import Testing

@Suite("architecture and inputs are checked") struct ValidationTests {
    static let shape = ImageShape(channels: 3, height: 4, width: 6)
    static let valid = TransformerConfig(
        stem: .patches(PatchStem(image: shape, patchSize: 2)), hiddenSize: 6, layerCount: 1, headCount: 2, mlpSize: 5)
    static let words = TransformerConfig(
        stem: .words(WordStem(vocabulary: 9, positionCount: 8, typeCount: 2)), hiddenSize: 6, layerCount: 1,
        headCount: 2,
        mlpSize: 5, blockNorm: .after, preNorm: true, pooling: .mean, finalNorm: nil)

    struct Change: Sendable {
        let words: String
        let apply: @Sendable (inout TransformerConfig) -> Void
    }

    static let changes = [
        Change(words: "hidden_size is 0") { $0.hiddenSize = 0 },
        Change(words: "hidden_size 6 is not a multiple of num_attention_heads 4") { $0.headCount = 4 },
        Change(words: "num_hidden_layers is -1") { $0.layerCount = -1 },
        Change(words: "image height 5 is not a multiple of patch_size 2") {
            $0.patches.image = ImageShape(channels: 3, height: 5, width: 6)
        },
        Change(words: "image width 7 is not a multiple of patch_size 2") {
            $0.patches.image = ImageShape(channels: 3, height: 4, width: 7)
        },
        Change(words: "patch_size is 0") { $0.patches.patchSize = 0 },
        Change(words: "layer_norm_eps is 0.0") { $0.layerNormEps = 0 },
        Change(words: "num_channels is 9223372036854775807") {
            $0.patches.image = ImageShape(channels: .max, height: 4, width: 6)
        },
        Change(words: "one input needs") {
            $0.patches.image = ImageShape(channels: 3, height: 1 << 20, width: 1 << 20)
        },
        Change(words: "pooling \"distilled\" needs 2 learned tokens, but there are 1") { $0.pooling = .distilled },
        Change(words: "pooling \"cls\" needs 1 learned tokens, but there are 0") { $0.patches.prefix = [] },
        Change(words: "vocab_size is 0") {
            $0.stem = .words(WordStem(vocabulary: 0, positionCount: 8, typeCount: 0))
        },
        Change(words: "pad_token_id is 7, after which there is no room among max_position_embeddings 8") {
            $0.stem = .words(WordStem(vocabulary: 9, positionCount: 8, typeCount: 0, padding: 7))
        },
        Change(words: "pad_token_id is 9, and vocab_size is 9") {
            $0.stem = .words(WordStem(vocabulary: 9, positionCount: 8, typeCount: 0, paddingRow: 9))
        },
        Change(words: "the model would have") {
            $0.hiddenSize = 1 << 18
            $0.layerCount = 1 << 18
        },
        Change(words: "projection size is 0") { $0.projectionSize = 0 },
    ]

    @Test("an architecture that contradicts itself", arguments: changes)
    func config(_ change: Change) {
        var config = Self.valid
        change.apply(&config)
        let error = #expect(throws: NetworkError.self) { try Transformer(config) }
        #expect(error?.code == "network.bad_config")
        #expect(error?.message.contains(change.words) == true, "\(error?.message ?? "")")
    }

    /// Images whose numbers all are the number of the image.
    private func numbered(_ count: Int, from first: Int = 0) throws -> InputSet {
        .images(
            try ImageSet(
                values: (first..<first + count).flatMap { [Float](repeating: Float($0), count: 72) }, count: count,
                shape: Self.shape))
    }

    @Test(
        "a few images, evenly spread",
        arguments: [(5, 2, [0, 2]), (7, 3, [0, 2, 4]), (4, 4, [0, 1, 2, 3]), (2, 9, [0, 1])])
    func spread(count: Int, limit: Int, chosen: [Int]) throws {
        guard case .images(let images) = try numbered(count).spread(atMost: limit) else { return }
        #expect(images.count == chosen.count && images.values.count == 72 * chosen.count)
        #expect((0..<images.count).map { Int(images.values[72 * $0]) } == chosen)
    }

    @Test("texts that fit no model")
    func tokens() throws {
        func error(_ body: () throws -> Void) -> String {
            let error = #expect(throws: NetworkError.self) { try body() }
            #expect(error?.code == "network.bad_tokens")
            return error?.message ?? ""
        }
        #expect(error { _ = try TokenSet(ids: [], count: 0, length: 3) }.contains("[0, 3], which is empty"))
        #expect(error { _ = try TokenSet(ids: [1], count: 1, length: 2) }.contains("need 2 ids, but there are 1"))
        #expect(error { _ = try TokenSet(ids: [1], count: .max, length: 2) }.contains("but there are 1"))
        #expect(error { _ = try TokenSet(ids: [1, -1], count: 1, length: 2) }.contains("text 0 at word 1 is negative"))
        #expect(
            error { _ = try TokenSet(ids: [1, 2], isWord: [true, false], count: 2, length: 1) }.contains(
                "text 1 is nothing but padding"))
        let model = try Transformer(Self.words)
        func check(_ tokens: TokenSet) -> String { error { try model.input.check(.tokens(tokens)) } }
        #expect(
            check(try TokenSet(ids: [1, 8, 9, 0], count: 2, length: 2)).contains(
                "word 0 of text 1 has the number 9, but the vocabulary has 9"))
        #expect(
            check(try TokenSet(ids: [1, 8], types: [1, 2], count: 1, length: 2)).contains("has the type 2"))
        #expect(
            check(try TokenSet(ids: Array(repeating: 1, count: 9), count: 1, length: 9)).contains(
                "have 9 words, but the model takes at most 8"))
        #expect(error { try model.input.check(numbered(1)) }.contains("there are images"))
        let texts = InputSet.tokens(try TokenSet(ids: [1], count: 1, length: 1))
        let mistake = #expect(throws: NetworkError.self) { try Transformer(Self.valid).input.check(texts) }
        #expect(mistake?.code == "network.bad_images")
    }

    @Test("a few texts, evenly spread")
    func spreadTexts() throws {
        let texts = InputSet.tokens(
            try TokenSet(
                ids: [1, 2, 3, 4, 5, 6, 7, 8], isWord: Array(repeating: true, count: 7) + [false], count: 4, length: 2))
        guard case .tokens(let chosen) = texts.spread(atMost: 2) else { return }
        #expect(chosen.ids == [1, 2, 5, 6] && chosen.mask == [1, 1, 1, 1] && chosen.count == 2)
    }

    @Test("several sets at once have the features of each alone", arguments: [1, 3])
    func sets(threads: Int) throws {
        let model = try Transformer(Self.valid)
        let parameters = try FloatBuffer((0..<model.parameterCount).map { Float(($0 * 37) % 19 - 9) / 10 })
        // More than one chunk, and chunks that are not full.
        let sets = [try numbered(70), try numbered(3, from: 5), try numbered(33, from: 90)]
        let budget = ComputeBudget(threads: threads)
        let together = try model.features(parameters: parameters, sets: sets, budget: budget)
        #expect(
            try together
                == sets.map {
                    try model.features(parameters: parameters, inputs: $0, budget: ComputeBudget(threads: 1))
                })
        #expect(Set(together.map(\.count)) == [70 * 6, 3 * 6, 33 * 6] && Set(together[0]).count > 6)
    }

    @Test("vectors, images and heads of another size")
    func inputs() throws {
        let model = try Transformer(Self.valid)
        let zeros = [Float](repeating: 0, count: 144)
        func set(_ height: Int, _ width: Int) throws -> InputSet {
            .images(
                try ImageSet(values: zeros, count: 2, shape: ImageShape(channels: 3, height: height, width: width)))
        }
        let (images, turned) = (try set(4, 6), try set(6, 4))
        let parameters = try FloatBuffer(count: model.parameterCount)
        let budget = ComputeBudget(threads: 1)
        #expect(try model.features(parameters: parameters, inputs: images, budget: budget).count == 12)
        func code(_ body: () throws -> Void) -> String? { #expect(throws: NetworkError.self) { try body() }?.code }
        #expect(
            code { _ = try model.features(parameters: FloatBuffer(count: 1), inputs: images, budget: budget) }
                == "network.parameter_count")
        #expect(
            code { _ = try model.features(parameters: parameters, inputs: turned, budget: budget) }
                == "network.bad_images")
        #expect(
            code { _ = try ImageSet(values: [0], count: 1, shape: ImageShape(channels: 1, height: 1, width: 2)) }
                == "network.bad_images")
        #expect(
            code { _ = try ImageSet(values: [], count: 0, shape: ImageShape(channels: 1, height: 1, width: 2)) }
                == "network.bad_images")
        #expect(
            code { _ = try ImageSet(values: [0], count: .max, shape: ImageShape(channels: 2, height: 1, width: 1)) }
                == "network.bad_images")
        let head = try ClassificationHead(name: "h", weight: [0, 0, 0, 0], classCount: 2)
        #expect(code { try model.check(head, name: "h") } == "network.bad_head")
        #expect(code { _ = try ClassificationHead(name: "h", weight: [1, 2, 3], classCount: 2) } == "network.bad_head")
        #expect(
            code { _ = try ClassificationHead(name: "h", weight: [1, 2], classCount: 2, bias: [1]) }
                == "network.bad_head")
        #expect(
            code { _ = try ClassificationHead(name: "h", weight: [1, .nan], classCount: 2) } == "network.bad_head")
    }

    @Test("a batch that no memory holds")
    func memory() throws {
        let model = try Transformer(Self.valid)
        let error = #expect(throws: NetworkError.self) {
            try model.workspace(capacity: .max / 2, tokenCount: 7, purpose: .training)
        }
        #expect(error?.code == "network.memory")
    }

    @Test("the layout lists timm's tensors without gaps")
    func layout() throws {
        let layout = try Transformer(Self.valid).layout
        var end = 0
        for entry in layout.entries {
            #expect(entry.range.lowerBound == end)
            #expect(try entry.shape.elementCount() == entry.range.count)
            end = entry.range.upperBound
        }
        #expect(end == layout.count)
        #expect(layout["blocks.0.attn.qkv.weight"]?.shape == [18, 6])
        #expect(layout["pos_embed"]?.shape == [1, 7, 6])
        #expect(layout["head.weight"] == nil)
    }
}
