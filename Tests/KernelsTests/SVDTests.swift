import Kernels
import TensorCore
import Testing

@Suite("SVD") struct SVDTests {
    func matrix(_ values: [Float], _ rows: Int, _ columns: Int) throws -> Matrix<Float> {
        let matrix = try Matrix<Float>(rows: rows, columns: columns)
        for (i, value) in values.enumerated() { matrix.pointer[i] = value }
        return matrix
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
        let svd = try SingularValueDecomposition(destroying: matrix(values, rows, columns))
        let rank = min(rows, columns)
        #expect(svd.rank == rank && svd.numericalRank == rank)
        #expect(svd.singularValues == svd.singularValues.sorted(by: >))
        let (u, vt) = (Array(svd.u.values), Array(svd.vt.values))
        expectIdentity(product(transposed(u, rows, rank), u, rank, rows, rank), rank)
        expectIdentity(product(vt, transposed(vt, rank, columns), rank, columns, rank), rank)
        let result = try Matrix<Float>(rows: rows, columns: columns)
        multiplyScaled(svd.u, weights: svd.singularValues, svd.vt, inner: rank, into: result)
        for (a, b) in zip(result.values, values) { #expect(abs(a - b) < 1e-5) }
        // In F64 the same values, to F32's rounding.
        let wide = try Matrix<Double>(rows: rows, columns: columns)
        for (i, value) in values.enumerated() { wide.pointer[i] = Double(value) }
        for (a, b) in zip(try SingularValueDecomposition(destroying: wide).singularValues, svd.singularValues) {
            #expect(abs(a - Double(b)) < 1e-5)
        }
    }

    @Test("singular values and vectors of a matrix worked out by hand")
    func byHand() throws {
        // [[3, 0], [4, 5]] = U diag(3√5, √5) Vᵀ, right vectors (1, 1)/√2 and (1, -1)/√2.
        let svd = try SingularValueDecomposition(destroying: matrix([3, 0, 4, 5], 2, 2))
        #expect(abs(svd.singularValues[0] - 6.708204) < 1e-5 && abs(svd.singularValues[1] - 2.236068) < 1e-5)
        for k in 0..<4 { #expect(abs(abs(svd.vt.pointer[k]) - 0.70710678) < 1e-6) }
        #expect(abs(abs(svd.u.pointer[0]) - 0.31622777) < 1e-6)
    }

    @Test("rank is what is above rounding noise, and the polar factor stays within it")
    func numericalRank() throws {
        // (1, 2, 3)ᵀ (1, -1, 0.5, 2): rank 1, so its polar factor is the product of the unit vectors.
        let (x, y): ([Float], [Float]) = ([1, 2, 3], [1, -1, 0.5, 2])
        let outer = x.flatMap { a in y.map { a * $0 } }
        let svd = try SingularValueDecomposition(destroying: matrix(outer, 3, 4))
        #expect(svd.numericalRank == 1)
        let polar = try matrix(outer, 3, 4)
        #expect(try replaceByPolarFactor(polar) == 1)
        let scale = Float(14 * 6.25).squareRoot()
        for (a, b) in zip(polar.values, outer) { #expect(abs(a - b / scale) < 1e-6) }
        let zero = try matrix([0, 0, 0, 0], 2, 2)
        #expect(try replaceByPolarFactor(zero) == 0)
        #expect(zero.values.allSatisfy { $0 == 0 })
    }

    @Test("NaN and infinity are refused, empty matrices are fine")
    func limits() throws {
        #expect(throws: DecompositionError.notFinite) {
            try SingularValueDecomposition(destroying: matrix([1, .nan], 1, 2))
        }
        #expect(throws: DecompositionError.notFinite) {
            try SingularValueDecomposition(destroying: matrix([.infinity, 1], 2, 1))
        }
        let empty = try SingularValueDecomposition(destroying: matrix([], 0, 5))
        #expect(empty.rank == 0 && empty.numericalRank == 0)
    }
}
