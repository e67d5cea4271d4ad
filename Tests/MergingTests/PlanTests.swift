import Checkpoints
import Kernels
import Merging
import TensorCore
import Testing

@Suite("merge plan") struct PlanTests {
    func failure(_ body: () throws -> Merged) throws -> MergeError {
        try #require(throws: MergeError.self) { _ = try body() }
    }

    let base: TensorStore
    init() throws { base = try makeModel([TestTensor("a", [1, 2, 3, 4], shape: [2, 2]), TestTensor("b", [5])]) }

    @Test("every difference between the models is named at once")
    func differencesAtOnce() throws {
        let other = try makeModel([
            TestTensor("a", [1, 2], shape: [2, 1]), TestTensor("c", [1]), TestTensor("d", [1], dtype: .f8E4M3),
        ])
        let error = try failure { try merge("linear", base: base, [base, other]) }
        #expect(error.code == "merge.incompatible")
        #expect(error.message.contains("4 places"))
        for part in [
            "\"a\" has shape [2, 2] in base, expert 1, [2, 1] in expert 2",
            "\"b\" is in base, expert 1, not in expert 2", "\"c\" is in expert 2, not in base, expert 1",
            "\"d\" is in expert 2, not in base, expert 1",
        ] {
            #expect(error.message.contains(part))
        }
        #expect(error.hint != nil)
        #expect(error.details?.columns == ["tensor", "problem", "models", "remedy"])
        #expect(error.details?.rows.map { $0[0] } == ["a", "b", "c", "d"])
        #expect(error.details?.rows.map { $0[1] } == ["shape", "missing", "missing", "missing"])
        let selected = try merge("linear", base: base, [base, base], selection: TensorSelection(exclude: ["b"]))
        #expect(selected.plan.outputs.map(\.name) == ["a"])
    }

    @Test("long lists of differences are cut")
    func longList() throws {
        let many = try makeModel((0..<30).map { TestTensor(TensorName("t\($0)"), [0]) })
        let error = try failure { try merge("linear", base: many, [try makeModel([])]) }
        #expect(error.message.contains("30 places") && error.message.contains("and 26 more"))
        #expect(error.details?.rows.count == 30)
    }

    @Test("the table tells vocabularies, transposed matrices, types and prefixes from other differences")
    func remedies() throws {
        let one = try makeModel([
            TestTensor("m.embed_tokens.weight", [1, 2, 3, 4], shape: [2, 2]),
            TestTensor("m.up.weight", [1, 2], shape: [2, 1]), TestTensor("m.ids", [1]),
        ])
        let two = try makeModel([
            TestTensor("m.embed_tokens.weight", [1, 2, 3, 4, 5, 6], shape: [3, 2]),
            TestTensor("m.up.weight", [1, 2], shape: [1, 2]), TestTensor("m.ids", [1], dtype: .i64),
        ])
        let rows = try #require(try failure { try merge("average", base: nil, [one, two]) }.details?.rows)
        #expect(rows.map { $0[1] } == ["vocabulary", "shape", "type"])
        #expect(rows[0][2] == "[2, 2] in expert 1, [3, 2] in expert 2")
        #expect(rows[0][3].contains("resize_token_embeddings(3)"))
        #expect(rows[1][3].contains("transposed"))

        let named = ["a.w", "b.w", "c.w"]
        let plain = try makeModel(named.map { TestTensor(TensorName($0), [1]) })
        let prefixed = try makeModel(named.map { TestTensor(TensorName("bert.\($0)"), [1]) })
        let error = try failure { try merge("average", base: nil, [plain, prefixed]) }
        #expect(error.details?.rows.map { $0[3] } == Array(repeating: "--map bert=", count: 6))
        #expect(error.hint == "most names match with --map bert=")
    }

    @Test("types that differ between models: floating point mixes, anything else does not")
    func types() throws {
        let brain = try makeModel([TestTensor("w", [1], dtype: .bf16)])
        let half = try makeModel([TestTensor("w", [2], dtype: .f16)])
        let merged = try merge("average", base: nil, [brain, half])
        #expect(merged.plan.outputs[0].dtype == .bf16)
        #expect(try merged.store.values("w") == [1.5])
        #expect(merged.report.warnings.contains { $0.text.contains("different floating-point types") })
        let integer = try makeModel([TestTensor("w", [2], dtype: .i64)])
        let error = try failure { try merge("average", base: nil, [brain, integer]) }
        #expect(error.message.contains("type BF16 in expert 1, I64 in expert 2"))
        #expect(
            try failure { try merge("average", base: nil, [brain], outputDType: .i64) }.code
                == "merge.unsupported_dtype")
    }

    @Test("what is missing or unknown is said, with the nearest name")
    func parameters() throws {
        #expect(try failure { try merge("linaer", base: base, [base]) }.hint?.contains("\"linear\"") == true)
        #expect(try failure { try merge("ties", base: nil, [base]) }.code == "merge.missing_base")
        #expect(try failure { try merge("ties", base: nil, [base]) }.message.contains("works on task vectors"))
        #expect(try failure { try merge("slerp", base: nil, [base]) }.message.contains("goes from a base to one model"))
        #expect(try failure { try merge("ties", base: base, []) }.code == "merge.too_few_experts")
        let unknown = try failure { try merge("ties", base: base, [base], MergeParameters(["densty": .number(1)])) }
        #expect(unknown.code == "merge.unknown_parameter" && unknown.hint?.contains("\"density\"") == true)
        #expect(unknown.severity == .usage)
        let bad: [[String: ParameterValue]] = [
            ["density": .number(1.5)], ["density": .text("much")], ["weight": .list([.number(1), .number(2)])],
            ["normalize": .number(2)], ["trim_scope": .text("layer")], ["lambda": .number(.infinity)],
            ["lambda": .list([.number(1)])],
        ]
        for values in bad {
            #expect(
                try failure { try merge("ties", base: base, [base], MergeParameters(values)) }.code
                    == "merge.bad_parameter")
        }
        let zero = try failure { try merge("linear", base: nil, [base], MergeParameters(["weight": .number(0)])) }
        #expect(zero.message.contains("divided"))
        let stray = MergeParameters(experts: [["lambda": .number(1)]])
        #expect(try failure { try merge("ties", base: base, [base], stray) }.message.contains("whole merge"))
        #expect(
            try failure { try merge("ties", base: base, [base], MergeParameters(experts: [[:], [:]])) }.code
                == "merge.bad_parameter")
    }

    @Test("values come from the command line, from experts and from tensors, the narrower over the wider")
    func sources() throws {
        var parameters = MergeParameters()
        try parameters.set("weight=1,10")
        try parameters.set("normalize=false")
        #expect(parameters["normalize"] == .flag(false))
        let zero = try makeModel([TestTensor("a", [0]), TestTensor("b", [0])])
        let one = try makeModel([TestTensor("a", [1]), TestTensor("b", [1])])
        let two = try makeModel([TestTensor("a", [2]), TestTensor("b", [2])])
        #expect(try merge("task_arithmetic", base: zero, [one, two], parameters).store.values("a") == [21])
        parameters.experts = [["weight": .number(100)]]
        #expect(try merge("task_arithmetic", base: zero, [one, two], parameters).store.values("a") == [120])
        parameters.overrides = { name, expert, tensor in
            name == "weight" && expert == 1 && tensor == "b" ? .number(0) : nil
        }
        let merged = try merge("task_arithmetic", base: zero, [one, two], parameters)
        #expect(try merged.store.values("a") == [120])
        #expect(try merged.store.values("b") == [100])
        #expect(throws: MergeError.self) { try parameters.set("lambda") }
        #expect(ParameterValue(parsing: "true") == .flag(true))
        #expect(ParameterValue(parsing: "*proj*") == .text("*proj*"))
        #expect(ParameterValue(parsing: "0.5") == .number(0.5))
    }

    @Test("every method states its paper, and its parameters accept their own defaults")
    func declarations() throws {
        for method in MergeMethods.all {
            #expect(method.info.paper.contains("arXiv:"))
            #expect(Set(method.info.parameters.map(\.name)).count == method.info.parameters.count)
            let defaults = Dictionary(uniqueKeysWithValues: method.info.parameters.map { ($0.name, $0.defaultValue) })
            let experts = Array(repeating: base, count: method.info.expertCounts.lowerBound)
            if method.info.parameters.contains(where: { $0.kind == .path }) {
                // A path has no default that would do.
                let error = try failure { try merge(method.info.name, base: base, experts, MergeParameters(defaults)) }
                #expect(error.code == "merge.statistics" && error.hint != nil)
                continue
            }
            #expect(throws: Never.self) { try merge(method.info.name, base: base, experts, MergeParameters(defaults)) }
        }
        #expect(Set(MergeMethods.all.map(\.info.name)).count == MergeMethods.all.count)
    }

    @Test("overflow, underflow, NaN and infinities of the result are counted by tensor")
    func findings() throws {
        let model = try makeModel([
            TestTensor("fine", [1, 2]), TestTensor("odd", [1e6, .nan, .infinity, 1, -1e-9, 1e-9, 0]),
        ])
        let merged = try merge("average", base: nil, [model], outputDType: .f16)
        #expect(merged.report.findings.map(\.tensor) == ["odd"])
        let finding = try #require(merged.report.findings.first)
        #expect(finding.losses == CastLosses(overflowCount: 1, underflowCount: 2))
        #expect((finding.nanCount, finding.infinityCount) == (1, 1))
        // One line for the input, one for each of the four.
        #expect(merged.report.warnings.count == 5)
        #expect(
            merged.report.warnings.map(\.text).contains(
                "2 numbers were too small for the output type and became zero"))
        // An infinity that the expert shares with the base has not moved.
        let kept = try merge("task_arithmetic", base: model, [model])
        #expect(try kept.store.values("odd")[2] == .infinity)
    }

    @Test("a matrix that cannot be decomposed or does not fit in memory is named")
    func matrices() throws {
        let spoilt = try makeModel([TestTensor("a", [1, .nan, 3, 4], shape: [2, 2]), TestTensor("b", [5])])
        let error = try failure { try merge("tsv_m", base: base, [spoilt]) }
        #expect(error.code == "merge.not_finite" && error.tensor == "a")
        let small = try failure { try merge("iso_c", base: base, [base], memory: 64) }
        #expect(small.code == "merge.memory" && small.tensor == "a" && small.severity == .resources)
        #expect(small.message.contains("B of working memory, but 64 B are allowed"))
    }

    @Test("a merge keeps to its memory, with fewer threads if need be, or is refused")
    func memory() throws {
        let all = try merge("linear", base: base, [base, base], threads: 8).plan.summary.workingByteCount
        let one = try merge("linear", base: base, [base, base], threads: 1).plan.summary.workingByteCount
        #expect(one < all)
        for memory in [one, all - 1, all] {
            let plan = try merge("linear", base: base, [base, base], threads: 8, memory: memory).plan
            #expect(plan.summary.workingByteCount <= memory)
        }
        let error = try failure { try merge("linear", base: base, [base, base], threads: 8, memory: one - 1) }
        #expect(error.code == "merge.memory" && error.severity == .resources)
        #expect(error.message.contains("KiB of working memory, but"))
    }
}
