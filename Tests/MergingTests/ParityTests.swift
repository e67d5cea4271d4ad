import Checkpoints
import Merging
import TensorCore
import Testing

@Suite("merges of other implementations") struct ParityTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let method: String
        let parameters: [String: ParameterValue]
        let folder: String
        let models: [String]
        let output: String
        var testDescription: String { "\(output) \(folder)" }
    }

    static let one = ["ft1", "ft2", "ft3"]
    static func weights(_ numbers: Double...) -> ParameterValue { .list(numbers.map { .number($0) }) }

    static let mergekit: [Case] =
        ["generic_float32", "generic_bfloat16"].flatMap { set in
            [
                Case(
                    method: "linear", parameters: ["weight": weights(0.5, 0.3, 0.4)], folder: set, models: one,
                    output: "linear"),
                Case(
                    method: "task_arithmetic", parameters: ["weight": .number(0.3)], folder: set, models: one,
                    output: "task_arithmetic_03"),
                Case(
                    method: "ties", parameters: ["density": .number(0.2)], folder: set, models: one, output: "ties_d20"),
            ]
        } + [
            Case(
                method: "average", parameters: [:], folder: "generic_float32", models: one + ["ft4"], output: "average4"
            )
        ]

    @Test("mergekit on tensors of all shapes", arguments: mergekit)
    func generic(_ test: Case) throws {
        let base = try fixture("inputs/\(test.folder)/base")
        let experts = try test.models.map { try fixture("inputs/\(test.folder)/\($0)") }
        let expected = try fixture("mergekit/\(test.folder)/\(test.output)")
        let merged = try merge(test.method, base: base, experts, MergeParameters(test.parameters))
        #expect(merged.plan.outputs.map(\.name) == base.descriptors.map(\.name))
        if test.folder.hasSuffix("float32") {
            let differences = try differences(merged.store, expected)
            #expect(differences.count == base.descriptors.count - 1)
            for (name, difference) in differences { #expect(difference <= 1e-6, "\(name)") }
        } else {
            // mergekit's linear accumulates in F32 as we do; its other methods compute in BF16.
            try expectClose(merged.store, expected, ulps: test.method == "linear" ? 1 : 2, exceptions: 0.03)
        }
        #expect(try merged.store.rawBytes("position_ids") == expected.rawBytes("position_ids"))
    }

    /// BF16 results may differ by a few units in the last place; a share of the entries may be further away, where a method
    /// that computes in BF16 trims or elects otherwise.
    func expectClose(_ merged: TensorStore, _ expected: TensorStore, ulps: Int, exceptions: Double) throws {
        var far = 0
        var total = 0
        for descriptor in expected.descriptors where descriptor.dtype == .bf16 {
            let a = try merged.rawBytes(descriptor.name)
            let b = try expected.rawBytes(descriptor.name)
            for i in 0..<descriptor.elementCount {
                func ordered(_ bytes: [UInt8]) -> Int {
                    let bits = Int(bytes[2 * i]) | Int(bytes[2 * i + 1]) << 8
                    return bits & 0x8000 == 0 ? bits : 0x8000 - bits
                }
                if abs(ordered(a) - ordered(b)) > ulps { far += 1 }
                total += 1
            }
        }
        #expect(total > 20_000)
        #expect(Double(far) <= exceptions * Double(total), "\(far) of \(total)")
        if ulps == 1 { #expect(far == 0) }
    }

    static let llama: [Case] = [
        Case(
            method: "linear", parameters: ["weight": weights(1, 0.5, -0.25), "normalize": .flag(false)], folder: "",
            models: one, output: "linear_raw"),
        Case(
            method: "task_arithmetic",
            parameters: ["weight": weights(0.4, 0.3, 0.5), "normalize": .flag(true), "lambda": .number(0.7)],
            folder: "",
            models: one, output: "task_arithmetic_lambda_norm"),
        Case(
            method: "task_arithmetic", parameters: ["weight": weights(1, -1)], folder: "", models: ["ft1", "ft2"],
            output: "task_arithmetic_negate"),
        Case(method: "ties", parameters: ["density": .number(0.2)], folder: "", models: one, output: "ties_d20"),
        Case(
            method: "ties",
            parameters: [
                "weight": weights(0.5, 1, 0.7), "density": .number(0.5), "normalize": .flag(false),
                "lambda": .number(0.3),
            ], folder: "", models: one, output: "ties_d50_lambda_nonorm_int8"),
    ]

    @Test("mergekit with weights, lambda and normalize", arguments: llama)
    func llamaTensors(_ test: Case) throws {
        let base = try fixture("mergekit/llama_float32/base")
        let experts = try test.models.map { try fixture("mergekit/llama_float32/\($0)") }
        let merged = try merge(test.method, base: base, experts, MergeParameters(test.parameters))
        let differences = try differences(merged.store, fixture("mergekit/llama_float32/\(test.output)"))
        #expect(differences.count == 3)
        for (name, difference) in differences { #expect(difference <= 1e-6, "\(name)") }
    }

    @Test("the authors' TSV-M and Iso-C in F64", arguments: ["tsv_m", "iso_c"], [3, 4])
    func matrixMethods(method: String, count: Int) throws {
        let base = try fixture("inputs/generic_float32/base")
        let experts = try (1...count).map { try fixture("inputs/generic_float32/ft\($0)") }
        let merged = try merge(method, base: base, experts)
        let file = method == "tsv_m" ? "tsvm" : method
        let expected = try fixture("svd/\(file)_official_n\(count).tv.f64")
        var differences = try differences(merged.store, expected, plus: base)
        let lowRank = try #require(differences["lowrank.weight"])
        differences["lowrank.weight"] = nil
        // The reference gives arbitrary directions of a matrix of rank 2 the weight of real ones.
        #expect(lowRank < 0.1)
        #expect(differences.count == expected.descriptors.count - 1)
        for (name, difference) in differences { #expect(difference <= 1e-5, "\(name)") }
        #expect(merged.report.notes.map(\.tensor).contains("lowrank.weight"))
    }

    @Test("TIES over the model with equal magnitudes and sums that cancel", arguments: [20, 50, 100])
    func gridTIES(percent: Int) throws {
        let base = try fixture("reference/grid_base")
        let experts = try (0..<3).map { try fixture("reference/grid_expert\($0)") }
        let merged = try merge(
            "ties", base: base, experts,
            MergeParameters(["density": .number(Double(percent) / 100), "trim_scope": .text("model")]))
        for (name, difference) in try differences(merged.store, fixture("reference/grid_ties_\(percent)"), plus: base) {
            #expect(difference <= 1e-6, "\(name)")
        }
    }

    @Test(
        "plain PyTorch TSV-M, Iso-C and WUDI's closed form in F64, with a tensor that no expert changes",
        arguments: ["tsv_m", "iso_c", "wudi"])
    func reference(method: String) throws {
        let base = try fixture("reference/normal_base")
        let experts = try (0..<3).map { try fixture("reference/normal_expert\($0)") }
        let isClosed = method == "wudi"
        let merged = try merge(
            method, base: base, experts, isClosed ? MergeParameters(["form": .text("closed")]) : MergeParameters())
        let expected = try fixture("reference/normal_\(method)\(isClosed ? "_closed" : "")")
        for (name, difference) in try differences(merged.store, expected, plus: base) {
            #expect(difference <= 1e-5, "\(name)")
        }
        #expect(try merged.store.rawBytes("frozen") == base.rawBytes("frozen"))
    }
}
