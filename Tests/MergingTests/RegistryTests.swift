import Checkpoints
import Merging
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Laws that hold for all methods, or for all that promise them, so that a new method is tested by being listed.
@Suite("every method of the registry") struct RegistryTests {
    static let names = MergeMethods.all.map(\.info.name)

    static func info(_ name: String) throws -> MethodInfo { try MergeMethods.named(name).info }

    /// Three experts, or as many as the method takes.
    static func expertCount(_ info: MethodInfo) -> Int {
        min(max(3, info.expertCounts.lowerBound), info.expertCounts.upperBound)
    }

    static func has(_ parameter: String, _ name: String) -> Bool {
        (try? info(name))?.parameters.contains { $0.name == parameter } ?? false
    }

    static let folder = TemporaryFolder()

    /// Statistics of an expert that Fisher and RegMean both read: entries above 0, X'X of random X for `wide.weight`, and one tensor
    /// at least of every model here.
    static func statistics(_ expert: Int) throws -> ParameterValue {
        let path = folder.file("statistics\(expert)_\(UInt32.random(in: 0 ... .max)).safetensors")
        var numbers = TestNumbers(seed: UInt64(100 + expert))
        let x = numbers.list(20 * 9)
        var gram = [Double](repeating: 0, count: 81)
        for i in 0..<9 { for j in 0..<9 { for k in 0..<20 { gram[9 * i + j] += x[9 * k + i] * x[9 * k + j] } } }
        let store = try makeModel([
            TestTensor("wide", gram, shape: [9, 9]), TestTensor("bias", numbers.list(7).map { $0 + 0.6 }),
            TestTensor("w", [2, 0.5, 0.5, 1], shape: [2, 2]), TestTensor("wide.bias", numbers.list(5).map { $0 + 0.6 }),
            TestTensor("vector", numbers.list(5).map { $0 + 0.6 }),
            TestTensor("matrix.bias", numbers.list(20).map { $0 + 0.6 }),
        ])
        let writer = try CheckpointFormat.makeWriter(.safetensors, at: path, declaring: store.descriptors)
        for (place, descriptor) in store.descriptors.enumerated() {
            try store.rawBytes(descriptor.name).withUnsafeBytes { try writer.write($0, tensor: place, at: 0) }
        }
        _ = try writer.finish()
        return .text(path.string)
    }

    /// What the method cannot do without.
    static func needs(_ name: String, experts: Int, _ values: [String: ParameterValue] = [:]) throws -> MergeParameters
    {
        guard has("statistics", name) else { return MergeParameters(values) }
        var parameters = MergeParameters(values)
        parameters["statistics"] = .list(try (0..<experts).map { try statistics($0) })
        return parameters
    }

    /// A small model, of which `scale` 0 leaves the base unchanged.
    static func model(seed: UInt64, scale: Double = 0.02) throws -> TensorStore {
        var base = TestNumbers(seed: 1)
        var change = TestNumbers(seed: seed)
        func tensor(_ name: TensorName, _ shape: Shape) throws -> TestTensor {
            let count = try shape.elementCount()
            let values = zip(base.list(count), change.list(count, scale: scale)).map { Double(Float($0 + $1)) }
            return TestTensor(name, values, shape: shape)
        }
        return try makeModel([
            tensor("wide.weight", [5, 9]), tensor("wide.bias", [5]),
            tensor("tall.weight", [11, 4]), tensor("bias", [7]), tensor("scalar", []), tensor("one", [1]),
            tensor("column", [6, 1]), tensor("row", [1, 6]), tensor("kernel", [3, 2, 2, 2]), tensor("empty", [0, 4]),
            tensor("hollow", [3, 0]), tensor("unit", [1, 1]), tensor("thin", [1, 1, 5]), tensor("none", [0]),
        ])
    }

    @Test("experts that are the base give it back, bit for bit where task vectors are added", arguments: names)
    func zeroTaskVectors(name: String) throws {
        let info = try Self.info(name)
        let base = try Self.model(seed: 2)
        let count = Self.expertCount(info)
        let experts = Array(repeating: base, count: count)
        let merged = try merge(name, base: base, experts, Self.needs(name, experts: count))
        if info.usesBase, name != "slerp", name != "nearswap" {
            #expect(try merged.store.allBytes() == base.allBytes())
        } else {
            for (tensor, difference) in try differences(merged.store, base) { #expect(difference <= 1e-7, "\(tensor)") }
        }
        #expect(merged.report.nanCount == 0)
        // Nothing was lost that there was, but where matrices with fewer rows than there are experts are dropped.
        #expect(merged.report.notes.isEmpty || ["tsv_m", "dc_merge", "esm"].contains(name))
    }

    @Test("a tensor that nobody changed stays beside tensors that everybody changed", arguments: names)
    func frozenTensor(name: String) throws {
        let info = try Self.info(name)
        let base = try makeModel([
            TestTensor("w", [1, 2, 3, 4], shape: [2, 2]), TestTensor("frozen", [5, 6], shape: [1, 2]),
        ])
        let experts = try (0..<Self.expertCount(info)).map {
            try makeModel([
                TestTensor("w", [1.1, 2, 3 - 0.1 * Double($0), 4.2], shape: [2, 2]),
                TestTensor("frozen", [5, 6], shape: [1, 2]),
            ])
        }
        let merged = try merge(name, base: base, experts, Self.needs(name, experts: experts.count))
        for (a, b) in zip(try merged.store.values("frozen"), [5.0, 6]) { #expect(abs(a - b) < 1e-6) }
        #expect(merged.report.nanCount == 0)
    }

    /// What makes a method give a single expert of weight 1 back; a method that is missing does not promise it.
    static let single: [String: [String: ParameterValue]] = [
        "linear": [:], "average": [:], "slerp": ["t": .number(1)], "multislerp": [:], "karcher": [:],
        "nearswap": ["t": .number(1e9)], "passthrough": [:], "task_arithmetic": [:],
        "ties": [:], "dare_linear": [:], "dare_ties": [:],
        "della": [:], "della_linear": [:], "breadcrumbs": [:], "breadcrumbs_ties": [:], "sce": [:], "tsv_m": [:],
        "fisher": [:], "regmean": [:], "knots_ties": [:], "ram": ["epsilon": .number(0)],
        "ramplus_tl": ["epsilon": .number(0)], "magmax": ["lambda": .number(1)], "dc_merge": ["keep": .number(1)],
        "swudi": [:], "aswudi": [:], "actmat": [:],
        "wudi": ["form": .text("closed"), "regularization": .number(1e-9)],
    ]

    @Test("one expert comes back", arguments: single.keys.sorted())
    func singleExpert(name: String) throws {
        let expert = try Self.model(seed: 3)
        let parameters = try Self.needs(name, experts: 1, Self.single[name] ?? [:])
        let merged = try merge(name, base: Self.model(seed: 2, scale: 0), [expert], parameters)
        for (tensor, difference) in try differences(merged.store, expert) { #expect(difference < 1e-6, "\(tensor)") }
    }

    /// What makes a method give back a model that is merged with itself; a method that is missing does not promise it: those that
    /// add task vectors up, and those that flatten spectra.
    static let same: [String: [String: ParameterValue]] = [
        "linear": [:], "average": [:], "slerp": [:], "nuslerp": [:], "multislerp": [:], "karcher": [:],
        "nearswap": [:], "passthrough": [:], "task_arithmetic": ["normalize": .flag(true)], "model_stock": [:],
        "ties": [:], "dare_linear": ["normalize": .flag(true)], "dare_ties": ["normalize": .flag(true)], "della": [:],
        "della_linear": ["normalize": .flag(true)], "breadcrumbs": ["normalize": .flag(true)],
        "breadcrumbs_ties": ["normalize": .flag(true)], "sce": [:], "knots_ties": [:],
        "wudi": ["form": .text("closed"), "regularization": .number(1e-9)], "fisher": [:], "regmean": [:],
        "ram": ["epsilon": .number(0)], "ramplus_tl": ["epsilon": .number(0)], "magmax": ["lambda": .number(1)],
        "swudi": ["init": .text("mean")], "aswudi": ["init": .text("mean")], "actmat": [:],
    ]
    static let notSame = ["consensus_ta", "tsv_m", "iso_c", "iso_cts", "dc_merge", "ace", "pcb", "esm", "arcee_fusion"]

    @Test("every method says whether it gives a model back that is merged with itself")
    func promises() {
        #expect(Set(Self.same.keys).union(Self.notSame) == Set(Self.names))
        #expect(Set(Self.same.keys).isDisjoint(with: Self.notSame))
    }

    @Test("a model merged with itself comes back", arguments: same.keys.sorted())
    func itself(name: String) throws {
        let expert = try Self.model(seed: 3)
        let count = Self.expertCount(try Self.info(name))
        // The way from the base to one model leads back only from the model itself.
        let base = ["slerp", "nearswap"].contains(name) ? expert : try Self.model(seed: 2, scale: 0)
        let parameters = try Self.needs(name, experts: count, Self.same[name] ?? [:])
        let merged = try merge(name, base: base, Array(repeating: expert, count: count), parameters)
        for (tensor, difference) in try differences(merged.store, expert) { #expect(difference < 1e-6, "\(tensor)") }
    }

    /// Weights that only count by their ratios.
    @Test(
        "weights scaled alike change nothing where they are normalised",
        arguments: ["linear", "multislerp", "ties", "della", "fisher", "nuslerp"])
    func weightScale(name: String) throws {
        let base = try Self.model(seed: 2, scale: 0)
        let count = Self.expertCount(try Self.info(name))
        let experts = try (0..<count).map { try Self.model(seed: UInt64(3 + $0)) }
        func merged(_ scale: Double) throws -> TensorStore {
            var parameters = try Self.needs(name, experts: count)
            parameters["weight"] = .list((0..<count).map { .number(scale * Double($0 + 1)) })
            return try merge(name, base: base, experts, parameters).store
        }
        for (tensor, difference) in try differences(merged(1), merged(8)) { #expect(difference < 1e-6, "\(tensor)") }
    }

    @Test(
        "NaN and infinity are reported or refused, and stay in their tensor", arguments: names, [Double.nan, .infinity])
    func notFinite(name: String, poison: Double) throws {
        func model(_ seed: UInt64, poisoned: Bool) throws -> TensorStore {
            var numbers = TestNumbers(seed: seed)
            var (wide, vector) = (numbers.list(45), numbers.list(5))
            if poisoned { (wide[7], vector[2]) = (poison, poison) }
            return try makeModel([
                TestTensor("wide.weight", wide, shape: [5, 9]), TestTensor("vector", vector),
                TestTensor("fine", numbers.list(6), shape: [2, 3]),
            ])
        }
        let count = Self.expertCount(try Self.info(name))
        let base = try model(1, poisoned: false)
        let experts = try (0..<count).map { try model(UInt64(2 + $0), poisoned: $0 == 0) }
        var parameters = try Self.needs(name, experts: count)
        for (key, value) in [("density", 0.6), ("select_topk", 0.6), ("epsilon", 0.1)] where Self.has(key, name) {
            parameters[key] = .number(value)
        }
        do {
            let merged = try merge(name, base: base, experts, parameters)
            #expect(try merged.store.values("fine").allSatisfy { $0.isFinite })
            // An entry that is trimmed, dropped or voted down may be gone, as if the expert had none.
            let finite = try merged.store.values("vector").allSatisfy { $0.isFinite }
            #expect(finite == !merged.report.findings.contains { $0.tensor == "vector" })
            guard poison.isNaN, !Self.randomMethods.contains(name) else { return }
            #expect(!finite)
        } catch let error as MergeError {
            #expect(error.reason == .notFinite && error.tensor == "wide.weight" && Self.has("matrix_exclude", name))
            // Left out of the matrices, it is merged as other tensors are.
            parameters["matrix_exclude"] = .text("wide*")
            let merged = try merge(name, base: base, experts, parameters)
            #expect(try merged.store.values("fine").allSatisfy { $0.isFinite })
            #expect(merged.report.nanCount + merged.report.infinityCount > 0)
        }
    }

    @Test("models in F64, F16 and BF16 are merged as those in F32", arguments: names, [DType.f64, .f16, .bf16])
    func types(name: String, dtype: DType) throws {
        let count = Self.expertCount(try Self.info(name))
        // Eighths of small numbers are the same in every type.
        func model(_ seed: UInt64, _ dtype: DType) throws -> TensorStore {
            var numbers = TestNumbers(seed: seed)
            func list(_ count: Int) -> [Double] { numbers.list(count, scale: 16).map { $0.rounded() / 8 } }
            return try makeModel([
                TestTensor("wide.weight", list(45), shape: [5, 9], dtype: dtype),
                TestTensor("wide.bias", list(5), dtype: dtype), TestTensor("scalar", list(1), shape: [], dtype: dtype),
                TestTensor("kernel", list(24), shape: [3, 2, 2, 2], dtype: dtype),
            ])
        }
        let parameters = try Self.needs(name, experts: count)
        func merged(_ dtype: DType) throws -> TensorStore {
            try merge(
                name, base: model(1, dtype), (0..<count).map { try model(UInt64(2 + $0), dtype) }, parameters,
                outputDType: .f32
            ).store
        }
        for (tensor, difference) in try differences(merged(dtype), merged(.f32)) {
            #expect(difference < 1e-5, "\(tensor)")
        }
    }

    /// Random choices depend on the place of an expert.
    static let randomMethods = ["dare_linear", "dare_ties", "della", "della_linear"]

    /// Methods that take more than one expert.
    static let ofSeveral = names.filter { (try? expertCount(info($0))) ?? 0 > 1 }

    @Test("the order of the experts does not matter", arguments: ofSeveral)
    func permutation(name: String) throws {
        let count = Self.expertCount(try Self.info(name))
        let base = try Self.model(seed: 2, scale: 0)
        let experts = try (0..<count).map { try Self.model(seed: UInt64(3 + $0)) }
        var parameters = try Self.needs(name, experts: count)
        if Self.has("density", name), !Self.randomMethods.contains(name) { parameters["density"] = .number(0.6) }
        let one = try merge(name, base: base, experts, parameters).store
        if case .list(let files) = parameters["statistics"] { parameters["statistics"] = .list(files.reversed()) }
        let other = try merge(name, base: base, experts.reversed(), parameters).store
        for (tensor, difference) in try differences(one, other) { #expect(difference < 2e-6, "\(tensor)") }
    }

    @Test("lambda scales the merged task vector", arguments: names.filter { has("lambda", $0) })
    func lambda(name: String) throws {
        let base = try Self.model(seed: 2, scale: 0)
        let experts = try (3...5).map { try Self.model(seed: $0) }
        var parameters = try Self.needs(name, experts: 3, ["lambda": .number(1)])
        let whole = try merge(name, base: base, experts, parameters).store
        parameters["lambda"] = .number(0.5)
        let half = try merge(name, base: base, experts, parameters).store
        for descriptor in base.descriptors {
            let origin = try base.values(descriptor.name)
            let (a, b) = (try half.values(descriptor.name), try whole.values(descriptor.name))
            for i in origin.indices { #expect(abs(2 * (a[i] - origin[i]) - (b[i] - origin[i])) < 1e-6) }
        }
    }

    @Test("bytes do not depend on threads or memory", arguments: names)
    func determinism(name: String) throws {
        func model(_ seed: UInt64, _ dtype: DType) throws -> TensorStore {
            var numbers = TestNumbers(seed: seed)
            return try makeModel([
                TestTensor("long", numbers.list(1_100_003), dtype: dtype),
                TestTensor("broad", numbers.list(3 * 400_001), shape: [1, 3, 400_001], dtype: dtype),
                TestTensor("matrix.weight", numbers.list(20 * 30), shape: [20, 30], dtype: dtype),
                TestTensor("matrix.bias", numbers.list(20), dtype: dtype),
                TestTensor("square", numbers.list(24 * 24), shape: [24, 24], dtype: dtype),
                TestTensor("kernel", numbers.list(8 * 9 * 5), shape: [8, 9, 5], dtype: dtype),
            ])
        }
        let info = try Self.info(name)
        let base = try model(1, .bf16)
        let experts = try (0..<Self.expertCount(info)).map { try model(UInt64(2 + $0), $0 == 0 ? .f32 : .bf16) }
        for flag in ["", "filter_wise", "nuslerp_row_wise"] where flag.isEmpty || Self.has(flag, name) {
            var parameters = try Self.needs(name, experts: experts.count)
            if Self.has("density", name) { parameters["density"] = .number(0.4) }
            if Self.has("select_topk", name) { parameters["select_topk"] = .number(0.4) }
            if Self.has("iterations", name) { parameters["iterations"] = .number(5) }
            if Self.has("nuslerp_flatten", name), !flag.isEmpty { parameters["nuslerp_flatten"] = .flag(false) }
            if !flag.isEmpty { parameters[flag] = .flag(true) }
            if Self.has("matrix_exclude", name) { parameters["matrix_exclude"] = .text("broad") }
            let expected = try merge(name, base: base, experts, parameters, threads: 1).store.allBytes()
            for threads in [2, 5] {
                let merged = try merge(name, base: base, experts, parameters, threads: threads)
                #expect(try merged.store.allBytes() == expected)
            }
            let tight = try mergeInLeastMemory(name, base: base, experts, parameters, threads: 3)
            #expect(try tight.store.allBytes() == expected)
        }
    }

    @Test("too few or too many experts are refused with both numbers")
    func expertCounts() throws {
        let base = try Self.model(seed: 2)
        func failure(_ name: String, _ count: Int) throws -> MergeError {
            try #require(throws: MergeError.self) {
                _ = try merge(name, base: base, Array(repeating: base, count: count))
            }
        }
        #expect(try failure("model_stock", 1).code == "merge.too_few_experts")
        #expect(try failure("nuslerp", 3).code == "merge.too_many_experts")
        let error = try failure("slerp", 2)
        #expect(error.code == "merge.too_many_experts" && error.severity == .usage)
        #expect(error.message.contains("exactly 1 expert beside the base, but 2 are given"))
        #expect(try failure("passthrough", 2).message.contains("exactly 1 expert, but 2 are given"))
    }
}
