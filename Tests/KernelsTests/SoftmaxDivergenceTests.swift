import Foundation
import Kernels
import Testing

/// Against the definition, with the exponentials and logarithms of the system.
@Suite("divergence of rows") struct SoftmaxDivergenceTests {
    private static func row(_ count: Int, seed: UInt64, scale: Double) -> [Double] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return scale * (Double(state >> 11) / Double(1 << 52) - 1)
        }
    }

    private static func expected(_ x: [Double], _ y: [Double]) -> Double {
        func shares(_ row: [Double]) -> [Double] {
            let finite = row.filter(\.isFinite)
            let largest = finite.max() ?? 0
            let sum = finite.reduce(0) { $0 + exp($1 - largest) }
            return row.map { exp($0 - largest) / sum + 1e-8 }
        }
        return zip(zip(shares(x), shares(y)), zip(x, y)).reduce(0) { sum, entry in
            let ((p, q), (x, y)) = entry
            return x.isFinite && y.isFinite ? sum + p * log(p / q) : sum
        }
    }

    private func found<T: ElementwiseScalar>(_ x: [T], _ y: [T]) -> [Double] {
        var space = [Double](repeating: 0, count: 2 * x.count)
        let whole = T.rowDivergence(of: x, from: y, count: x.count, space: &space)
        // The same in two pieces.
        let cut = x.count / 3
        let (a, b) = ((Array(x[..<cut]), Array(y[..<cut])), (Array(x[cut...]), Array(y[cut...])))
        var (xSum, ySum) = (ExponentialSum(), ExponentialSum())
        for piece in [a, b] {
            xSum.add(piece.0, count: piece.0.count)
            var other = ExponentialSum()
            other.add(piece.1, count: piece.1.count)
            ySum.add(other)
        }
        let parts = [a, b].reduce(0) {
            $0 + divergence(of: $1.0, from: $1.1, count: $1.0.count, sums: xSum, ySum)
        }
        return [whole, parts]
    }

    /// Rows that are nearly equal, apart, and so far apart that shares vanish.
    @Test(
        "is that of the definition, whole and in pieces", arguments: [1, 8, 255, 256, 257, 3000],
        [(0.02, 0.002), (1, 1), (40, 40), (800, 800)])
    func definition(count: Int, scales: (row: Double, change: Double)) {
        let x = Self.row(count, seed: 1, scale: scales.row)
        let y = zip(x, Self.row(count, seed: 2, scale: scales.change)).map { $0 + $1 }
        let expected = Self.expected(x, y)
        for value in found(x, y) { #expect(abs(value - expected) <= 1e-9 * abs(expected) + 1e-14) }
        let (narrowX, narrowY) = (x.map(Float.init), y.map(Float.init))
        let narrow = Self.expected(narrowX.map(Double.init), narrowY.map(Double.init))
        for value in found(narrowX, narrowY) { #expect(abs(value - narrow) <= 1e-9 * abs(narrow) + 1e-14) }
    }

    @Test("what is not finite counts nothing")
    func notFinite() {
        var (x, y) = (Self.row(300, seed: 3, scale: 1), Self.row(300, seed: 4, scale: 1))
        (x[0], x[17], y[5], y[299], x[256]) = (.nan, .infinity, -.infinity, .nan, -.infinity)
        let expected = Self.expected(x, y)
        #expect(expected.isFinite)
        for value in found(x, y) { #expect(abs(value - expected) <= 1e-9 * abs(expected)) }
        for value in found([Float.nan, .infinity], [Float.nan, 1]) { #expect(value == 0) }
    }
}
