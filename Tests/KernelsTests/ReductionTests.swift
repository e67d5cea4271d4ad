import Kernels
import TensorCore
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

    /// Bits of NaN, of the infinities and of the largest finite numbers, from the formats' definitions.
    @Test("among stored numbers, NaN and infinities are told apart wherever they are", arguments: 0..<35)
    func stored(place: Int) {
        func check<Bits: FixedWidthInteger & Sendable>(
            _ dtype: DType, fine: Bits, nan: [Bits], infinite: [Bits]
        ) {
            for (bits, expected) in nan.map({ ($0, NonFiniteCount(nan: 1, infinite: 0)) })
                + infinite.map({ ($0, NonFiniteCount(nan: 0, infinite: 1)) }) + [(fine, NonFiniteCount())]
            {
                var values = [Bits](repeating: fine, count: 36)
                values[place] = bits
                // At an odd address.
                values.withUnsafeBytes { bytes in
                    var shifted = [UInt8](repeating: 0, count: bytes.count + 1)
                    shifted.withUnsafeMutableBytes {
                        UnsafeMutableRawBufferPointer(rebasing: $0[1...]).copyMemory(from: bytes)
                    }
                    shifted.withUnsafeBytes {
                        let found = countNonFinite(UnsafeRawBufferPointer(rebasing: $0[1...]), dtype)
                        #expect(found == expected, "\(dtype) \(bits)")
                    }
                }
            }
        }
        check(.bf16, fine: 0xFF7F as UInt16, nan: [0x7F81, 0xFFFF], infinite: [0x7F80, 0xFF80])
        check(.f16, fine: 0xFBFF as UInt16, nan: [0x7C01, 0xFE00], infinite: [0x7C00, 0xFC00])
        check(
            .f32, fine: 0xFF7F_FFFF as UInt32, nan: [0x7F80_0001, 0xFFC0_0000], infinite: [0x7F80_0000, 0xFF80_0000])
        check(
            .f64, fine: 0xFFEF_FFFF_FFFF_FFFF as UInt64, nan: [0x7FF0_0000_0000_0001, 0xFFF8_0000_0000_0000],
            infinite: [0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000])
        check(.f8E4M3, fine: 0xFE as UInt8, nan: [0x7F, 0xFF], infinite: [])
        check(.f8E5M2, fine: 0xFB as UInt8, nan: [0x7D, 0xFF], infinite: [0x7C, 0xFC])
    }

    @Test("the difference of equal infinities is zero, of others what it is")
    func differences() {
        var x: [Double] = [.infinity, -.infinity, .infinity, .nan, 3]
        subtract([.infinity, -.infinity, -.infinity, 1, 1], from: &x, count: 5)
        #expect(x[0] == 0 && x[1] == 0 && x[2] == .infinity && x[3].isNaN && x[4] == 2)
    }
}
