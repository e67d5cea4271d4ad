import Kernels
import TensorCore
import Testing

@Suite("SVD") struct SVDTests {
    func buffer(_ values: [Float]) throws -> FloatBuffer {
        let buffer = try FloatBuffer(count: values.count)
        for (i, value) in values.enumerated() { buffer.pointer[i] = value }
        return buffer
    }

    func random(_ count: Int, seed: UInt32) -> [Float] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return Float(Int32(bitPattern: state)) * 0x1p-31
        }
    }

    /// `a b`, in F64.
    func product(_ a: [Float], _ b: [Float], _ rows: Int, _ inner: Int, _ columns: Int) -> [Double] {
        var result = [Double](repeating: 0, count: rows * columns)
        for i in 0..<rows {
            for k in 0..<inner {
                for j in 0..<columns {
                    result[i * columns + j] += Double(a[i * inner + k]) * Double(b[k * columns + j])
                }
            }
        }
        return result
    }

    func transposed(_ a: [Float], _ rows: Int, _ columns: Int) -> [Float] {
        (0..<columns).flatMap { j in (0..<rows).map { a[$0 * columns + j] } }
    }

    func expectIdentity(_ a: [Double], _ size: Int) {
        for i in 0..<size {
            for j in 0..<size { #expect(abs(a[i * size + j] - (i == j ? 1 : 0)) < 1e-5) }
        }
    }

    @Test(
        "factors are orthonormal and multiply back to the matrix",
        arguments: [(5, 5), (9, 4), (3, 12), (1, 6), (40, 1), (70, 33)])
    func factors(rows: Int, columns: Int) throws {
        let values = random(rows * columns, seed: UInt32(rows * 100 + columns))
        let svd = try SingularValueDecomposition(destroying: buffer(values), rows: rows, columns: columns)
        let rank = min(rows, columns)
        #expect(svd.rank == rank && svd.numericalRank == rank)
        #expect(svd.singularValues == svd.singularValues.sorted(by: >))
        let (u, vt) = (Array(svd.u.values), Array(svd.vt.values))
        expectIdentity(product(transposed(u, rows, rank), u, rank, rows, rank), rank)
        expectIdentity(product(vt, transposed(vt, rank, columns), rank, columns, rank), rank)
        let result = try FloatBuffer(count: rows * columns)
        try recompose(svd, rank: rank, weights: svd.singularValues, into: result)
        for (a, b) in zip(result.values, values) { #expect(abs(a - b) < 1e-5) }
        #expect(try singularValues(destroying: buffer(values), rows: rows, columns: columns).count == rank)
    }

    @Test("singular values and vectors of a matrix worked out by hand")
    func byHand() throws {
        // [[3, 0], [4, 5]] = U diag(3√5, √5) Vᵀ, right vectors (1, 1)/√2 and (1, -1)/√2.
        let svd = try SingularValueDecomposition(destroying: buffer([3, 0, 4, 5]), rows: 2, columns: 2)
        #expect(abs(svd.singularValues[0] - 6.708204) < 1e-5 && abs(svd.singularValues[1] - 2.236068) < 1e-5)
        for k in 0..<4 { #expect(abs(abs(svd.vt.pointer[k]) - 0.70710678) < 1e-6) }
        #expect(abs(abs(svd.u.pointer[0]) - 0.31622777) < 1e-6)
    }

    @Test("rank is what is above rounding noise, and the polar factor stays within it")
    func numericalRank() throws {
        // (1, 2, 3)ᵀ (1, -1, 0.5, 2): rank 1, so its polar factor is the product of the unit vectors.
        let (x, y): ([Float], [Float]) = ([1, 2, 3], [1, -1, 0.5, 2])
        let outer = x.flatMap { a in y.map { a * $0 } }
        let svd = try SingularValueDecomposition(destroying: buffer(outer), rows: 3, columns: 4)
        #expect(svd.numericalRank == 1)
        let polar = try buffer(outer)
        #expect(try replaceByPolarFactor(polar, rows: 3, columns: 4) == 1)
        let scale = Float(14 * 6.25).squareRoot()
        for (a, b) in zip(polar.values, outer) { #expect(abs(a - b / scale) < 1e-6) }
        let zero = try buffer([0, 0, 0, 0])
        #expect(try replaceByPolarFactor(zero, rows: 2, columns: 2) == 0)
        #expect(zero.values.allSatisfy { $0 == 0 })
    }

    @Test("NaN and infinity are refused, empty matrices are fine")
    func limits() throws {
        #expect(throws: DecompositionError.notFinite) {
            try SingularValueDecomposition(destroying: buffer([1, .nan]), rows: 1, columns: 2)
        }
        #expect(throws: DecompositionError.notFinite) {
            try singularValues(destroying: buffer([.infinity, 1]), rows: 2, columns: 1)
        }
        let empty = try SingularValueDecomposition(destroying: buffer([]), rows: 0, columns: 5)
        #expect(empty.rank == 0 && empty.numericalRank == 0)
    }
}
