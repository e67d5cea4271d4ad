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
