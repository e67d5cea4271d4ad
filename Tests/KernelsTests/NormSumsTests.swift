import Kernels
import TensorCore
import Testing

@Suite("norms of stored numbers") struct NormSumsTests {
    static let dtypes: [DType] = [.f16, .bf16, .f32, .f64]

    /// Small integers, whose squares add up exactly in any order and have all types' precision.
    private func stored(_ values: [Double], _ dtype: DType) -> [UInt8] {
        // One byte in front, so that nothing is aligned.
        var bytes = [UInt8](repeating: 0xFF, count: 1 + values.count * dtype.bitWidth / 8)
        bytes.withUnsafeMutableBytes { target in
            values.withUnsafeBytes {
                _ = cast($0, from: .f64, to: UnsafeMutableRawBufferPointer(rebasing: target[1...]), as: dtype)
            }
        }
        return bytes
    }

    private func numbers(_ count: Int) -> [Double] { (0..<count).map { Double(($0 * 37) % 21 - 10) } }

    @Test("squares of every type at any address", arguments: dtypes, [0, 1, 31, 63, 64, 65, 4096, 4097, 9000])
    func squares(dtype: DType, count: Int) {
        let values = numbers(count)
        let expected = values.reduce(0) { $0 + $1 * $1 }
        stored(values, dtype).withUnsafeBytes { bytes in
            let bytes = UnsafeRawBufferPointer(rebasing: bytes[1...])
            var sums = NormSums()
            let isFinite = sums.add(bytes, dtype)
            #expect(isFinite)
            #expect(sums.squares == expected)
            #expect(sums.norm == expected.squareRoot())
            #expect(sums.nonFinite.isZero)
        }
    }

    @Test("numbers that are read are what is added", arguments: dtypes, [1, 63, 64, 2048, 2111])
    func reading(dtype: DType, count: Int) {
        var values = numbers(count)
        func check<T: ElementwiseScalar>(_ scalar: T.Type, isFinite: Bool) {
            stored(values, dtype).withUnsafeBytes { bytes in
                let bytes = UnsafeRawBufferPointer(rebasing: bytes[1...])
                var row = [T](repeating: -1, count: count)
                var (sums, added) = (NormSums(), NormSums())
                row.withUnsafeMutableBufferPointer { sums.read(bytes, dtype, into: $0) }
                #expect(row.map { Double($0) }.description == values.description)
                let isFound = added.add(bytes, dtype)
                #expect(isFound == isFinite)
                #expect(sums.squares.bitPattern == added.squares.bitPattern)
                #expect(sums.nonFinite == added.nonFinite)
            }
        }
        check(Float.self, isFinite: true)
        check(Double.self, isFinite: true)
        values[count / 2] = .nan
        values[0] = -.infinity
        check(Float.self, isFinite: false)
        check(Double.self, isFinite: false)
    }

    @Test("NaN and infinities are counted, and overflow of squares is none", arguments: dtypes)
    func nonFinite(dtype: DType) {
        var values = numbers(5000)
        values[7] = .nan
        values[4100] = .infinity
        values[4999] = -.infinity
        var sums = NormSums()
        stored(values, dtype).withUnsafeBytes { _ = sums.add(UnsafeRawBufferPointer(rebasing: $0[1...]), dtype) }
        #expect(sums.nonFinite == NonFiniteCount(nan: 1, infinite: 2))
        #expect(sums.squares.isNaN)
        // 2^15 in F16, 2^100 in BF16 and F32, beyond whose range the square lies, and 2^600 in F64.
        let exponents: [DType: Int] = [.f16: 15, .bf16: 100, .f32: 100, .f64: 600]
        let large = Double(sign: .plus, exponent: exponents[dtype] ?? 0, significand: 1)
        var finite = NormSums()
        stored([Double](repeating: large, count: 100), dtype).withUnsafeBytes {
            let isFinite = finite.add(UnsafeRawBufferPointer(rebasing: $0[1...]), dtype)
            #expect(isFinite)
        }
        #expect(finite.nonFinite.isZero)
        #expect(finite.squares == 100 * large * large)
    }
}
