import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// LoRA adapters on their bases. Corpus cases were made with PEFT 0.21; `.ci/adapters` compares many more with it.
@Suite struct AdapterTests {
    private let folder = TemporaryFolder()

    // MARK: - The corpus

    @Test(arguments: ["bias_lora_only", "dora", "modules_to_save", "plain", "rank_alpha_pattern"])
    func foldsAsPEFTDoes(name: String) throws {
        let place = Fixtures.path("conformance/good/lora/\(name)")
        let folded = try TensorStore(opening: FilePath("\(place)/base.safetensors+\(place)"))
        let merged = try TensorStore(opening: place.appending("merged.safetensors"))
        #expect(Set(folded.descriptors) == Set(merged.descriptors))
        for tensor in merged.descriptors {
            let (found, wanted) = (try folded.floats(of: tensor.name), try merged.floats(of: tensor.name))
            let wrong = zip(found, wanted).count { abs($0 - $1) > 1e-6 + 1e-5 * abs($1) }
            #expect(wrong == 0 && found.count == wanted.count, "\(tensor.name)")
        }
    }

    @Test func refusesWhatIsNoAdapter() throws {
        let cases = try ConformanceCase.all("bad", "lora", ending: "")
        #expect(cases.count == 8)
        for bad in cases {
            let error = try #require(throws: FormatError.self, "\(bad.path)") {
                _ = try TensorStore(opening: FilePath("\(bad.path)/base.safetensors+\(bad.path)"))
            }
            #expect(error.category.rawValue == bad.text("category"), "\(bad.path)")
            #expect(error.file?.hasPrefix(bad.path.string) == true)
        }
    }

    // MARK: - By hand

    /// A tensor of F32 with its numbers.
    struct Part: Sendable {
        let name: String
        let shape: [Int]
        let numbers: [Float]

        init(_ name: String, _ shape: [Int], _ numbers: [Float]) {
            (self.name, self.shape, self.numbers) = (name, shape, numbers)
        }
    }

    private func write(_ parts: [Part], to path: FilePath) throws {
        let tensors = try parts.map {
            try TensorDescriptor(name: TensorName($0.name), dtype: .f32, shape: Shape($0.shape))
        }
        let writer = try CheckpointFormat.makeWriter(.safetensors, at: path, declaring: tensors)
        for (place, part) in parts.enumerated() {
            try part.numbers.withUnsafeBytes { try writer.write($0, tensor: place, at: 0) }
        }
        _ = try writer.finish()
    }

    /// A base, an adapter beside it, and the path of both.
    private func adapted(
        _ base: [Part], _ adapter: [Part], _ config: String = "", name: String = "adapter"
    ) throws -> FilePath {
        let (place, basePath) = (folder.file(name), folder.file("base.safetensors"))
        if !fileExists(basePath) { try write(base, to: basePath) }
        mkdir(place.string, 0o700)
        try write(
            adapter.map { Part("base_model.model.\($0.name)", $0.shape, $0.numbers) },
            to: place.appending("adapter_model.safetensors"))
        try AtomicOutput.write(
            Array(#"{"peft_type": "LORA", "r": 1, "lora_alpha": 2\#(config)}"#.utf8),
            to: place.appending("adapter_config.json"), options: WriteOptions())
        return FilePath("\(basePath)+\(place)")
    }

    private let base = [Part("l.q.weight", [2, 3], [1, 2, 3, 4, 5, 6]), Part("l.q.bias", [2], [7, 8])]
    private let factors = [
        Part("l.q.lora_A.weight", [1, 3], [1, 0, -1]), Part("l.q.lora_B.weight", [2, 1], [10, 20]),
    ]

    /// s = 2; B A = [10, 0, -10; 20, 0, -20].
    @Test func addsTheProduct() throws {
        let store = try TensorStore(opening: try adapted(base, factors))
        #expect(try store.floats(of: "l.q.weight") == [21, 2, -17, 44, 5, -34])
        #expect(try store.floats(of: "l.q.bias") == [7, 8])
        #expect(
            store.reader.files.map { $0.lastComponent?.string } == [
                "base.safetensors", "adapter_model.safetensors", "adapter_config.json",
            ])
        let (weight, bias) = (
            try #require(store.index(of: "l.q.weight")), try #require(store.index(of: "l.q.bias"))
        )
        #expect(!store.reader.isMapped(weight) && store.reader.isMapped(bias) && store.reader.canReadRanges(of: weight))
        #expect(store.path == folder.file("base.safetensors"))
    }

    @Test(arguments: [0..<24, 4..<8, 3..<17, 11..<13, 24..<24])
    func anyRangeCanBeRead(range: Range<Int>) throws {
        let store = try TensorStore(opening: try adapted(base, factors))
        let all: [Float] = [21, 2, -17, 44, 5, -34]
        let buffer = try AlignedBuffer(byteCount: range.count)
        let place = try #require(store.index(of: "l.q.weight"))
        try store.reader.read(range, of: place, into: buffer.mutableBytes)
        #expect(Array(buffer.bytes) == all.withUnsafeBytes { Array($0[range]) })
    }

    /// The second one starts from what the first one made; s = 2 for both.
    @Test func severalAreAddedUp() throws {
        _ = try adapted(base, factors, name: "a")
        let path = try adapted(base, factors, name: "b")
        let both = FilePath("\(folder.file("base.safetensors"))+\(folder.file("a"))+\(folder.file("b"))")
        #expect(try TensorStore(opening: path).floats(of: "l.q.weight")[0] == 21)
        #expect(try TensorStore(opening: both).floats(of: "l.q.weight") == [41, 2, -37, 84, 5, -74])
    }

    /// W + s B A = [3, 4; 6, 8] has rows of lengths 5 and 10.
    @Test func lengthsComeFromMagnitudes() throws {
        let path = try adapted(
            [Part("q.weight", [2, 2], [3, 4, 0, 0])],
            [
                Part("q.lora_A.weight", [1, 2], [3, 4]), Part("q.lora_B.weight", [2, 1], [0, 1]),
                Part("q.lora_magnitude_vector", [2], [10, 5]),
            ], #", "use_dora": true"#)
        #expect(try TensorStore(opening: path).floats(of: "q.weight") == [6, 8, 3, 4])
    }

    /// Rows of an embedding are words: W + s (B A)ᵀ with A `[1, 3]`, B `[2, 1]`.
    @Test func embeddingsAreStoredTheOtherWayRound() throws {
        let path = try adapted(
            [Part("e.weight", [3, 2], [0, 0, 0, 0, 0, 0])],
            [Part("e.lora_embedding_A", [1, 3], [1, 2, 3]), Part("e.lora_embedding_B", [2, 1], [1, 10])])
        #expect(try TensorStore(opening: path).floats(of: "e.weight") == [2, 20, 4, 40, 6, 60])
    }

    /// Two experts of one row and two columns: A has a row for each, B a column.
    @Test func stacksOfExpertsHaveFactorsEach() throws {
        let path = try adapted(
            [Part("m.up", [2, 1, 2], [0, 0, 0, 0])],
            [Part("m.lora_A.weight", [2, 2], [1, 2, 3, 4]), Part("m.lora_B.weight", [1, 2], [10, 100])],
            #", "target_parameters": ["m.up"]"#)
        #expect(try TensorStore(opening: path).floats(of: "m.up") == [20, 40, 600, 800])
    }

    /// Factors with names that say nothing, wrapped around each other, the first innermost: `(inputs, outputs)`.
    private func nested(_ sides: [(Int, Int)]) -> [Part] {
        sides.enumerated().flatMap { place, sides in
            let module = "m" + String(repeating: ".base_layer", count: place)
            return [
                Part("\(module).lora_A.weight", [1, sides.0], [Float](repeating: 1, count: sides.0)),
                Part("\(module).lora_B.weight", [sides.1, 1], [Float](repeating: Float(place + 1), count: sides.1)),
            ]
        }
    }

    private func stacks(_ shapes: [[Int]]) -> (parts: [Part], config: String) {
        let parts = shapes.enumerated().map { place, shape in
            Part("m.p\(place)", shape, [Float](repeating: 0, count: shape.reduce(1, *)))
        }
        return (parts, #", "target_parameters": [\#(parts.map { "\"\($0.name)\"" }.joined(separator: ", "))]"#)
    }

    /// The innermost fits both stacks, one of them only as `[experts, inputs, outputs]`, and the other factors but the first one.
    @Test func factorsMakeRoomForEachOther() throws {
        let (base, config) = stacks([[1, 2, 3], [2, 3, 2]])
        // In matrices of rank 1: two rows of A for a stack of two.
        let path = try adapted(
            base,
            [
                Part("m.base_layer.lora_A.weight", [2, 3], [1, 1, 1, 1, 1, 1]),
                Part("m.base_layer.lora_B.weight", [2, 2], [1, 1, 1, 1]),
                Part("m.lora_A.weight", [1, 3], [1, 1, 1]), Part("m.lora_B.weight", [2, 1], [5, 5]),
            ], config)
        let store = try TensorStore(opening: path)
        #expect(try store.floats(of: "m.p0") == [Float](repeating: 10, count: 6))
        #expect(try store.floats(of: "m.p1") == [Float](repeating: 2, count: 12))
    }

    /// Trying all orders would take years.
    @Test(.timeLimit(.minutes(1))) func factorsThatDoNotFitAreFoundAtOnce() throws {
        let count = 24
        let (base, config) = stacks([[Int]](repeating: [1, 2, 3], count: count))
        let path = try adapted(base, nested([(3, 5)] + [(Int, Int)](repeating: (3, 2), count: count - 1)), config)
        let error = try #require(throws: FormatError.self) { _ = try TensorStore(opening: path) }
        #expect(error.category == .sizeMismatch && error.tensor == "base_model.model.m.lora_A.weight")
    }

    /// Each fits a stack, and two of them the same one alone.
    @Test(.timeLimit(.minutes(1))) func stacksThatSeveralNeedAreSaidToBe() throws {
        let count = 24
        let (base, config) = stacks([[1, 2, 3]] + [[Int]](repeating: [1, 2, 4], count: count - 1))
        let sides = [(3, 2), (3, 2)] + [(Int, Int)](repeating: (4, 2), count: count - 2)
        let path = try adapted(base, nested(sides), config)
        let error = try #require(throws: FormatError.self) { _ = try TensorStore(opening: path) }
        #expect(error.category == .sizeMismatch && error.message.contains("more factors of the shapes [2, 1] x [1, 3]"))
    }

    /// Mixtral as it is stored: transformers makes stacks of the experts, and PEFT trains these.
    @Test func expertsThatAreStoredApartAreSaidToBe() throws {
        let path = try adapted(
            [Part("m.experts.0.w1.weight", [1, 2], [0, 0]), Part("m.experts.1.w1.weight", [1, 2], [0, 0])],
            [
                Part("m.experts.lora_A.weight", [2, 2], [1, 2, 3, 4]),
                Part("m.experts.lora_B.weight", [1, 2], [1, 1]),
            ],
            #", "target_parameters": ["m.experts.gate_up_proj"]"#)
        let error = try #require(throws: FormatError.self) { _ = try TensorStore(opening: path) }
        #expect(error.category == .missingTensor && error.hint?.contains("one by one") == true)
    }

    /// Trained on the inner model, or on one around it; and with the adapter's name left in.
    @Test(arguments: ["q", "outer.l.q", "l.q"])
    func prefixesMayDiffer(module: String) throws {
        let path = try adapted(
            base,
            [
                Part("\(module).lora_A.default.weight", [1, 3], [1, 0, -1]),
                Part("\(module).lora_B.default.weight", [2, 1], [10, 20]),
            ])
        #expect(try TensorStore(opening: path).floats(of: "l.q.weight") == [21, 2, -17, 44, 5, -34])
    }

    @Test func ranksAreThoseOfTheConfiguration() throws {
        let path = try adapted(base, factors, #", "rank_pattern": {"q": 3}"#)
        let error = try #require(throws: FormatError.self) { _ = try TensorStore(opening: path) }
        #expect(error.category == .configMismatch && error.tensor == "base_model.model.l.q.lora_A.weight")
    }

    @Test(
        arguments: [
            (#", "init_lora_weights": "pissa_niter_4""#, FormatCategory.unsupportedObject),
            (#", "layer_replication": [[0, 2]]"#, .unsupportedObject),
            (#", "alpha_pattern": {"q(": 1}"#, .badConfig), (#", "alpha_pattern": {"(a*)*b": 1}"#, .badConfig),
            (#", "rank_pattern": {"(a?){30}a{30}": 1}"#, .badConfig),
            (#", "use_rslora": 1"#, .badConfig),
            (#", "rank_pattern": {"q": 0}"#, .badConfig), (#", "alpha_pattern": {"q": 1e999}"#, .badConfig),
        ])
    func whatIsNotFoldedIsRefused(config: String, category: FormatCategory) throws {
        let path = try adapted(base, factors, config)
        let error = try #require(throws: FormatError.self) { _ = try TensorStore(opening: path) }
        #expect(error.category == category && error.byteOffset != nil)
    }

    @Test(
        arguments: [
            [Part("l.q.lora_C.weight", [1], [1])], [Part("other.lora_A.weight", [1, 3], [1, 0, 0])],
            [Part("l.q.token_adapter.trainable_tokens_delta", [1], [1])],
        ])
    func strangeTensorsAreRefused(parts: [Part]) throws {
        let path = try adapted(base, factors + parts)
        let error = try #require(throws: FormatError.self) { _ = try TensorStore(opening: path) }
        #expect([.badName, .missingTensor].contains(error.category) && error.tensor != nil)
    }

    /// Of a module that was trained as a whole, with all biases trained, a file has the bias three times.
    @Test func savedModulesGoBeforeWhatTheyWere() throws {
        let path = try adapted(
            base + [Part("head.weight", [1, 2], [0, 0]), Part("head.bias", [1], [0])],
            factors + [
                Part("head.weight", [1, 2], [5, 6]), Part("head.bias", [1], [9]),
                Part("head.modules_to_save.bias", [1], [7]), Part("head.original_module.bias", [1], [8]),
            ], #", "bias": "all", "modules_to_save": ["head"]"#)
        let store = try TensorStore(opening: path)
        #expect(try store.floats(of: "head.weight") == [5, 6] && store.floats(of: "head.bias") == [7])
        #expect(try store.floats(of: "l.q.weight")[0] == 21)
    }

    /// `fan_in_fan_out` counts where layers are stored so: as other weights, or biases, show. B A = [10, 20; -10, -20] for `s`.
    @Test(
        arguments: [
            // The factors of a weight that is not square.
            ([Part("s.bias", [2], [0, 0]), Part("l.q.weight", [2, 3], [])], true, false),
            ([Part("s.bias", [2], [0, 0]), Part("l.q.weight", [3, 2], [])], true, true),
            // Another layer's bias; none.
            ([Part("s.bias", [2], [0, 0]), Part("t.weight", [3, 1], []), Part("t.bias", [3], [])], false, false),
            ([Part("s.bias", [2], [0, 0]), Part("t.weight", [1, 3], []), Part("t.bias", [3], [])], false, true),
            ([Part("s.bias", [2], [0, 0])], false, true), ([], false, false),
        ] as [([Part], Bool, Bool)])
    func layersTellWhichWayRoundTheyAre(others: [Part], changesOthers: Bool, isTransposed: Bool) throws {
        let base =
            [Part("s.weight", [2, 2], [0, 0, 0, 0])]
            + others.map { part in
                Part(part.name, part.shape, [Float](repeating: 0, count: part.shape.reduce(1, *)))
            }
        let own = [Part("s.lora_A.weight", [1, 2], [1, 2]), Part("s.lora_B.weight", [2, 1], [10, -10])]
        let store = try TensorStore(
            opening: try adapted(base, own + (changesOthers ? factors : []), #", "fan_in_fan_out": true"#))
        let expected: [Float] = isTransposed ? [20, -20, 40, -40] : [20, 40, -20, -40]
        #expect(try store.floats(of: "s.weight") == expected)
        #expect(store.warnings.contains { $0.code.hasSuffix("not_transposed") } == !isTransposed)
    }

    // MARK: - Paths

    @Test func aPathThatExistsGoesFirst() throws {
        let path = try adapted(base, factors)
        try write([Part("x", [1], [5])], to: folder.file("base.safetensors+x"))
        #expect(AdaptedPath(folder.file("base.safetensors+x")) == nil)
        #expect(AdaptedPath(folder.file("base.safetensors+gone")) == nil)
        #expect(AdaptedPath(path)?.adapters == [folder.file("adapter")])
        #expect(AdaptedPath.base(of: path) == folder.file("base.safetensors"))
        let places = CheckpointSource.Places(cache: HubCache(folder.file("hub")))
        #expect(try CheckpointSource(path.string).path(in: places) == path)
        let error = try #require(throws: IOError.self) {
            _ = try CheckpointSource("\(folder.file("base.safetensors"))+\(folder.file("gone"))").path(in: places)
        }
        #expect(error.message.contains("is a model with an adapter, and \(folder.file("gone")) is not there"))
    }
}

extension TensorStore {
    func floats(of name: TensorName) throws -> [Float] {
        try bytes(of: name)?.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        } ?? []
    }
}
