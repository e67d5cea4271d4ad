import Kernels
import Testing

@Suite("elementwise and reductions") struct ReductionTests {
    @Test("sums, products and extremes of any length", arguments: [0, 1, 7, 8, 9, 31, 1000])
    func reductions(count: Int) {
        // Small integers and halves, whose sums are exact in any order.
        let x = (0..<count).map { Float(($0 * 37) % 101 - 50) / 2 }
        let y = (0..<count).map { Float(($0 * 53) % 89 - 44) }
        let wide = x.map(Double.init)
        #expect(dotProduct(x, y, count: count) == zip(x, y).reduce(0) { $0 + Double($1.0) * Double($1.1) })
        #expect(sumOfSquares(x, count: count) == wide.reduce(0) { $0 + $1 * $1 })
        #expect(sum(wide, count: count) == wide.reduce(0, +))
        #expect(
            sumOfSquares(wide, minus: 1.5, scale: 2, count: count)
                == wide.reduce(0) { $0 + (2 * $1 - 3) * (2 * $1 - 3) })
        let found = extremes(wide, count: count)
        #expect(found == (wide.min() ?? .infinity, wide.max() ?? -.infinity))
    }

    @Test("squares of BF16 at any address", arguments: [1, 15, 16, 17, 4096])
    func squaresOfBFloats(count: Int) throws {
        // Squares of up to 100, whose sums are exact in F32.
        let x = (0..<count).map { Float(($0 * 37) % 21 - 10) }
        func sum(_ x: [Float]) -> Double? {
            var bytes: [UInt8] = [0xFF]
            for value in x { withUnsafeBytes(of: value) { bytes += $0[2...] } }
            return bytes.withUnsafeBytes { sumOfSquares(bfloats: UnsafeRawBufferPointer(rebasing: $0[1...])) }
        }
        #expect(sum(x) == x.reduce(0) { $0 + Double($1) * Double($1) })
        #expect((sum(x.map { $0 * 0x1p70 }) == nil) == (count >= 16))
        #expect(sum(x.map { $0 * 0x1p-70 }) == nil)
        #expect(sum(x + [.nan]) == nil)
        #expect(sum(x + [.infinity]) == nil)
        #expect(sum([]) == 0)
    }

    @Test("non-finite numbers are told apart wherever they are", arguments: [0, 3, 8, 30])
    func nonFinite(place: Int) {
        var values = [Float](repeating: .greatestFiniteMagnitude, count: 31)
        #expect(countNonFinite(values, count: 31) == (0, 0))
        values[place] = .nan
        #expect(!isFinite(values, count: 31))
        #expect(countNonFinite(values, count: 31) == (1, 0))
        var wide = [Double](repeating: -.greatestFiniteMagnitude, count: 31)
        #expect(isFinite(wide, count: 31))
        wide[place] = -.infinity
        #expect(countNonFinite(wide, count: 31) == (0, 1))
    }

    @Test("the difference of equal infinities is zero, of others what it is")
    func differences() {
        var x: [Double] = [.infinity, -.infinity, .infinity, .nan, 3]
        subtract([.infinity, -.infinity, -.infinity, 1, 1], from: &x, count: 5)
        #expect(x[0] == 0 && x[1] == 0 && x[2] == .infinity && x[3].isNaN && x[4] == 2)
    }
}
