import Checkpoints
import Glibc
import Kernels
import Merging
import Reporting
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Work
import Workflow

/// Adapters merged into one: as PEFT combines them, and as whole weights are merged.
@Suite struct AdapterMergeTests {
    private let folder = TemporaryFolder()

    // MARK: - As PEFT does

    private static let manifest: [JSONValue] = {
        let file = Fixtures.path("parity/lora/manifest.json")
        return JSONDocument.read(file)?["cases"]?.array.map(Array.init) ?? []
    }()

    @Test(arguments: manifest.compactMap { $0["id"]?.string })
    func combinesAsPEFTDoes(id: String) throws {
        let place = Fixtures.path("parity/lora")
        let item = try #require(Self.manifest.first { $0["id"]?.string == id })
        let group = try #require(item["group"]?.string)
        var parameters = MergeParameters()
        parameters["weight"] = .list(
            try #require(item["weights"]?.array).compactMap(\.double).map { .number($0) })
        var rank: Int?
        for member in try #require(item["parameters"]?.object) {
            let (key, value) = (member.key, member.value)
            if key == "svd_rank" {
                rank = value.int
            } else {
                parameters[key] = value.double.map { .number($0) } ?? value.string.map { .text($0) }
            }
        }
        let outcome = try merge(
            ["a1", "a2", "a3"].map { place.appending("\(group)/\($0)") }, item["combination_type"]?.string ?? "",
            parameters, rank: rank)
        #expect(outcome.weights.allSatisfy { $0.rank == item["result_rank"]?.int })
        let wanted = try TensorStore(opening: place.appending(item["output"]?.string ?? ""))
        let tolerance = try #require(item["tolerance"]?.double)
        let changes = try LoRAAdapter(opening: folder.file("merged"), options: ReadOptions()).changes()
        #expect(changes.count == 6)
        for change in changes {
            let factors = try change.factors()
            #expect(change.scale == 1)
            func compare(_ found: Matrix<Double>, _ name: String) throws {
                let reference = try #require(try wanted.bytes(of: TensorName("\(change.module).\(name)")))
                reference.withUnsafeBytes {
                    let reference = $0.bindMemory(to: Float.self)
                    #expect(reference.count == found.count)
                    let wrong = zip(found.values, reference).count {
                        abs($0 - Double($1)) > tolerance * max(1, abs(Double($1)))
                    }
                    #expect(wrong == 0, "\(change.module).\(name)")
                }
            }
            let delta = try Matrix<Double>(rows: change.outputs, columns: change.inputs)
            factors.product(scaledBy: change.scale, into: delta)
            try compare(delta, "delta")
            // Of singular vectors and of factors that are stacked only the product is determined.
            if wanted.index(of: TensorName("\(change.module).lora_A")) != nil {
                try compare(factors.a, "lora_A")
                try compare(factors.b, "lora_B")
            }
        }
    }

    /// Half of the entries are dropped, and the others doubled; what is dropped follows from the seed.
    @Test func dropsEntriesAtRandom() throws {
        let adapter = Fixtures.path("parity/lora/same/a1")
        let stored = try factors(of: adapter)
        var found: [String: [Double]] = [:]
        for (name, seed, threads) in [("first", 0.0, 1), ("again", 0.0, 2), ("other", 1.0, 1)] {
            _ = try merge(
                [adapter], "dare_linear", MergeParameters(["density": .number(0.5), "seed": .number(seed)]),
                threads: threads, name: name)
            found[name] = try factors(of: folder.file(name)).flatMap { $0.1 }
        }
        #expect(found["first"] == found["again"] && found["first"] != found["other"])
        let values = try #require(found["first"])
        let scale = try #require(stored.first?.scale).squareRoot()
        let whole = stored.flatMap { $0.1 }
        #expect(zip(values, whole).allSatisfy { $0 == 0 || abs($0 - 2 * scale * $1) < 1e-6 })
        let share = Double(values.count { $0 != 0 }) / Double(values.count)
        #expect(abs(share - 0.5) < 0.05)
    }

    // MARK: - As weights are merged

    /// A method, and what it is set to.
    static let methods: [(String, MergeParameters)] = [
        ("task_arithmetic", MergeParameters(["weight": .list([.number(1), .number(0.5), .number(-0.7)])])),
        ("task_arithmetic", MergeParameters(["lambda": .number(0.3), "normalize": .flag(true)])),
        ("tsv_m", MergeParameters()),
        ("dc_merge", MergeParameters(["keep": .number(0.05)])),
        (
            "dc_merge",
            MergeParameters(["rank": .number(2), "smoothing": .text("average"), "keep": .number(0.3)])
        ),
        ("swudi", MergeParameters()),
        ("swudi", MergeParameters(["time": .text("auto"), "init": .text("mean")])),
        ("aswudi", MergeParameters()),
        ("aswudi", MergeParameters(["rank_rule": .text("entropy"), "lambda": .number(0.7)])),
        ("actmat", MergeParameters(["weight": .list([.number(1), .number(0.5), .number(2)])])),
        ("actmat", MergeParameters(["lines_alpha": .number(0.5), "lines_beta": .number(0.25)])),
        ("task_arithmetic", MergeParameters(["svc_alpha": .number(0.5)])),
        ("task_arithmetic", MergeParameters(["lambda": .number(0.3), "boost_beta": .number(0.4)])),
        ("tsv_m", MergeParameters(["svc_alpha": .number(1), "boost_beta": .number(0.3), "lines_alpha": .number(0.5)])),
    ]

    /// Cores of the size of the ranks give what task vectors of full size give: linear layers, an embedding, which is
    /// stored the other way round, kernels, and a module that one of the adapters lacks.
    @Test(arguments: methods.indices)
    func mergesInCoreSpaceAsWeightsAreMerged(number: Int) throws {
        let (method, parameters) = Self.methods[number]
        var generator = TestGenerator(state: UInt64(40 + number))
        var paths: [FilePath] = []
        for adapter in 0..<3 {
            paths.append(
                try makeAdapter("a\(adapter)", rank: 2 + adapter, lacking: adapter == 1 ? "wide" : "", &generator))
        }
        _ = try merge(paths, method, parameters, dtype: .f64)
        // The same with whole weights in F64, which hold the changes exactly.
        let all = try paths.map { try LoRAAdapter(opening: $0, options: ReadOptions()).changes() }
        let weights = all[0].map(\.weight)
        func model(_ name: String, _ changes: [StoredChange]) throws -> TensorStore {
            try TensorStore(
                opening: folder.checkpoint(
                    name,
                    weights.map { weight in
                        let values = [Double](repeating: 0, count: weight.elementCount)
                        let change = changes.first { $0.weight.name == weight.name }
                        let bytes = try (change.map(Self.stored) ?? values).withUnsafeBytes(Array.init)
                        return TestTensor(weight.name, .f64, weight.shape.dims, bytes)
                    }))
        }
        let merged = try MergeJob(
            method: method, base: model("base.safetensors", []),
            experts: all.enumerated().map { ("\($0)", try model("\($0).safetensors", $1)) }, parameters: parameters,
            in: testContext
        ).merged().store
        let found = try LoRAAdapter(opening: folder.file("merged"), options: ReadOptions()).changes()
        #expect(found.count == weights.count)
        for change in found {
            let bytes = try #require(try merged.bytes(of: change.weight.name))
            let wanted = bytes.withUnsafeBytes { Array($0.bindMemory(to: Double.self)) }
            let largest = wanted.reduce(0) { max($0, abs($1)) }
            let error = zip(try Self.stored(change), wanted).reduce(0) { max($0, abs($1.0 - $1.1)) }
            // Rules of matrices read task vectors as F32, and so are changes whose singular values are corrected.
            let isCorrected = parameters["svc_alpha"] != nil || parameters["boost_beta"] != nil
            let tolerance = method == "task_arithmetic" && !isCorrected ? 1e-12 : 2e-5
            #expect(largest > 1e-3 && error <= tolerance * largest, "\(change.module): \(error) of \(largest)")
        }
    }

    /// What an adapter adds to a weight, as that is stored.
    private static func stored(_ change: StoredChange) throws -> [Double] {
        let product = try Matrix<Double>(rows: change.outputs, columns: change.inputs)
        try change.factors().product(scaledBy: change.scale, into: product)
        guard change.isTransposed else { return Array(product.values) }
        return (0..<product.count).map {
            product.values[$0 % change.outputs * change.inputs + $0 / change.outputs]
        }
    }

    @Test func cutsToARank() throws {
        var generator = TestGenerator(state: 3)
        let paths = try (0..<3).map { try makeAdapter("a\($0)", rank: 3, &generator) }
        let whole = try merge(paths, "task_arithmetic", MergeParameters(), name: "whole")
        // The kernels have six rows.
        #expect(whole.weights.map(\.rank) == [6, 9, 9, 9, 9])
        let cut = try merge(paths, "task_arithmetic", MergeParameters(), rank: 4, name: "cut")
        #expect(cut.weights.allSatisfy { $0.rank == 4 })
        _ = try merge(paths, "svd", MergeParameters(), rank: 4, name: "svd")
        #expect(try factors(of: folder.file("cut")).map(\.1) == factors(of: folder.file("svd")).map(\.1))
    }

    // MARK: - What adapters have besides

    @Test func whatIsWholeGoesAlongWithAWarning() throws {
        var generator = TestGenerator(state: 5)
        let head = TestTensor("base_model.model.head.weight", [2, 2], [1, 2, 3, 4])
        let other = TestTensor("base_model.model.head.weight", [2, 2], [1, 2, 3, 5])
        let saved = #", "modules_to_save": ["head"]"#
        let first = try makeAdapter(
            "a", rank: 2, and: [head], config: #"\#(saved), "base_model_name_or_path": "org/x""#, &generator)
        let second = try makeAdapter(
            "b", rank: 3, lacking: "q", config: #", "base_model_name_or_path": "org/y""#, &generator)
        let job = try job([first, second], "cat")
        #expect(job.warnings.map(\.code) == ["merge.different_bases", "merge.whole_tensors"])
        let outcome = try job.run(in: testContext)
        #expect(outcome.savedModules == ["head"])
        let store = try TensorStore(opening: folder.file("merged/adapter_model.safetensors"))
        #expect(
            try store.bytes(of: "base_model.model.head.weight").map { $0.withUnsafeBytes(Array.init) } == head.bytes)
        let config = try #require(JSONDocument.read(folder.file("merged/adapter_config.json")))
        #expect(config["modules_to_save"]?.array?.compactMap(\.string) == ["head"])
        #expect(config["base_model_name_or_path"]?.string == "org/x")
        #expect(config["r"]?.int == 5 && config["lora_alpha"]?.int == 5)
        #expect(config["rank_pattern"]?["q"]?.int == 2 && config["alpha_pattern"]?["q"]?.int == 2)
        // The same in both is no choice, and another one is.
        let same = try makeAdapter("c", rank: 2, and: [head], config: saved, &generator)
        #expect(try self.job([first, same], "cat").warnings.map(\.code) == ["merge.whole_tensors"])
        let different = try makeAdapter("d", rank: 2, and: [other], config: saved, &generator)
        #expect(throws: MergeError.self) { try self.job([first, different], "cat") }
    }

    @Test func refusesWhatFactorsAreNotEnoughFor() throws {
        var generator = TestGenerator(state: 6)
        let plain = try makeAdapter("plain", rank: 2, &generator)
        let higher = try makeAdapter("higher", rank: 3, &generator)
        let lengths = TestTensor("base_model.model.q.lora_magnitude_vector", [6], [1, 1, 1, 1, 1, 1])
        let dora = try makeAdapter(
            "dora", rank: 2, only: "q", and: [lengths], config: #", "use_dora": true"#, &generator)
        let stacks = try makeAdapter("stacks", rank: 2, config: #", "target_parameters": ["q.up"]"#, &generator)
        for adapter in [dora, stacks] {
            let error = try #require(throws: FormatError.self) { try job([plain, adapter], "cat") }
            #expect(error.category == .unsupportedObject && error.hint?.contains("lora extract") == true)
        }
        func reason(
            _ adapters: [FilePath], _ method: String, _ parameters: MergeParameters = MergeParameters(),
            rank: Int? = nil
        )
            throws -> MergeError.Reason?
        {
            let error = try #require(throws: MergeError.self) {
                _ = try merge(adapters, method, parameters, rank: rank)
            }
            return error.reason
        }
        #expect(try reason([plain, higher], "linear") == .incompatible)
        #expect(try reason([plain, plain], "linear", rank: 2) == .badParameter)
        for method in ["iso_c", "wudi", "consensus_ta", "knots_ties", "average"] {
            #expect(try reason([plain, plain], method) == .needsWeights, "\(method)")
        }
        #expect(try reason([plain, plain], "actmat", MergeParameters(["centre": .flag(true)])) == .needsWeights)
        #expect(try reason([plain, plain], "tise") == .unknownMethod)
        #expect(try reason([plain, plain], "ties", MergeParameters(["densty": .number(1)])) == .unknownParameter)
        let wide = try makeAdapter("wide", rank: 2, width: 10, &generator)
        #expect(try reason([plain, wide], "cat") == .incompatible)
        let nan = try makeAdapter("nan", rank: 2, factor: .nan, &generator)
        #expect(try reason([plain, nan], "cat") == .notFinite)
    }

    // MARK: - Names of image models

    private static let modules = ["down_blocks.0.attn1.to_q", "mid_block.ff.net.0.proj"]

    /// An adapter for two modules of a component.
    private func image(_ name: String, _ prefix: String, isKohya: Bool, rank: Int, _ generator: inout TestGenerator)
        throws
        -> FilePath
    {
        func random(_ name: String, _ shape: [Int]) -> TestTensor {
            TestTensor(
                TensorName(name), shape,
                (0..<shape.reduce(1, *)).map { _ in Float.random(in: -0.5...0.5, using: &generator) })
        }
        let parts = Self.modules.flatMap { module -> [TestTensor] in
            let own =
                isKohya ? "\(prefix)_\(module.split(separator: ".").joined(separator: "_"))" : "\(prefix).\(module)"
            let names = isKohya ? ["lora_down", "lora_up"] : ["lora_A", "lora_B"]
            return [random("\(own).\(names[0]).weight", [rank, 6]), random("\(own).\(names[1]).weight", [4, rank])]
                + (isKohya ? [TestTensor(TensorName("\(own).alpha"), [], [1.5])] : [])
        }
        return try folder.checkpoint(name, parts)
    }

    private func folded(_ base: FilePath, _ adapters: [FilePath]) throws -> [Float] {
        let store = try TensorStore(opening: FilePath(([base] + adapters).map(\.string).joined(separator: "+")))
        return try Self.modules.flatMap { module in
            try #require(try store.bytes(of: TensorName("\(module).weight"))).withUnsafeBytes {
                Array($0.bindMemory(to: Float.self))
            }
        }
    }

    /// Adapters of three programs become one with the names of each, and it does to the base what they do.
    @Test func namesAreMappedBothWays() throws {
        var generator = TestGenerator(state: 9)
        let base = try folder.checkpoint(
            "unet.safetensors",
            Self.modules.map { TestTensor(TensorName("\($0).weight"), [4, 6], (0..<24).map { Float($0) / 24 }) })
        let kohya = try image("k.safetensors", "lora_unet", isKohya: true, rank: 2, &generator)
        let diffusers = try image("d.safetensors", "unet", isKohya: false, rank: 1, &generator)
        let wanted = try folded(base, [kohya, diffusers])
        for (naming, output) in [
            (AdapterNaming.kohya, "ko.safetensors"), (.diffusers, "do.safetensors"), (.peft, "po"),
        ] {
            let names = AdapterMergeJob.Names(naming: naming, base: try TensorStore(opening: base).reader)
            _ = try job([kohya, diffusers], "cat", name: output, names: names).run(in: testContext)
            let found = try folded(base, [folder.file(output)])
            #expect(zip(found, wanted).allSatisfy { abs($0 - $1) < 1e-6 } && found.count == wanted.count, "\(output)")
            let file = naming == .peft ? "po/adapter_model.safetensors" : output
            let stored = try TensorStore(opening: folder.file(file)).descriptors.map(\.name.text)
            let name: String =
                switch naming {
                case .kohya: "lora_unet_down_blocks_0_attn1_to_q.lora_down.weight"
                case .diffusers: "unet.down_blocks.0.attn1.to_q.lora_A.weight"
                case .peft: "base_model.model.down_blocks.0.attn1.to_q.lora_A.weight"
                }
            #expect(stored.contains(name))
        }
        // One of PEFT does not say what it is for.
        let peft = folder.file("po")
        #expect(throws: FormatError.self) { try job([peft], "cat", names: .init(naming: .kohya)) }
        _ = try job([peft], "cat", name: "again.safetensors", names: .init(naming: .kohya, component: "unet"))
            .run(in: testContext)
        #expect(
            try factors(of: folder.file("again.safetensors")).map(\.1)
                == factors(of: folder.file("ko.safetensors")).map(\.1))
    }

    @Test func encodersHaveKohyasNumbers() throws {
        var generator = TestGenerator(state: 10)
        let first = try image("1.safetensors", "text_encoder", isKohya: false, rank: 1, &generator)
        let second = try image("2.safetensors", "text_encoder_2", isKohya: false, rank: 1, &generator)
        let kohya = AdapterMergeJob.Names(naming: .kohya)
        func names(_ adapter: FilePath, _ output: String) throws -> Set<String> {
            _ = try job([adapter], "cat", name: output, names: kohya).run(in: testContext)
            return Set(
                try TensorStore(opening: folder.file(output)).descriptors.compactMap {
                    $0.name.text.split(separator: "_").dropFirst().first.map(String.init)
                })
        }
        #expect(try names(first, "a.safetensors") == ["te"])
        #expect(try names(second, "b.safetensors") == ["te2"])
        let both = try folder.checkpoint("both.safetensors", tensors(of: first) + tensors(of: second))
        #expect(try names(both, "c.safetensors") == ["te1", "te2"])
        // Underscores alone do not tell the dots, and one of PEFT is for one model.
        #expect(throws: FormatError.self) {
            try job([folder.file("c.safetensors")], "cat", names: .init(naming: .peft))
        }
        #expect(throws: FormatError.self) { try job([both], "cat", names: .init(naming: .peft)) }
    }

    // MARK: - Making

    private func job(
        _ adapters: [FilePath], _ method: String, _ parameters: MergeParameters = MergeParameters(), rank: Int? = nil,
        dtype: DType = .f32, name: String = "merged", names: AdapterMergeJob.Names = AdapterMergeJob.Names()
    ) throws -> AdapterMergeJob {
        try AdapterMergeJob(
            adapters.enumerated().map { ("\($0)", $1) }, method: method, parameters: parameters, rank: rank,
            dtype: dtype,
            names: names
        ) { naming in
            try OutputTarget(
                OutputPlace(folder.file(name), isFolder: naming == .peft), options: WriteOptions(sync: false))
        }
    }

    private func merge(
        _ adapters: [FilePath], _ method: String, _ parameters: MergeParameters, rank: Int? = nil, dtype: DType = .f32,
        threads: Int = 2, name: String = "merged"
    ) throws -> AdapterMergeJob.Outcome {
        try job(adapters, method, parameters, rank: rank, dtype: dtype, name: name)
            .run(in: Context(budget: ComputeBudget(threads: threads)))
    }

    /// The numbers of all factors of an adapter.
    private func factors(of path: FilePath) throws -> [(scale: Double, [Double])] {
        try LoRAAdapter(opening: path, options: ReadOptions()).changes().map {
            let factors = try $0.factors()
            return ($0.scale, Array(factors.a.values) + Array(factors.b.values))
        }
    }

    /// An adapter of random factors for a square, a wide and a turned weight, an embedding and a convolution.
    private func makeAdapter(
        _ name: String, rank: Int, only: String? = nil, lacking: String = "", width: Int = 12,
        and others: [TestTensor] = [], factor: Float = 1, config: String = "", _ generator: inout TestGenerator
    ) throws -> FilePath {
        func random(_ name: String, _ shape: [Int]) -> TestTensor {
            TestTensor(
                TensorName("base_model.model.\(name)"), shape,
                (0..<shape.reduce(1, *)).map { _ in factor * Float.random(in: -0.5...0.5, using: &generator) })
        }
        var tensors: [TestTensor] = []
        for (module, outputs, kernel) in [
            ("q", width, [width]), ("layers.0.wide", 11, [30]), ("layers.1.tall", 40, [13]), ("embed", 12, [50]),
            ("conv", 6, [5, 2, 2]),
        ] where (only == nil || only == module) && (lacking.isEmpty || !module.hasSuffix(lacking)) {
            let isEmbedding = module == "embed"
            let parts = isEmbedding ? ["lora_embedding_A", "lora_embedding_B"] : ["lora_A.weight", "lora_B.weight"]
            tensors.append(random("\(module).\(parts[0])", [rank] + kernel))
            tensors.append(random("\(module).\(parts[1])", [outputs, rank] + kernel.dropFirst().map { _ in 1 }))
        }
        mkdir(folder.file(name).string, 0o700)
        try folder.checkpoint("\(name)/adapter_model.safetensors", tensors + others)
        try folder.write(
            #"{"peft_type": "LORA", "r": \#(rank), "lora_alpha": \#(rank + 1)\#(config)}"#,
            to: "\(name)/adapter_config.json")
        return folder.file(name)
    }
}
