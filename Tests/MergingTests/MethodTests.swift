import Checkpoints
import Merging
import TensorCore
import Testing

@Suite("methods worked out by hand") struct MethodTests {
    func model(_ values: [Double], shape: Shape? = nil) throws -> TensorStore {
        try makeModel([TestTensor("a", values, shape: shape)])
    }

    func values(
        _ method: String, base: [Double]? = nil, _ experts: [[Double]], shape: Shape? = nil,
        _ parameters: [String: ParameterValue] = [:]
    ) throws -> [Double] {
        try merge(
            method, base: try base.map { try model($0, shape: shape) }, experts.map { try model($0, shape: shape) },
            MergeParameters(parameters)
        ).store.values("a")
    }

    @Test("passthrough scales")
    func passthrough() throws {
        #expect(try values("passthrough", [[1, -2]], ["scale": .number(0.5)]) == [0.5, -1])
    }

    @Test("nearswap takes over what differs by up to t, the rest in part")
    func nearSwap() throws {
        // Differences 0, 0.25, 0.5, 1, -1 with t = 0.5: shares 1, 1, 1, 1/2, 1/2.
        let merged = try values("nearswap", base: [1, 1, 1, 1, 1], [[1, 1.25, 1.5, 2, 0]], ["t": .number(0.5)])
        #expect(merged == [1, 1.25, 1.5, 1.5, 0.5])
        #expect(try values("nearswap", base: [1], [[.nan]])[0].isNaN)
    }

    @Test("consensus keeps what at least two experts find in the sum")
    func consensus() throws {
        // Sums 2, 1, -2, 0. With tall_lambda 1 an expert's mask holds where |τ_i| > |sum − τ_i|, here the other's change:
        // (1, 1) neither, (1, 0) the first only, (1, -3) the second only, (0, 0) neither.
        let experts = [[1.0, 1, 1, 0], [1, 0, -3, 0]]
        let base = [0.0, 0, 0, 0]
        func merged(_ scale: Double, _ least: Double) throws -> [Double] {
            try values(
                "consensus_ta", base: base, experts,
                ["tall_lambda": .number(scale), "min_agreement": .number(least)])
        }
        #expect(try merged(1, 1) == [0, 1, -2, 0])
        #expect(try merged(0.5, 2) == [2, 0, 0, 0])
        #expect(try merged(0.3, 2) == [2, 0, -2, 0])
        #expect(try merged(1, 0) == [2, 1, -2, 0])
    }

    @Test("breadcrumbs drops outliers and noise, of equal magnitudes the first count as larger")
    func breadcrumbs() throws {
        // Ten entries, gamma 0.2: the 10 and the 9 go; density 0.3 keeps 8, 7 and the first 6.
        let expert = [1.0, -6, 7, 10, 2, 6, -9, 3, 8, 0]
        let zeros = [Double](repeating: 0, count: 10)
        let settings: [String: ParameterValue] = ["density": .number(0.3), "gamma": .number(0.2)]
        #expect(try values("breadcrumbs", base: zeros, [expert], settings) == [0, -6, 7, 0, 0, 0, 0, 0, 8, 0])
        // Fewer are left than are kept: fewer outliers go.
        let wide: [String: ParameterValue] = ["density": .number(0.9), "gamma": .number(0.5)]
        #expect(try values("breadcrumbs", base: zeros, [expert], wide) == [1, -6, 7, 0, 2, 6, -9, 3, 8, 0])
        #expect(try values("breadcrumbs", base: zeros, [expert], ["gamma": .number(0.5)]) == expert)
        // Two experts that disagree in one entry elect a sign there.
        let elected = try values("breadcrumbs_ties", base: [0, 0], [[1, 2], [-3, 2]])
        #expect(elected == [-3, 4])
    }

    @Test("breadcrumbs in a tensor of several chunks, with equal magnitudes across them")
    func longBreadcrumbs() throws {
        // A third is 2, a third 1, a third 0.5; drop the first 500,000 of the 2s, keep the next 1,000,000.
        let count = 2_400_000
        let expert = (0..<count).map { [2, 1, 0.5][$0 % 3] }
        let merged = try values(
            "breadcrumbs", base: [Double](repeating: 0, count: count), [expert],
            ["density": .number(1_000_000.5 / Double(count)), "gamma": .number(500_000.5 / Double(count))])
        let kept = merged.indices.filter { merged[$0] != 0 }
        let twos = (500_000..<800_000).map { 3 * $0 }
        let ones = (0..<700_000).map { 3 * $0 + 1 }
        #expect(kept == (twos + ones).sorted())
    }

    @Test("SCE selects by variance, weighs by size, elects signs")
    func sce() throws {
        // Task vectors (3, 1, 0, 2) and (-1, 1, 0, 2): only the first entry varies. Half of one entry is none.
        let experts = [[3.0, 1, 0, 2], [-1.0, 1, 0, 2]]
        let zeros = [0.0, 0, 0, 0]
        #expect(try values("sce", base: zeros, experts, ["select_topk": .number(0.5)]) == zeros)
        // All selected: weights 14 and 6 of 20; the first entry elects plus.
        let all = try values("sce", base: zeros, experts)
        for (a, b) in zip(all, [3.0, 1, 0, 2]) { #expect(abs(a - b) < 1e-6) }
        // Different sizes: (4, 2) and (2, 0): weights 20 and 4 of 24.
        let weighted = try values("sce", base: [0, 0], [[4, 2], [2, 0]])
        for (a, b) in zip(weighted, [(20.0 * 4 + 4 * 2) / 24, 2]) { #expect(abs(a - b) < 1e-6) }
        // Of the varying entries 3, 1 and 5 with variances 4, 1, 9 two thirds are two.
        let selected = try values(
            "sce", base: [0, 0, 0, 7], [[4, 2, 6, 8], [0, 0, 0, 8]], ["select_topk": .number(0.67)])
        for (a, b) in zip(selected, [4.0, 0, 6, 7]) { #expect(abs(a - b) < 1e-6) }
    }

    @Test("SCE counts its share in F32, as PyTorch does")
    func sceShare() throws {
        // Of 100 entries that vary 0.29 are 29, which in F64 are 28.99999.
        let experts = [(1...100).map { Double($0) }, (1...100).map { -Double($0) / 2 }]
        let zeros = [Double](repeating: 0, count: 100)
        let merged = try values("sce", base: zeros, experts, ["select_topk": .number(0.29)])
        #expect(merged.indices.filter { merged[$0] != 0 } == Array(71..<100))
    }

    @Test("WUDI of very small and very large task vectors", arguments: [1e-25, 1e-5, 1e20])
    func wudiScales(scale: Double) throws {
        let experts = [[1.0, 2, -2, 1], [0.5, -1, 1, 1]].map { $0.map { $0 * scale } }
        let merged = try values(
            "wudi", base: [0, 0, 0, 0], experts, shape: [2, 2],
            ["iterations": .number(20), "learning_rate": .number(0)])
        for (i, value) in merged.enumerated() {
            let sum = experts[0][i] + experts[1][i]
            #expect(abs(value - sum) <= 1e-6 * scale)
        }
        let moved = try values("wudi", base: [0, 0, 0, 0], experts, shape: [2, 2], ["iterations": .number(20)])
        #expect(!moved.contains { !$0.isFinite })
    }

    @Test("equal infinities stay, as in attention masks", arguments: MergeMethods.all.map(\.info.name))
    func equalInfinities(name: String) throws {
        let info = try MergeMethods.named(name).info
        let count = min(max(2, info.expertCounts.lowerBound), info.expertCounts.upperBound)
        // Names and shapes of which there are statistics, for the methods that read some.
        let mask: [Double] = [1, -.infinity, .infinity, 2, 3, 4, 5]
        let model = try makeModel([TestTensor("bias", mask), TestTensor("w", [1, 2, 3, 4], shape: [2, 2])])
        let merged = try merge(
            name, base: info.usesBase ? model : nil, Array(repeating: model, count: count),
            RegistryTests.needs(name, experts: count)
        ).store
        let bias = try merged.values("bias")
        #expect(bias[1] == -.infinity && bias[2] == .infinity)
        #expect((bias[..<1] + bias[3...]).allSatisfy { $0.isFinite })
        #expect(try merged.values("w").allSatisfy { $0.isFinite })
    }

    @Test("others=base copies the base, whatever the experts hold")
    func othersBase() throws {
        let merged = try values(
            "iso_c", base: [1, -0.0, 3], [[.nan, 1, .infinity]], ["others": .text("base")])
        #expect(merged == [1, 0, 3] && merged[1].sign == .minus)
    }

    @Test("numbers that F32 does not hold are refused")
    func hugeWeight() throws {
        let error = try #require(throws: MergeError.self) {
            _ = try values("linear", [[1, 2]], ["weight": .number(1e40)])
        }
        #expect(error.code == "merge.bad_parameter")
    }

    @Test("WUDI's closed form leaves experts of separate inputs alone, and its steps move towards it")
    func wudi() throws {
        // Experts that read different columns do not interfere: the sum is the minimum.
        let experts = [[1.0, 0, 2, 0], [0.0, 3, 0, 4]]
        let closed = try values("wudi", base: [0, 0, 0, 0], experts, shape: [2, 2], ["form": .text("closed")])
        for (a, b) in zip(closed, [1.0, 3, 2, 4]) { #expect(abs(a - b) < 1e-4) }
        let none = try values("wudi", base: [0, 0, 0, 0], experts, shape: [2, 2], ["iterations": .number(0)])
        #expect(none == [1, 3, 2, 4])
        // The same expert twice: the sum is twice too much, and the minimum is the expert.
        let twice = try values(
            "wudi", base: [0, 0, 0, 0], [[1, 2, -2, 1], [1, 2, -2, 1]], shape: [2, 2],
            ["iterations": .number(4000), "learning_rate": .number(5e-3)])
        for (a, b) in zip(twice, [1.0, 2, -2, 1]) { #expect(abs(a - b) < 1e-3) }
    }

    @Test("Iso-CTS without a common space is flat, and rank-deficient matrices are noted")
    func isoCTS() throws {
        // Experts in separate directions, fraction 0: each has one direction; mean of 4 and 2 on both.
        let settings: [String: ParameterValue] = ["common_space_fraction": .number(0)]
        let merged = try values(
            "iso_cts", base: [0, 0, 0, 0], [[4, 0, 0, 0], [0, 0, 0, 2]], shape: [2, 2], settings)
        for (a, b) in zip(merged, [3.0, 0, 0, 3]) { #expect(abs(a - b) < 1e-5) }
        let single = try merge(
            "iso_cts", base: model([0, 0, 0, 0], shape: [2, 2]), [model([4, 0, 0, 0], shape: [2, 2])])
        #expect(single.report.notes.map(\.tensor) == ["a"])
        for (a, b) in zip(try single.store.values("a"), [2.0, 0, 0, 0]) { #expect(abs(a - b) < 1e-5) }
    }

    @Test("KnOTS merges a weight with its bias, elects in the shared basis, and leaves the rest to others")
    func knots() throws {
        func layer(_ weight: [Double], _ bias: [Double], _ norm: [Double]) throws -> TensorStore {
            try makeModel([
                TestTensor("fc.bias", bias), TestTensor("fc.weight", weight, shape: [2, 2]), TestTensor("norm", norm),
            ])
        }
        let base = try layer([0, 0, 0, 0], [0, 0], [1, 1])
        // One direction of output, (1, 0): coordinates are rows (1, 2 | 3) and (-3, 2 | 1), up to a common sign.
        let experts = try [layer([1, 2, 0, 0], [3, 0], [3, 1]), layer([-3, 2, 0, 0], [1, 0], [1, 3])]
        let merged = try merge("knots_ties", base: base, experts).store
        // Signs elected: -, +, +; means of what agrees.
        for (a, b) in zip(try merged.values("fc.weight") + merged.values("fc.bias"), [-3.0, 2, 0, 0, 2, 0]) {
            #expect(abs(a - b) < 1e-5)
        }
        #expect(try merged.values("norm") == [2, 2])
        let sums = try merge("knots_ties", base: base, experts, MergeParameters(["normalize": .flag(false)])).store
        for (a, b) in zip(try sums.values("fc.weight") + sums.values("fc.bias"), [-3.0, 4, 0, 0, 4, 0]) {
            #expect(abs(a - b) < 1e-5)
        }
        let kept = try merge("knots_ties", base: base, experts, MergeParameters(["others": .text("base")])).store
        #expect(try kept.values("norm") == [1, 1])
        #expect(try merge("knots_ties", base: base, experts).plan.summary.passCount == 2)
    }

    @Test("LiNeS scales by the block in the name")
    func lines() throws {
        let names: [TensorName] = ["embed", "layers.0.experts.7.w", "layers.1.w", "layers.2.w", "head"]
        func model(_ value: Double) throws -> TensorStore { try makeModel(names.map { TestTensor($0, [value]) }) }
        let parameters = MergeParameters([
            "lambda": .number(2), "lines_alpha": .number(0.25), "lines_beta": .number(0.5),
        ])
        for method in ["task_arithmetic", "ties", "sce", "iso_c"] {
            let merged = try merge(method, base: model(1), [model(2)], parameters).store
            #expect(try names.map { try merged.values($0)[0] } == [1.5, 1.5, 2, 2.5, 1.5])
        }
        // Filters of lambda still count.
        let filtered = MergeParameters(["lines_alpha": .number(0.5)]) { name, _, tensor in
            name == "lambda" && tensor == "head" ? .number(4) : nil
        }
        let merged = try merge("task_arithmetic", base: model(1), [model(2)], filtered).store
        #expect(try merged.values("head") == [3] && merged.values("embed") == [1.5])
    }

    @Test("LiNeS scales what methods without lambda change in a base, and needs one")
    func linesWithoutLambda() throws {
        func model(_ value: Double) throws -> TensorStore {
            try makeModel([TestTensor("layers.0.w", [value, 2 * value]), TestTensor("layers.1.w", [value, 0])])
        }
        let parameters = MergeParameters(["lines_alpha": .number(0.5), "lines_beta": .number(1)])
        for method in ["linear", "average", "slerp", "nearswap", "karcher", "passthrough"] {
            let parameters =
                method == "nearswap" ? with(parameters, "t", 1e9) : with(parameters, "t", 1, if: "slerp", method)
            let merged = try merge(method, base: model(1), [model(3)], parameters).store
            // From 1 to 3: half of the change in the first block, one and a half of it in the last.
            for (a, b) in zip(try merged.values("layers.0.w") + merged.values("layers.1.w"), [2.0, 4, 4, 0]) {
                #expect(abs(a - b) < 1e-6, "\(method)")
            }
            guard !["slerp", "nearswap"].contains(method) else { continue }
            let error = try #require(throws: MergeError.self) {
                _ = try merge(method, base: nil, [model(1)], parameters)
            }
            #expect(error.code == "merge.missing_base")
        }
    }

    private func with(
        _ parameters: MergeParameters, _ name: String, _ value: Double, if wanted: String = "", _ method: String = ""
    ) -> MergeParameters {
        guard wanted == method else { return parameters }
        var parameters = parameters
        parameters[name] = .number(value)
        return parameters
    }

    @Test("consensus of more experts than there are is refused")
    func impossibleConsensus() throws {
        let error = try #require(throws: MergeError.self) {
            try values("consensus_ta", base: [0], [[1], [2]], ["min_agreement": .number(3)])
        }
        #expect(error.code == "merge.bad_parameter" && error.message.contains("min_agreement is 3"))
    }

    @Test("TSV-M says when there are more experts than rows, and then keeps the base")
    func crowdedMatrix() throws {
        let experts = try (1...3).map { try model([Double($0), 1, 0, 2], shape: [2, 2]) }
        let merged = try merge("tsv_m", base: model([0, 0, 0, 0], shape: [2, 2]), experts)
        #expect(try merged.store.values("a") == [0, 0, 0, 0])
        #expect(merged.report.notes.map(\.text) == ["int(2 / 3) is 0 singular directions for each of 3 experts"])
        #expect(merged.report.warnings.count == 1 && merged.report.warnings[0].text.contains("fewer rows or columns"))
    }

    @Test("numbers that count are whole")
    func wholeNumbers() throws {
        for (method, name) in [("wudi", "iterations"), ("karcher", "max_iter"), ("dare_linear", "seed")] {
            let error = try #require(throws: MergeError.self) {
                try values(method, base: [0, 0], [[1, 2]], [name: .number(2.5)])
            }
            #expect(error.code == "merge.bad_parameter" && error.message.contains("a whole number"), "\(method)")
        }
    }

    @Test("statistics that are missing or do not fit are named")
    func statistics() throws {
        let base = try makeModel([TestTensor("bias", [1, 2, 3])])
        var parameters = MergeParameters(["statistics": .list([try RegistryTests.statistics(0)])])
        let shape = try #require(throws: MergeError.self) { _ = try merge("fisher", base: nil, [base], parameters) }
        #expect(shape.code == "merge.statistics" && shape.message.contains("[7]") && shape.message.contains("[3]"))
        parameters["statistics"] = .text("nowhere.safetensors")
        let missing = try #require(throws: MergeError.self) { _ = try merge("regmean", base: base, [base], parameters) }
        #expect(missing.code == "merge.statistics" && missing.message.contains("nowhere.safetensors"))
        // One path for several experts is a slip: every expert has data of its own.
        let shared = try #require(throws: MergeError.self) {
            _ = try merge("regmean", base: base, [base, base], parameters)
        }
        #expect(shared.code == "merge.statistics" && shared.message.contains("all 2 experts"))
    }

    @Test("Fisher merging weighs every entry, RegMean fits the outputs")
    func dataDriven() throws {
        func file(_ name: TensorName, _ values: [Double], shape: Shape) throws -> ParameterValue {
            let store = try makeModel([TestTensor(name, values, shape: shape)])
            let path = RegistryTests.folder.file("by_hand_\(UInt32.random(in: 0 ... .max)).safetensors")
            let writer = try CheckpointFormat.makeWriter(.safetensors, at: path, declaring: store.descriptors)
            try store.rawBytes(name).withUnsafeBytes { try writer.write($0, tensor: 0, at: 0) }
            _ = try writer.finish()
            return .text(path.string)
        }
        // Weights 3 to 1 and 1 to 3.
        let fisher = try values(
            "fisher", [[4, 4], [0, 8]],
            [
                "normalize": .flag(false),
                "statistics": .list([try file("a", [3, 1], shape: [2]), try file("a", [1, 3], shape: [2])]),
            ])
        for (a, b) in zip(fisher, [3.0, 7]) { #expect(abs(a - b) < 1e-5) }
        // Layers with inputs along one axis each keep their own column; G = diag(1, 0) and diag(0, 4).
        let regmean = try merge(
            "regmean", base: model([0, 0, 0, 0], shape: [2, 2]),
            [model([1, 9, 2, 9], shape: [2, 2]), model([9, 3, 9, 4], shape: [2, 2])],
            MergeParameters([
                "statistics": .list([
                    try file("a", [1, 0, 0, 0], shape: [2, 2]), try file("a", [0, 0, 0, 4], shape: [2, 2]),
                ])
            ]))
        for (a, b) in zip(try regmean.store.values("a"), [1.0, 3, 2, 4]) { #expect(abs(a - b) < 1e-6) }
        #expect(regmean.report.notes.isEmpty)
        // An input that no data reaches: singular, solved with jitter, which leaves the base there.
        let singular = try merge(
            "regmean", base: model([5, 5, 5, 5], shape: [2, 2]), [model([1, 9, 2, 9], shape: [2, 2])],
            MergeParameters(["statistics": .list([try file("a", [1, 0, 0, 0], shape: [2, 2])])]))
        for (a, b) in zip(try singular.store.values("a"), [1.0, 5, 2, 5]) { #expect(abs(a - b) < 1e-5) }
        #expect(singular.report.notes.count == 1)
        #expect(singular.report.warnings.count == 1 && singular.report.warnings[0].text.contains("do not determine"))
    }
}
