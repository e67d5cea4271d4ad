import Checkpoints
import Merging
import TensorCore
import Testing

@Suite("merges of other implementations") struct ParityTests {
    /// What beyond the rank of a matrix is arbitrary cannot be compared, but c U Vᵀ of the sum A of the task vectors is known by
    /// its laws: X = c U Vᵀ has X Xᵀ X = c² X and a symmetric Xᵀ A, ‖X‖² = c² rank A, and c is the mean over all singular values.
    @Test("Iso-C of a matrix of low rank", arguments: [3, 4])
    func lowRank(count: Int) throws {
        let base = try fixture("inputs/generic_float32/base")
        let experts = try (1...count).map { try fixture("inputs/generic_float32/ft\($0)") }
        let merged = try merge("iso_c", base: base, experts)
        let name: TensorName = "lowrank.weight"
        let descriptor = try #require(merged.store.descriptor(named: name))
        let (rows, columns) = (descriptor.shape.dims[0], descriptor.shape.dims[1])
        let origin = try base.values(name)
        var sum = [Double](repeating: 0, count: rows * columns)
        for expert in experts { for (i, value) in try expert.values(name).enumerated() { sum[i] += value - origin[i] } }
        let flat = zip(try merged.store.values(name), origin).map { $0 - $1 }

        /// Aᵀ B, `[columns, columns]`.
        func product(_ a: [Double], _ b: [Double]) -> [Double] {
            var result = [Double](repeating: 0, count: columns * columns)
            for k in 0..<rows {
                for i in 0..<columns {
                    for j in 0..<columns { result[columns * i + j] += a[columns * k + i] * b[columns * k + j] }
                }
            }
            return result
        }
        func trace(_ square: [Double]) -> Double { (0..<columns).reduce(0) { $0 + square[(columns + 1) * $1] } }
        let gram = product(flat, flat)
        // ⟨X, A⟩ = c Σ σ = c² min(rows, columns)
        let level = trace(product(flat, sum)) / Double(min(rows, columns))
        let rank = trace(gram) / level
        #expect(abs(rank - rank.rounded()) < 1e-3 && rank.rounded() >= 2 && rank.rounded() < Double(min(rows, columns)))
        let largest = flat.map(abs).max() ?? 0
        for row in 0..<rows {
            for j in 0..<columns {
                let value = (0..<columns).reduce(0) { $0 + flat[columns * row + $1] * gram[columns * $1 + j] }
                #expect(abs(value / level - flat[columns * row + j]) < 1e-4 * largest)
            }
        }
        let aligned = product(flat, sum)
        let scale = aligned.map(abs).max() ?? 0
        for i in 0..<columns {
            for j in 0..<i { #expect(abs(aligned[columns * i + j] - aligned[columns * j + i]) < 1e-4 * scale) }
        }
        #expect(merged.report.notes.map(\.tensor).contains(name))
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
