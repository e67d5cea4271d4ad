import Checkpoints
import Foundation
import Merging
import TensorCore
import Testing

@Suite("Arcee Fusion") struct ArceeFusionTests {
    /// The definition in plain loops; quartiles of a sorted list.
    private static func expected(_ x: [Double], _ base: [Double], rowLength: Int) -> [Double] {
        var scores: [Float] = []
        for start in stride(from: 0, to: x.count, by: rowLength) {
            let rows = [x, base].map { Array($0[start..<start + rowLength]) }
            let shares = rows.map { row -> [Double] in
                let largest = row.max() ?? 0
                let sum = row.reduce(0) { $0 + exp($1 - largest) }
                return row.map { exp($0 - largest) / sum + 1e-8 }
            }
            let divergence = zip(shares[0], shares[1]).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
            for i in 0..<rowLength {
                scores.append(Float(Double(abs(Float(rows[0][i]) - Float(rows[1][i]))) * divergence))
            }
        }
        let sorted = scores.sorted()
        let quartiles = [0.25, 0.5, 0.75].map { (share: Float) in sorted[Int(share * Float(x.count - 1))] }
        let threshold = quartiles[1] + 1.5 * (quartiles[2] - quartiles[0])
        return x.indices.map { scores[$0] >= threshold ? x[$0] : base[$0] }
    }

    /// Rows that end inside of a chunk of 2^20 elements, that are longer than what is kept of one, and that are short.
    @Test(
        "takes what the definition takes, however rows lie in chunks",
        arguments: [[210, 5003], [60, 17_500], [3, 400_000], [150_000, 7], [1_100_000]])
    func rows(dims: [Int]) throws {
        let count = dims.reduce(1, *)
        var numbers = TestNumbers(seed: UInt64(count))
        let base = numbers.list(count).map { Double(Float(0.02 * $0)) }
        // Few changes are large, as those of training are.
        let x = zip(base, numbers.list(count)).map { Double(Float($0 + 0.01 * $1 * $1 * $1)) }
        func model(_ values: [Double]) throws -> TensorStore {
            try makeModel([TestTensor("w", values, shape: Shape(dims))])
        }
        let expected = Self.expected(x, base, rowLength: dims.last ?? 1)
        let merged = try merge("arcee_fusion", base: model(base), [model(x)]).store.values("w")
        let taken = expected.indices.count { expected[$0] != base[$0] }
        #expect(taken > count / 100 && taken < count / 2)
        // Scores that round to the threshold or just beside it.
        #expect(expected.indices.count { merged[$0] != expected[$0] } <= count / 100_000)
    }
}
