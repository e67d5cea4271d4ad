import Kernels
import TensorCore
import TestSupport
import Testing

@Suite("cast") struct CastTests {
    /// Converts an array through buffers whose addresses are odd.
    func convert<A, B>(_ values: [A], _ from: DType, _ to: DType, as type: B.Type) -> (values: [B], losses: CastLosses)
    {
        var input = [UInt8](repeating: 0, count: values.count * MemoryLayout<A>.stride + 1)
        values.withUnsafeBytes { bytes in for i in bytes.indices { input[i + 1] = bytes[i] } }
        var output = [UInt8](repeating: 0, count: values.count * MemoryLayout<B>.stride + 1)
        let losses = input.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { output in
                cast(
                    UnsafeRawBufferPointer(rebasing: input[1...]), from: from,
                    to: UnsafeMutableRawBufferPointer(rebasing: output[1...]), as: to)
            }
        }
        let result = output.withUnsafeBytes { output in
            (0..<values.count).map { output.loadUnaligned(fromByteOffset: 1 + $0 * MemoryLayout<B>.stride, as: B.self) }
        }
        return (result, losses)
    }

    let allPatterns = (0...UInt32(UInt16.max)).map { UInt16($0) }

    @Test("every F16 pattern widens to the standard library's value and comes back bit for bit")
    func everyHalf() {
        let wide = convert(allPatterns, .f16, .f32, as: Float.self).values
        let double = convert(allPatterns, .f16, .f64, as: Double.self).values
        for (bits, (value, long)) in zip(allPatterns, zip(wide, double)) {
            let expected = Float16(bitPattern: bits)
            if expected.isNaN {
                #expect(value.isNaN && long.isNaN)
                #expect(value.bitPattern >> 13 & 0x3FF == UInt32(bits & 0x3FF), "payload of \(bits)")
            } else {
                #expect(value.bitPattern == Float(expected).bitPattern)
                #expect(long.bitPattern == Double(expected).bitPattern)
            }
        }
        let back = convert(wide, .f32, .f16, as: UInt16.self)
        #expect(back.values == allPatterns)
        #expect(back.losses.isZero)
    }

    @Test("every BF16 pattern widens to the value its fields spell and comes back bit for bit")
    func everyBrain() {
        let wide = convert(allPatterns, .bf16, .f32, as: Float.self).values
        for (bits, value) in zip(allPatterns, wide) {
            let exponent = Int(bits >> 7 & 0xFF)
            let fraction = Double(bits & 0x7F) / 128
            if exponent == 255 {
                #expect(fraction == 0 ? value.isInfinite : value.isNaN)
                continue
            }
            let scale = Double(sign: .plus, exponent: max(exponent, 1) - 127, significand: 1)
            let magnitude = (exponent == 0 ? fraction : 1 + fraction) * scale
            #expect(Double(value) == (bits & 0x8000 == 0 ? magnitude : -magnitude))
            #expect((value.sign == .minus) == (bits & 0x8000 != 0))
        }
        let back = convert(wide, .f32, .bf16, as: UInt16.self)
        #expect(back.values == allPatterns)
        #expect(back.losses.isZero)
    }

    @Test("F32 rounds to F16 as the standard library does, over all exponents")
    func roundToHalf() {
        var bits: UInt32 = 0
        var values: [Float] = []
        while bits < 0x7F80_0000 {
            values.append(Float(bitPattern: bits))
            bits += 10_007
        }
        let rounded = convert(values, .f32, .f16, as: UInt16.self)
        var expected = CastLosses()
        for (value, half) in zip(values, rounded.values) {
            #expect(half == Float16(value).bitPattern)
            if Float16(value).isInfinite { expected.overflowCount += 1 }
            if Float16(value) == 0, value != 0 { expected.underflowCount += 1 }
        }
        #expect(rounded.losses == expected)
        #expect(expected.overflowCount > 0 && expected.underflowCount > 0)
    }

    @Test("F64 rounds to F16, BF16 and F32 once")
    func roundOnce() throws {
        let file = try MappedFile(Fixtures.path("parity/kernels/rounding.bin"))
        let count = file.bytes.loadUnaligned(as: Int.self)
        try #require(count > 5_000 && file.byteCount == 8 + 12 * count)
        let values = (0..<count).map { file.bytes.loadUnaligned(fromByteOffset: 8 + 8 * $0, as: Double.self) }
        func patterns(at offset: Int) -> [UInt16] {
            (0..<count).map { file.bytes.loadUnaligned(fromByteOffset: offset + 2 * $0, as: UInt16.self) }
        }
        let half = convert(values, .f64, .f16, as: UInt16.self)
        let brain = convert(values, .f64, .bf16, as: UInt16.self)
        let expectedHalf = patterns(at: 8 + 8 * count)
        let expectedBrain = patterns(at: 8 + 10 * count)
        #expect(half.values == expectedHalf)
        #expect(brain.values == expectedBrain)
        let infinities = values.count { $0.isInfinite }
        let zeros = values.count { $0 == 0 }
        func losses(_ patterns: [UInt16], infinity: UInt16) -> CastLosses {
            CastLosses(
                overflowCount: patterns.count { $0 & 0x7FFF == infinity } - infinities,
                underflowCount: patterns.count { $0 & 0x7FFF == 0 } - zeros)
        }
        #expect(half.losses == losses(expectedHalf, infinity: 0x7C00))
        #expect(brain.losses == losses(expectedBrain, infinity: 0x7F80))
        let single = convert(values, .f64, .f32, as: Float.self)
        #expect(single.values == values.map(Float.init))
        #expect(single.losses.overflowCount == values.count { $0.isFinite && Float($0).isInfinite })
        #expect(single.losses.underflowCount == values.count { $0 != 0 && Float($0) == 0 })
    }

    @Test("every eight-bit float has PyTorch's value")
    func eightBit() throws {
        let file = try MappedFile(Fixtures.path("parity/kernels/eight_bit_values.bin"))
        let types: [DType] = [.f8E4M3, .f8E5M2, .f8E4M3FNUZ, .f8E5M2FNUZ, .f8E8M0]
        try #require(file.byteCount == types.count * 1024)
        let patterns = (0...255).map { UInt8($0) }
        for (place, type) in types.enumerated() {
            let values = convert(patterns, type, .f32, as: Float.self).values
            for (bits, value) in zip(patterns, values) {
                let offset = place * 1024 + 4 * Int(bits)
                let expected = file.bytes.loadUnaligned(fromByteOffset: offset, as: Float.self)
                #expect(expected.isNaN ? value.isNaN : value.bitPattern == expected.bitPattern, "\(type) \(bits)")
            }
        }
    }

    @Test("a NaN stays a NaN with the upper bits of its payload")
    func nan() {
        let patterns: [UInt32] = [0x7FC0_0000, 0x7F80_0001, 0xFFA0_0000, 0x7F80_8000, 0xFFC1_2345, 0x7FFF_FFFF]
        let values = patterns.map { Float(bitPattern: $0) }
        let brain = convert(values, .f32, .bf16, as: UInt16.self)
        // 0x7F80_0001 has its payload in the lower half only, so the quiet bit takes its place.
        #expect(brain.values == [0x7FC0, 0x7FC0, 0xFFA0, 0x7FC0, 0xFFC1, 0x7FFF])
        let half = convert(values, .f32, .f16, as: UInt16.self)
        // The payload's ten upper bits; none is left of the second, the fourth keeps 0x8000 >> 13.
        #expect(half.values == [0x7E00, 0x7E00, 0xFD00, 0x7C04, 0xFE09, 0x7FFF])
        #expect(brain.losses.isZero && half.losses.isZero)
        for type in [DType.f16, .bf16] {
            let fromDouble = convert([Double.nan, -Double.nan], .f64, type, as: UInt16.self)
            let infinity: UInt16 = type == .f16 ? 0x7C00 : 0x7F80
            #expect(fromDouble.values.allSatisfy { $0 & 0x7FFF > infinity })
            #expect(fromDouble.losses.isZero)
        }
    }

    @Test("the 16-bit types convert into each other with one rounding and count what is lost")
    func betweenSixteenBitTypes() {
        // 65,536 and the largest BF16 exceed F16; 2^-25 is a tie that goes to zero; infinity was infinite before.
        let brain: [UInt16] = [0x3F80, 0x4780, 0x7F7F, 0x3300, 0x7F80, 0x8000]
        let half = convert(brain, .bf16, .f16, as: UInt16.self)
        #expect(half.values == [0x3C00, 0x7C00, 0x7C00, 0x0000, 0x7C00, 0x8000])
        #expect(half.losses == CastLosses(overflowCount: 2, underflowCount: 1))
        // 1 + 2^-8 is a tie between 1 and 1 + 2^-7 and goes to the even one.
        let back = convert([UInt16(0x3C04), 0x3C0C], .f16, .bf16, as: UInt16.self)
        #expect(back.values == [0x3F80, 0x3F82])
    }

    @Test("equal types copy every byte, also of types that do not compute")
    func sameType() {
        let bytes = (0...255).map { UInt8($0) }
        #expect(convert(bytes, .u8, .u8, as: UInt8.self).values == bytes)
        #expect(convert(bytes, .f8E4M3, .f8E4M3, as: UInt8.self).values == bytes)
        let signalling: [UInt32] = [0x7F80_0001, 0xFF80_0001]
        #expect(convert(signalling, .f32, .f32, as: UInt32.self).values == signalling)
    }

    @Test("buffers longer than a block and empty ones convert")
    func lengths() {
        for count in [0, 1, 4095, 4096, 4097, 10_000] {
            let values = (0..<count).map { Float($0) * 0.25 - 100 }
            let wide = convert(values, .f32, .f64, as: Double.self).values
            #expect(wide == values.map(Double.init))
            #expect(convert(wide, .f64, .f32, as: Float.self).values == values)
            var widened = [Float](repeating: 0, count: count)
            wide.withUnsafeBytes { bytes in widened.withUnsafeMutableBufferPointer { widen(bytes, .f64, into: $0) } }
            #expect(widened == values)
        }
    }
}
