import Checkpoints
import Merging
import TensorCore
import Testing

@Suite("TIES") struct TIESTests {
    func model(_ values: [Double], _ more: [Double] = []) throws -> TensorStore {
        try makeModel([TestTensor("a", values), TestTensor("b", more)])
    }

    @Test("trims, elects and averages as worked out by hand")
    func byHand() throws {
        // density 0.5 of four entries keeps two:      expert 1 [4, 0, 0, -3], expert 2 [2, 0, -5, 0]
        // elected signs of the sums 6, 0, -5, -3:      [+, +, -, -]
        // means of what agrees:                        [3, 0, -5, -3]
        let base = try model([0, 0, 0, 0])
        let merged = try merge(
            "ties", base: base, [model([4, 1, 2, -3]), model([2, -1, -5, 1])],
            MergeParameters(["density": .number(0.5)]))
        #expect(try merged.store.values("a") == [3, 0, -5, -3])
        // A tensor of one chunk is selected from in one pass.
        #expect(merged.plan.summary.passCount == 2)
    }

    @Test("of equal magnitudes the first in memory stay when the scope is a tensor, all when it is the model")
    func equalMagnitudes() throws {
        let base = try model([0, 0, 0, 0, 0], [0, 0])
        let expert = try model([1, -1, 2, 1, -1], [1, 0.5])
        let tensor = try merge("ties", base: base, [expert], MergeParameters(["density": .number(0.6)]))
        #expect(try tensor.store.values("a") == [1, -1, 2, 0, 0])
        #expect(try tensor.store.values("b") == [1, 0])
        // int(0.3 · 7) + 1 = 3: the third largest magnitude is 1, which five entries reach beside 2.
        let whole = try merge(
            "ties", base: base, [expert], MergeParameters(["density": .number(0.3), "trim_scope": .text("model")]))
        #expect(try whole.store.values("a") == [1, -1, 2, 1, -1])
        #expect(try whole.store.values("b") == [1, 0])
    }

    @Test("rescaling restores the sum of magnitudes of each tensor, and needs its scope")
    func rescales() throws {
        // Kept are 3 and -4 of a sum of 10, so both are multiplied by 10/7; ties at the cut as without rescaling.
        let base = try model([1, 1, 1, 1], [0, 0])
        let expert = try model([2, 4, -3, 3], [1, -1])
        let parameters = MergeParameters(["density": .number(0.5), "rescale": .flag(true)])
        let merged = try merge("ties", base: base, [expert], parameters).store
        for (a, b) in zip(try merged.values("a"), [1, 1 + 30.0 / 7, 1 - 40.0 / 7, 1]) { #expect(abs(a - b) < 1e-6) }
        #expect(try merged.values("b") == [2, 0])
        var whole = parameters
        whole["trim_scope"] = .text("model")
        let error = try #require(throws: MergeError.self) { _ = try merge("ties", base: base, [expert], whole) }
        #expect(error.code == "merge.bad_parameter")
    }

    @Test("equal magnitudes are counted across chunks")
    func equalMagnitudesAcrossChunks() throws {
        // Every third entry is 1, the rest 0.5; 600,000 of 2,500,000 entries stay, the first ones that are 1.
        let count = 2_500_000
        let values = (0..<count).map { $0 % 3 == 1 ? 1.0 : 0.5 }
        let base = try makeModel([TestTensor("a", [Double](repeating: 0, count: count))])
        let expert = try makeModel([TestTensor("a", values)])
        let merged = try merge("ties", base: base, [expert], MergeParameters(["density": .number(0.24)]))
        let kept = try merged.store.values("a").enumerated().filter { $0.element != 0 }.map(\.offset)
        #expect(kept == (0..<600_000).map { 3 * $0 + 1 })
    }

    @Test("a tensor keeps at least one entry, none with a density of 0, all with 1")
    func limits() throws {
        let base = try model([0, 0, 0])
        let expert = try model([1, 3, 2])
        let least = try merge("ties", base: base, [expert], MergeParameters(["density": .number(0.1)]))
        #expect(try least.store.values("a") == [0, 3, 0])
        for rescale in [false, true] {
            let none = try merge(
                "ties", base: base, [expert, expert],
                MergeParameters(
                    ["rescale": .flag(rescale)], experts: [["density": .number(0)], ["density": .number(0.1)]]))
            // The other expert alone: 3, or scaled to the sum of 6.
            #expect(try none.store.values("a") == [0, rescale ? 6 : 3, 0])
        }
        let all = try merge("ties", base: base, [expert])
        #expect(try all.store.values("a") == [1, 3, 2])
        #expect(all.plan.summary.passCount == 1)
    }

    @Test("weights count before the election: a negative one turns a vote around")
    func negativeWeight() throws {
        let base = try model([0, 0])
        let experts = try [model([1, 3]), model([2, 1])]
        // Votes [1, 3] and [-2, -1]; sums -1 and 2; what agrees is divided by its weight.
        let merged = try merge(
            "ties", base: base, experts, MergeParameters(["weight": .list([.number(1), .number(-1)])]))
        #expect(try merged.store.values("a") == [2, 3])
    }

    @Test("a sum of zero elects plus in a tensor, the majority in a model")
    func zeroSum() throws {
        let base = try model([0, 0, 0, 0])
        let experts = try [model([1, -4, -4, 0]), model([-1, -4, -4, 0])]
        #expect(try merge("ties", base: base, experts).store.values("a") == [1, -4, -4, 0])
        let whole = try merge("ties", base: base, experts, MergeParameters(["trim_scope": .text("model")]))
        #expect(try whole.store.values("a") == [-1, -4, -4, 0])
    }

    @Test("NaN is not lost in the election")
    func nan() throws {
        let base = try model([0, 0])
        let merged = try merge("ties", base: base, [model([.nan, 1]), model([1, 1])])
        let values = try merged.store.values("a")
        #expect(values[0].isNaN && values[1] == 1)
        #expect(merged.report.nanCount == 1)
    }

    @Test("F64 tensors are trimmed and merged in F64")
    func double() throws {
        let tiny = 1e-12
        let base = try makeModel([TestTensor("a", [1, 1, 1, 1], dtype: .f64)])
        let expert = try makeModel([TestTensor("a", [1 + 4 * tiny, 1 - 3 * tiny, 1 + tiny, 1], dtype: .f64)])
        let merged = try merge("ties", base: base, [expert], MergeParameters(["density": .number(0.5)]))
        let values = try merged.store.values("a")
        #expect(values[0] == 1 + 4 * tiny && abs(values[1] - (1 - 3 * tiny)) < 1e-15 && values[2] == 1)
    }

    @Test("density cannot vary between tensors when the scope is the model")
    func scopes() throws {
        let parameters = MergeParameters(["trim_scope": .text("model")]) { name, _, tensor in
            name == "density" && tensor == "a" ? .number(0.5) : nil
        }
        let base = try model([0], [0])
        #expect(throws: MergeError.self) { try merge("ties", base: base, [base], parameters) }
    }
}
