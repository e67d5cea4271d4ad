import Checkpoints
import Merging
import TensorCore
import Testing

@Suite("algebra of merges") struct AlgebraTests {
    /// A small model with matrices, vectors and a scalar, of which `scale` 0 leaves the base unchanged.
    func model(seed: UInt64, scale: Double = 0.01, dtype: DType = .f32) throws -> TensorStore {
        var base = TestNumbers(seed: 1)
        var change = TestNumbers(seed: seed)
        func tensor(_ name: TensorName, _ shape: Shape) throws -> TestTensor {
            let count = try shape.elementCount()
            let values = zip(base.list(count), change.list(count, scale: scale)).map { Double(Float($0 + $1)) }
            return TestTensor(name, values, shape: shape, dtype: dtype)
        }
        return try makeModel([
            tensor("wide", [5, 9]), tensor("tall", [11, 4]), tensor("bias", [7]), tensor("scalar", []),
            tensor("kernel", [3, 2, 2, 2]), tensor("empty", [0, 4]),
        ])
    }

    @Test("the average of one model in BF16 several times has its bytes")
    func sameExpert() throws {
        let expert = try model(seed: 3, dtype: .bf16)
        let average = try merge("average", base: nil, [expert, expert, expert])
        #expect(try average.store.allBytes() == expert.allBytes())
    }

    @Test("TSV-M of the same expert twice keeps its strongest half")
    func repeatedSingularVectors() throws {
        // τ = diag(4, 3, 2, 1): the two strongest directions remain, since polar([U U]) S polar([V V])ᵀ = U S Vᵀ.
        let zeros = [Double](repeating: 0, count: 16)
        var diagonal = zeros
        for i in 0..<4 { diagonal[5 * i] = Double(4 - i) }
        let base = try makeModel([TestTensor("w", zeros, shape: [4, 4])])
        let expert = try makeModel([TestTensor("w", diagonal, shape: [4, 4])])
        let merged = try merge("tsv_m", base: base, [expert, expert]).store.values("w")
        var expected = zeros
        expected[0] = 4
        expected[5] = 3
        for (a, b) in zip(merged, expected) { #expect(abs(a - b) < 1e-5) }
    }

    @Test("Iso-C of one expert has its nuclear norm and a flat spectrum")
    func isotropic() throws {
        // τ = [[3, 0], [0, 1]] becomes the mean of its singular values, 2, times the identity.
        let base = try makeModel([TestTensor("w", [0, 0, 0, 0], shape: [2, 2])])
        let expert = try makeModel([TestTensor("w", [3, 0, 0, 1], shape: [2, 2])])
        let merged = try merge("iso_c", base: base, [expert]).store.values("w")
        for (a, b) in zip(merged, [2.0, 0, 0, 2]) { #expect(abs(a - b) < 1e-6) }
    }

    @Test("others=base leaves what is no matrix as it was, matrix_exclude decides what is one")
    func others() throws {
        let base = try model(seed: 2, scale: 0)
        let experts = try (3...4).map { try model(seed: $0) }
        let merged = try merge(
            "iso_c", base: base, experts,
            MergeParameters(["others": .text("base"), "matrix_exclude": .list([.text("wi*")])]))
        for name in ["wide", "bias", "scalar", "kernel"] as [TensorName] {
            #expect(try merged.store.rawBytes(name) == base.rawBytes(name))
        }
        #expect(try merged.store.rawBytes("tall") != base.rawBytes("tall"))
        #expect(merged.plan.summary.matrixCount == 1)
    }
}
