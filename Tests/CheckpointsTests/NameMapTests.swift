import Checkpoints
import TensorCore
import TestSupport
import Testing

/// Names of tensors that differ between models: rules for them, and rules that are found.
@Suite struct NameMapTests {
    private let folder = TemporaryFolder()

    /// A checkpoint of F32 tensors, with a shape of one dimension each.
    private func store(_ tensors: [(String, Int)], _ file: String = "x.safetensors") throws -> TensorStore {
        let descriptors = try tensors.map { try TensorDescriptor(name: TensorName($0.0), dtype: .f32, shape: [$0.1]) }
        let writer = try SafetensorsWriter(
            creating: folder.file(file), declaring: descriptors, options: WriteOptions(force: true, sync: false))
        try write(descriptors.map { [UInt8](repeating: 1, count: $0.byteCount) }, with: writer)
        return try TensorStore(opening: folder.file(file))
    }

    private func names(_ store: TensorStore) -> Set<String> { Set(store.descriptors.map(\.name.text)) }

    /// What rules make of one name.
    private func mapped(_ name: String, _ rules: [String]) throws -> String {
        let renames = try NameMap(rules).renames
        return try Renaming(renames).names(of: [TensorName(name)]) { RenameErrorForTests($0) }.names[0].text
    }

    private struct RenameErrorForTests: Error {
        let collision: Renaming.Collision
        init(_ collision: Renaming.Collision) { self.collision = collision }
    }

    @Test(arguments: [
        ("model.language_model.layers.0.w", ["model.language_model=model"], "model.layers.0.w"),
        ("model.language_model.layers.0.w", ["language_model="], "model.layers.0.w"),
        ("base_model.model.model.norm.weight", ["base_model.model="], "model.norm.weight"),
        ("layers.0.w", ["=model"], "model.layers.0.w"), ("layers.0.w", ["=a.b"], "a.b.layers.0.w"),
        // Whole parts alone, wherever they stand and however often.
        ("my_model.models.model_a", ["model=x"], "my_model.models.model_a"),
        ("a.b.a.c.a", ["a=x.y"], "x.y.b.x.y.c.x.y"),
        ("a.a.a", ["a.a=b"], "b.a"), ("a.b", ["a.b.c=x"], "a.b"),
        // One rule after the other, and never to nothing.
        ("a.b", ["a=b", "b=c"], "c.c"), ("model", ["model="], "model"), ("model.model", ["model="], "model.model"),
        ("a..b", ["a=x"], "x..b"), ("", ["a=b"], ""),
        // Byte by byte: an accent is a letter of its own, also behind a dot.
        ("e\u{301}.w", ["e=x"], "e\u{301}.w"), ("a.\u{301}b", ["a=x"], "x.\u{301}b"),
        ("e\u{301}.w", ["\u{e9}=x"], "e\u{301}.w"), ("a.w", ["a=b=c"], "b=c.w"),
    ])
    func replacesWholeParts(_ name: String, _ rules: [String], _ expected: String) throws {
        #expect(try TensorName(mapped(name, rules)) == TensorName(expected))
    }

    @Test(arguments: ["model", "", "=", "a.=b", ".a=b", "a..b=c", "a=b.", "=.b", "."])
    func refusesRulesThatMakeNoSense(_ rule: String) {
        let error = #expect(throws: RenameError.self) { try NameMap([rule]) }
        #expect(error?.code == "usage.map" && error?.severity == .usage && error?.hint != nil)
    }

    /// What the reference has is as it should be: a rule that puts a prefix before names leaves it alone.
    @Test func namesOfTheReferenceStay() throws {
        let base = try store([("model.layers.0.w", 1), ("model.norm", 1), ("lm_head.w", 1)], "base.safetensors")
        let bare = try store([("layers.0.w", 1), ("norm", 1), ("lm_head.w", 1)], "bare.safetensors")
        var warnings: [Warning] = []
        let map = try NameMap(["=model"])
        let stores = try map.applied(to: [bare, base], toMatch: base) { warnings.append($0) }
        for store in stores { #expect(names(store) == names(base)) }
        #expect(warnings.isEmpty)
        #expect(stores[0].openedPath == bare.openedPath && stores[0].path == bare.path)
        #expect(try stores[0].bytes(of: "model.norm")?.withUnsafeBytes { Array($0) } == [1, 1, 1, 1])
        // Neither does a rule that matches nothing go unnoticed, nor one that changed a single model.
        _ = try NameMap(["=model", "vision="]).applied(to: [bare, base], toMatch: base) { warnings.append($0) }
        #expect(warnings.map(\.code) == ["input.unused_rename"])
        #expect(warnings.map(\.text) == ["no tensor has a name that --map vision= changes"])
    }

    @Test func twoTensorsMayNotMeet() throws {
        let base = try store([("model.a", 1)], "base.safetensors")
        let expert = try store([("model.a", 1), ("x.model.a", 1)])
        let error = #expect(throws: InputError.self) {
            try NameMap(["x="]).applied(to: [expert], toMatch: base) { _ in }
        }
        #expect(error?.code == "input.duplicate_name")
        #expect(error?.message.hasSuffix("\"model.a\" and \"x.model.a\" would both be named \"model.a\"") == true)
        #expect(error?.file == expert.path.string && error?.tensor == "x.model.a")
    }

    // MARK: - Suggestions

    private static let kinds = [("attn.q.weight", 4), ("attn.k.weight", 4), ("mlp.weight", 6)]

    private func layers(_ prefix: String) -> [(String, Int)] {
        (0..<3).flatMap { layer in Self.kinds.map { ("\(prefix)layers.\(layer).\($0.0)", $0.1) } }
            + [("\(prefix)norm.weight", 2)]
    }

    private func suggestion(_ model: [(String, Int)], _ reference: [(String, Int)]) throws -> MapSuggestion? {
        try MapSuggestion(
            for: store(model, "m.safetensors").descriptors, toMatch: store(reference, "r.safetensors").descriptors)
    }

    /// Both ways; what is suggested makes the names match when it is applied.
    @Test(arguments: [
        ("", "model.", "model=", "=model"),
        ("model.", "base_model.model.model.", "base_model.model=", "=base_model.model"),
        ("model.", "model.language_model.", "language_model=", "model=model.language_model"),
        ("a.model.", "b.", "b=a.model", "a.model=b"),
    ])
    func findsTheRule(_ plain: String, _ other: String, _ there: String, _ back: String) throws {
        // Of other shapes, so that ends of names alone say little.
        let vision = (0..<3).map { ("visual.layers.\($0).attn.q.weight", 9) }
        for (model, reference, rule) in [
            (layers(other) + vision, layers(plain), there), (layers(plain), layers(other) + vision, back),
        ] {
            let found = try #require(try suggestion(model, reference))
            #expect(found.map.rules == [rule])
            #expect(found.map.options == "--map \(rule)")
            #expect(found.names.count == 20)
            let target = try store(reference, "r.safetensors")
            let mapped = try found.map.applied(to: [store(model, "m.safetensors")], toMatch: target) { _ in }[0]
            #expect(names(mapped).intersection(names(target)).count == 10)
        }
    }

    @Test func findsSeveralRules() throws {
        let renamed = layers("model.").map { ($0.0.replacing("attn.q.", with: "self.q_proj."), $0.1) }
            .map { ($0.0.replacing("model.layers", with: "h"), $0.1) }
        let found = try #require(try suggestion(renamed, layers("model.")))
        let target = try store(layers("model."), "r.safetensors")
        let mapped = try found.map.applied(to: [store(renamed, "m.safetensors")], toMatch: target) { _ in }[0]
        #expect(names(mapped) == names(target))
    }

    /// The names of `Dinov2Model` and `ViTModel` of transformers 5 in memory, and those that they are saved under.
    private static func vit(
        layers: String, inMemory: [String], saved: [String]
    ) -> (own: [(String, Int)], wanted: [(String, Int)]) {
        let sizes = inMemory.map { $0.hasPrefix("mlp.fc1") ? 96 : 48 }
        func names(_ layers: String, _ modules: [String]) -> [(String, Int)] {
            (0..<3).flatMap { layer in
                zip(modules, sizes).flatMap { module, size in
                    [("\(layers).\(layer).\(module).weight", 48 * size), ("\(layers).\(layer).\(module).bias", size)]
                }
            }
        }
        return (names(layers, inMemory), names("encoder.layer", saved))
    }

    private static let savedAttention = [
        "attention.attention.key", "attention.output.dense", "attention.attention.query", "attention.attention.value",
    ]
    private static let attentionInMemory = [
        "attention.k_proj", "attention.o_proj", "attention.q_proj", "attention.v_proj",
    ]

    /// Four matrices of one shape: only their words tell queries from outputs.
    @Test func wordsDecideWhereShapesDoNot() throws {
        let (own, wanted) = Self.vit(
            layers: "encoder.layer", inMemory: Self.attentionInMemory, saved: Self.savedAttention)
        let orders: [([(String, Int)], [(String, Int)])] = [
            (own, wanted), (own.reversed(), wanted), (own, wanted.reversed()),
        ]
        for (model, reference) in orders {
            let found = try #require(try suggestion(model, reference))
            #expect(
                found.map.rules.sorted() == [
                    "k_proj=attention.key", "o_proj=output.dense", "q_proj=attention.query", "v_proj=attention.value",
                ])
        }
        let back = try #require(try suggestion(wanted, own))
        let target = try store(own, "r.safetensors")
        let mapped = try back.map.applied(to: [store(wanted, "m.safetensors")], toMatch: target) { _ in }[0]
        let originals = try store(wanted, "m.safetensors").descriptors.map(\.name.text)
        for (name, original) in zip(mapped.descriptors.map(\.name.text), originals) {
            let words = ["query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"]
            let word = try #require(words.first { original.contains($0.key) }?.value)
            #expect(name.contains(word), "\(original) became \(name)")
        }
    }

    @Test func theWholeOfAViT() throws {
        let (own, wanted) = Self.vit(
            layers: "layers", inMemory: Self.attentionInMemory + ["mlp.fc1", "layernorm_before"],
            saved: Self.savedAttention + ["intermediate.dense", "layernorm_before"])
        let found = try #require(try suggestion(own, wanted))
        let target = try store(wanted, "r.safetensors")
        let mapped = try found.map.applied(to: [store(own, "m.safetensors")], toMatch: target) { _ in }[0]
        #expect(names(mapped) == names(target))
        #expect(found.map.rules.contains("layers=encoder.layer") && found.map.rules.contains("q_proj=attention.query"))
        #expect(found.map.rules.contains("mlp.fc1=intermediate.dense"))
    }

    /// Two tensors of one shape under words that have nothing to do with each other might be either.
    @Test func suggestsNothingWhereItWouldGuess() throws {
        func layers(_ names: [String]) -> [(String, Int)] {
            (0..<3).flatMap { layer in names.map { ("layers.\(layer).\($0).weight", 4) } }
        }
        #expect(try suggestion(layers(["norm1", "norm2"]), layers(["before", "after"])) == nil)
        // Numbers are words, too.
        let found = try #require(try suggestion(layers(["fc1", "fc2"]), layers(["linear2", "linear1"])))
        #expect(found.map.rules.sorted() == ["fc1=linear1", "fc2=linear2"])
        // One of three is certain, which is less than half.
        #expect(try suggestion(layers(["q", "a", "b"]), layers(["query", "x", "y"])) == nil)
        let half = try #require(try suggestion(layers(["q", "k", "a", "b"]), layers(["query", "key", "x", "y"])))
        #expect(half.map.rules.sorted() == ["k=key", "q=query"])
    }

    /// A classifier is no output head, layers keep their numbers, and shapes count.
    @Test func suggestsNothingThatWouldBeWrong() throws {
        #expect(try suggestion([("score.weight", 2)], [("lm_head.weight", 9)]) == nil)
        #expect(try suggestion([("score.weight", 2)], [("lm_head.weight", 2)]) == nil)
        #expect(
            try suggestion([("layers.4.a.w", 1), ("layers.4.b.w", 1)], [("layers.0.a.w", 1), ("layers.0.b.w", 1)])
                == nil)
        #expect(try suggestion(layers("model."), layers("").map { ($0.0, $0.1 + 1) }) == nil)
        #expect(try suggestion(layers("model."), layers("model.")) == nil)
        #expect(try suggestion([], layers("")) == nil)
        // Most of what is missing stays so.
        let others = (0..<40).map { ("part_\($0).x", 50 + $0) }
        #expect(
            try suggestion(others + [("model.a.w", 1)], others.map { ("z\($0.0)", $0.1 + 100) } + [("a.w", 1)]) == nil)
    }
}
