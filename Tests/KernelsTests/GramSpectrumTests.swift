import Kernels
import TensorCore
import Testing

@Suite("spectra through Gram matrices") struct GramSpectrumTests {
    /// A matrix of given singular values: Householder reflections of two directions around a diagonal.
    struct Known {
        let rows: Int
        let columns: Int
        let u: [[Double]]
        let v: [[Double]]

        init(rows: Int, columns: Int, seed: Int) {
            self.rows = rows
            self.columns = columns
            u = Self.reflection(rows, seed: seed)
            v = Self.reflection(columns, seed: seed + 1)
        }

        /// I − 2 w wᵀ for a unit vector w: symmetric and orthogonal.
        private static func reflection(_ size: Int, seed: Int) -> [[Double]] {
            let generator = CounterGenerator(seed: UInt64(seed), stream: 3)
            let w = (0..<size).map { generator.uniform(UInt64($0)) - 0.3 }
            let square = w.reduce(0) { $0 + $1 * $1 }
            return (0..<size).map { i in (0..<size).map { j in (i == j ? 1 : 0) - 2 * w[i] * w[j] / square } }
        }

        /// Σ s_k u_k v_kᵀ over columns k of both reflections, from a place on.
        func matrix(_ values: [Double], from first: Int = 0) -> [Double] {
            (0..<rows * columns).map { place in
                values.indices.reduce(0) {
                    $0 + values[$1] * u[place / columns][first + $1] * v[place % columns][first + $1]
                }
            }
        }
    }

    func matrix(_ values: [Double], _ rows: Int, _ columns: Int) throws -> Matrix<Float> {
        let matrix = try Matrix<Float>(rows: rows, columns: columns)
        for (i, value) in values.enumerated() { matrix.pointer[i] = Float(value) }
        return matrix
    }

    @Test("a flat spectrum keeps the directions", arguments: [(7, 7), (30, 9), (6, 41), (1, 5), (600, 3)])
    func flat(rows: Int, columns: Int) throws {
        let known = Known(rows: rows, columns: columns, seed: rows)
        let order = min(rows, columns)
        let values = (0..<order).map { 0.5 + Double($0 * $0) }
        let matrix = try matrix(known.matrix(values), rows, columns)
        #expect(try flattenSpectrum(matrix, scaledBy: 2) == order)
        let mean = values.reduce(0, +) / Double(order)
        let expected = known.matrix(values.map { _ in 2 * mean })
        for (a, b) in zip(matrix.values, expected) { #expect(abs(Double(a) - b) < 1e-5 * mean) }
    }

    @Test("directions below the numerical rank stay out of a flat spectrum")
    func deficient() throws {
        let known = Known(rows: 20, columns: 8, seed: 5)
        let matrix = try matrix(known.matrix([3, 2, 1]), 20, 8)
        #expect(try flattenSpectrum(matrix, scaledBy: 1) == 3)
        for (a, b) in zip(matrix.values, known.matrix([0.75, 0.75, 0.75])) { #expect(abs(Double(a) - b) < 1e-6) }
        let zero = try Matrix<Float>(rows: 3, columns: 4)
        #expect(try flattenSpectrum(zero, scaledBy: 1) == 0)
        #expect(zero.values.allSatisfy { $0 == 0 })
        #expect(try flattenSpectrum(Matrix<Float>(rows: 0, columns: 4), scaledBy: 1) == 0)
    }

    @Test(
        "triplets of orthogonal matrices multiply back to the sum of their strongest", arguments: [(40, 12), (9, 33)])
    func triplets(rows: Int, columns: Int) throws {
        let known = Known(rows: rows, columns: columns, seed: 9)
        // Each matrix has three directions, of which the two strongest are taken; those of different matrices are
        // orthogonal, so that the polar factors are the vectors themselves.
        var triplets = try OrthogonalTriplets(rows: rows, columns: columns, capacity: 6)
        for matrix in 0..<3 {
            let values = try self.matrix(
                known.matrix([5 + Double(matrix), 3, 1], from: 3 * matrix), rows, columns)
            #expect(try triplets.append(values, wanted: 2) == 3)
        }
        #expect(triplets.count == 6)
        let result = try Matrix<Float>(rows: rows, columns: columns)
        try triplets.product(scaledBy: 0.5, into: result)
        let parts = (0..<3).map { known.matrix([5 + Double($0), 3], from: 3 * $0) }
        for i in 0..<rows * columns {
            #expect(abs(Double(result.pointer[i]) - 0.5 * parts.reduce(0) { $0 + $1[i] }) < 1e-5)
        }
    }

    @Test("the product of polar factors is that of single-precision decompositions", arguments: [(24, 16), (15, 31)])
    func againstSVD(rows: Int, columns: Int) throws {
        let generator = CounterGenerator(seed: 4, stream: 4)
        let matrices = (0..<3).map { k in
            (0..<rows * columns).map { generator.normalPair(UInt64(k * rows * columns + $0)).0 }
        }
        let share = min(rows, columns) / 3
        var triplets = try OrthogonalTriplets(rows: rows, columns: columns, capacity: 3 * share)
        var stack = try TripletStack(rows: rows, columns: columns, capacity: 3 * share)
        for matrix in matrices {
            _ = try triplets.append(self.matrix(matrix, rows, columns), wanted: share)
            stack.append(
                try SingularValueDecomposition(destroying: self.matrix(matrix, rows, columns)), count: share)
        }
        let result = try Matrix<Float>(rows: rows, columns: columns)
        try triplets.product(scaledBy: 1, into: result)
        let u = try stack.leftVectors()
        try replaceByPolarFactor(u)
        try replaceByPolarFactor(stack.vt, rows: stack.count)
        let expected = try Matrix<Float>(rows: rows, columns: columns)
        multiplyScaled(u, weights: stack.singularValues, stack.vt, inner: stack.count, into: expected)
        for (a, b) in zip(result.values, expected.values) { #expect(abs(a - b) < 2e-4) }
    }

    @Test("NaN is refused")
    func nan() throws {
        #expect(throws: DecompositionError.notFinite) {
            try flattenSpectrum(matrix([1, .nan], 1, 2), scaledBy: 1)
        }
        var triplets = try OrthogonalTriplets(rows: 1, columns: 2, capacity: 1)
        #expect(throws: DecompositionError.notFinite) { try triplets.append(matrix([.infinity, 1], 1, 2), wanted: 1) }
    }
}
