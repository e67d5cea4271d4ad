import Checkpoints
import Merging
import TensorCore
import Testing

/// `svc_alpha` and `boost_beta`, which every method takes, alone and before LiNeS.
@Suite("singular values of changes") struct SpectrumTests {
    static let names = MergeMethods.all.map(\.info.name)

    /// What makes a method correct spectra; those that are flat cannot be calibrated.
    static func corrections(_ name: String) -> [String: ParameterValue] {
        let isFlat = ["iso_c", "iso_cts", "esm"].contains(name)
        return isFlat
            ? ["boost_beta": .number(0.3)] : ["boost_beta": .number(0.3), "svc_alpha": .number(0.5)]
    }

    @Test("a share of 1 changes nothing: whole matrices are merged as elements and groups are", arguments: names)
    func nothing(name: String) throws {
        let count = RegistryTests.expertCount(try RegistryTests.info(name))
        let base = try RegistryTests.model(seed: 2, scale: 0)
        let experts = try (0..<count).map { try RegistryTests.model(seed: UInt64(3 + $0)) }
        var parameters = try RegistryTests.needs(name, experts: count)
        for key in ["density", "select_topk"] where RegistryTests.has(key, name) { parameters[key] = .number(0.6) }
        let plain = try merge(name, base: base, experts, parameters)
        parameters["boost_beta"] = .number(1)
        let corrected = try merge(name, base: base, experts, parameters)
        for (tensor, difference) in try differences(corrected.store, plain.store) {
            #expect(difference < 1e-6, "\(tensor)")
        }
        let matrices = base.descriptors.count { $0.shape.isMatrix && $0.elementCount > 0 }
        #expect(corrected.plan.summary.matrixCount >= matrices)
        #expect(corrected.plan.summary.passCount == plain.plan.summary.passCount)
    }

    @Test("bytes do not depend on threads or memory", arguments: names)
    func determinism(name: String) throws {
        func model(_ seed: UInt64, _ dtype: DType) throws -> TensorStore {
            var numbers = TestNumbers(seed: seed)
            return try makeModel([
                TestTensor("layers.0.long", numbers.list(24 * 44_000), shape: [24, 44_000], dtype: dtype),
                TestTensor("layers.0.bias", numbers.list(20), dtype: dtype),
                TestTensor("layers.1.wide.weight", numbers.list(20 * 300), shape: [20, 300], dtype: dtype),
                TestTensor("layers.1.square", numbers.list(24 * 24), shape: [24, 24], dtype: dtype),
                TestTensor("wide.weight", numbers.list(45), shape: [5, 9], dtype: dtype),
                TestTensor("bias", numbers.list(7), dtype: dtype),
            ])
        }
        // More columns than some methods can take the inner products of.
        let selection = TensorSelection(
            exclude: ["ties", "linear", "tsv_m", "fisher"].contains(name) ? [] : ["layers.0.long"])
        let base = try model(1, .bf16)
        let count = RegistryTests.expertCount(try RegistryTests.info(name))
        let experts = try (0..<count).map { try model(UInt64(2 + $0), $0 == 0 ? .f32 : .bf16) }
        var parameters = try RegistryTests.needs(name, experts: count, Self.corrections(name))
        parameters["lines_alpha"] = .number(0.5)
        parameters["lines_beta"] = .number(0.25)
        if RegistryTests.has("density", name) { parameters["density"] = .number(0.4) }
        if RegistryTests.has("trim_scope", name) { parameters["trim_scope"] = .text("model") }
        if RegistryTests.has("iterations", name) { parameters["iterations"] = .number(5) }
        let expected = try merge(name, base: base, experts, parameters, selection: selection, threads: 1)
        for threads in [2, 5] {
            let merged = try merge(name, base: base, experts, parameters, selection: selection, threads: threads)
            #expect(try merged.store.allBytes() == expected.store.allBytes())
        }
        let tight = try merge(
            name, base: base, experts, parameters, selection: selection, threads: 3,
            memory: expected.plan.summary.workingByteCount)
        #expect(try tight.store.allBytes() == expected.store.allBytes())
    }

    private func diagonal(_ a: Double, _ b: Double) throws -> TensorStore {
        try makeModel([
            TestTensor("layers.0.w", [a, 0, 0, b], shape: [2, 2]),
            TestTensor("layers.1.w", [0, a, b, 0], shape: [2, 2]),
            TestTensor("layers.1.bias", [a, b]),
        ])
    }

    @Test("values that follow from the formulas")
    func values() throws {
        let (base, experts) = (try diagonal(0, 0), [try diagonal(4, 1), try diagonal(4, 0)])
        func merged(_ method: String, _ values: [String: Double]) throws -> [Double] {
            let store = try merge(method, base: base, experts, MergeParameters(values.mapValues { .number($0) })).store
            let (first, last) = (try store.values("layers.0.w"), try store.values("layers.1.w"))
            return try [first[0], first[3], last[1], last[2]] + store.values("layers.1.bias")
        }
        func expect(_ values: [Double], _ expected: [Double]) {
            for (a, b) in zip(values, expected) { #expect(abs(a - b) < 1e-6, "\(values)") }
        }
        // The sum is 8 and 1, twice what each has of the first direction; the second, of one expert alone, has 1 and at least 0.1.
        try expect(merged("task_arithmetic", ["svc_alpha": 0.1]), [4, 2 / 1.1, 4, 2 / 1.1, 8, 1])
        // The mean is 4 and 0.5: once what each has, and half of what one has.
        try expect(merged("average", ["svc_alpha": 0.1]), [4, 1 / 0.6, 4, 1 / 0.6, 4, 0.5])
        // 8 reaches 0.8 of 9; 9 is needed for 0.9.
        try expect(merged("task_arithmetic", ["boost_beta": 0.8]), [8, 8, 8, 8, 8, 1])
        try expect(merged("task_arithmetic", ["boost_beta": 0.9]), [8, 1, 8, 1, 8, 1])
        // Calibrated, then boosted, then scaled by depth; λ goes before all of them.
        try expect(
            merged(
                "task_arithmetic",
                ["svc_alpha": 0.1, "boost_beta": 0.5, "lambda": 3, "lines_alpha": 0.5, "lines_beta": 1]),
            [2, 2, 6, 6, 36, 4.5])
    }

    @Test("a single expert is calibrated to itself")
    func single() throws {
        let expert = try RegistryTests.model(seed: 3)
        for name in ["task_arithmetic", "linear", "ties", "tsv_m", "knots_ties"] {
            let merged = try merge(
                name, base: RegistryTests.model(seed: 2, scale: 0), [expert],
                MergeParameters(["svc_alpha": .number(0.5)]))
            for (tensor, difference) in try differences(merged.store, expert) {
                #expect(difference < 1e-6, "\(tensor)")
            }
        }
    }

    @Test("a filter may correct one tensor and leave another, which LiNeS scales all the same")
    func filtered() throws {
        let (base, experts) = (try diagonal(0, 0), [try diagonal(4, 1), try diagonal(4, 0)])
        for (method, plain) in [("tsv_m", [4.0, 0]), ("task_arithmetic", [8, 1])] {
            var parameters = MergeParameters(["lines_alpha": .number(0.5)]) { name, _, tensor in
                name == "boost_beta" && tensor == "layers.1.w" ? .number(0) : nil
            }
            parameters["boost_beta"] = .text("none")
            let merged = try merge(method, base: base, experts, parameters).store
            let (first, last) = (try merged.values("layers.0.w"), try merged.values("layers.1.w"))
            #expect(abs(first[0] - plain[0] / 2) < 1e-6 && abs(first[3] - plain[1] / 2) < 1e-6, "\(first)")
            #expect(abs(last[1] - plain[0] / 2) < 1e-6, "\(last)")
        }
    }

    @Test("flat spectra, a missing base and NaN are refused")
    func refusals() throws {
        let (base, expert) = (try diagonal(0, 0), try diagonal(2, 1))
        func failure(_ method: String, base: TensorStore?, _ expert: TensorStore, _ key: String) throws -> MergeError {
            try #require(throws: MergeError.self) {
                _ = try merge(method, base: base, [expert], MergeParameters([key: .number(0.5)]))
            }
        }
        for method in ["iso_c", "iso_cts"] {
            let error = try failure(method, base: base, expert, "svc_alpha")
            #expect(error.code == "merge.bad_parameter" && error.message.contains("\"\(method)\" makes all singular"))
            _ = try merge(method, base: base, [expert], MergeParameters(["boost_beta": .number(0.5)]))
        }
        let essential = try #require(throws: MergeError.self) {
            _ = try merge(
                "esm", base: base, [expert], try RegistryTests.needs("esm", experts: 1, ["svc_alpha": .number(0.5)]))
        }
        #expect(essential.code == "merge.bad_parameter")
        #expect(try failure("linear", base: nil, expert, "boost_beta").code == "merge.missing_base")
        #expect(try failure("linear", base: base, expert, "svc_beta").code == "merge.unknown_parameter")
        for method in ["linear", "tsv_m"] {
            let error = try failure(method, base: base, diagonal(2, .nan), "svc_alpha")
            #expect(error.code == "merge.not_finite" && error.tensor?.hasPrefix("layers.") == true)
            #expect(error.hint?.contains("do without svc_alpha") == true)
        }
        let outside = try #require(throws: MergeError.self) {
            _ = try merge("linear", base: base, [expert], MergeParameters(["boost_beta": .number(2)]))
        }
        #expect(outside.message.contains("takes a number from 0 to 1 or none, not 2"))
    }
}
