import Kernels
import TensorCore
import TestSupport
import Testing

/// Against the values that PyTorch gives the patterns, and the definition of rounding.
@Suite("casts of F8_E4M3 and F8_E5M2") struct EightBitCastTests {
    /// A type by PyTorch's values of its patterns, and by what its largest number is followed by where there is no end to exponents.
    struct EightBitType: CustomStringConvertible {
        let dtype: DType
        /// The values of the patterns from 0 on up to the largest number, and the one after it.
        let magnitudes: [Double]
        var description: String { dtype.rawValue }
        var special: Int { magnitudes.count - 1 }

        init(_ dtype: DType, place: Int, special: Int, beyond: Double) throws {
            self.dtype = dtype
            let file = try MappedFile(Fixtures.path("parity/kernels/eight_bit_values.bin"))
            magnitudes =
                (0..<special).map {
                    Double(file.bytes.loadUnaligned(fromByteOffset: place * 1024 + 4 * $0, as: Float.self))
                } + [beyond]
        }

        /// The pattern that a number rounds to: the one at the least distance, of two the even one.
        func nearest(_ value: Double) -> Int {
            let sign = value.sign == .minus ? 0x80 : 0
            if value.isNaN { return sign | 0x7F }
            let above = magnitudes.firstIndex { $0 >= abs(value) } ?? special
            guard above > 0, value.isFinite else { return sign | above }
            let (low, high) = (abs(value) - magnitudes[above - 1], magnitudes[above] - abs(value))
            let isHigh = high < low || high == low && above % 2 == 0
            return sign | (isHigh ? above : above - 1)
        }

        func losses(of values: [Double]) -> CastLosses {
            let hasInfinity = dtype == .f8E5M2
            return CastLosses(
                overflowCount: values.count {
                    nearest($0) & 0x7F == special && !$0.isNaN && !($0.isInfinite && hasInfinity)
                },
                underflowCount: values.count { nearest($0) & 0x7F == 0 && $0 != 0 })
        }
    }

    static let types = Result {
        [
            try EightBitType(.f8E4M3, place: 0, special: 0x7F, beyond: 480),
            try EightBitType(.f8E5M2, place: 1, special: 0x7C, beyond: 65_536),
        ]
    }

    /// Casts elements, which may be given as their bytes.
    private func cast<A>(_ values: [A], _ source: DType, to type: DType) -> (patterns: [UInt8], losses: CastLosses) {
        let count = values.count * MemoryLayout<A>.stride * 8 / source.bitWidth
        var patterns = [UInt8](repeating: 0, count: count * type.bitWidth / 8)
        let losses = values.withUnsafeBytes { input in
            patterns.withUnsafeMutableBytes { Kernels.cast(input, from: source, to: $0, as: type) }
        }
        return (patterns, losses)
    }

    private func doubles<A>(_ values: [A], _ source: DType) -> [Double] {
        let bytes = cast(values, source, to: .f64).patterns
        return bytes.withUnsafeBytes { Array($0.bindMemory(to: Double.self)) }
    }

    /// The first places where patterns are not as they should be; of NaN only the sign counts.
    private func wrong(_ patterns: [UInt8], _ values: [Double], _ type: EightBitType) -> [Int] {
        let places = values.indices.filter { place in
            let (pattern, value) = (Int(patterns[place]), values[place])
            if !value.isNaN { return pattern != type.nearest(value) }
            let isNaN = type.dtype == .f8E4M3 ? pattern & 0x7F == 0x7F : pattern & 0x7F > 0x7C
            return !isNaN || pattern & 0x80 != (value.sign == .minus ? 0x80 : 0)
        }
        return Array(places.prefix(5))
    }

    @Test("every pattern comes back bit for bit through the wider types")
    func everyPattern() {
        let patterns = (0...255).map { UInt8($0) }
        for type in [DType.f8E4M3, .f8E5M2] {
            for wide in [DType.f16, .bf16, .f32, .f64] {
                let there = cast(patterns, type, to: wide)
                let back = cast(there.patterns, wide, to: type)
                #expect(there.losses.isZero && back.losses.isZero)
                // F64 makes the one signalling NaN of E5M2 quiet.
                let isQuieted = type == .f8E5M2 && wide == .f64
                let expected = patterns.map { isQuieted && $0 & 0x7F == 0x7D ? $0 | 0x02 : $0 }
                #expect(back.patterns == expected, "\(type) through \(wide)")
            }
        }
    }

    @Test("every F16 and BF16 pattern rounds to the nearest value", arguments: [DType.f16, .bf16])
    func everyShortPattern(source: DType) throws {
        let patterns = (0...UInt32(UInt16.max)).map { UInt16($0) }
        let values = doubles(patterns, source)
        for type in try Self.types.get() {
            let result = cast(patterns, source, to: type.dtype)
            #expect(wrong(result.patterns, values, type) == [], "\(source) to \(type)")
            #expect(result.losses == type.losses(of: values), "\(source) to \(type)")
        }
    }

    @Test("F32 and F64 beside every tie round once")
    func ties() throws {
        for type in try Self.types.get() {
            let ties = zip(type.magnitudes, type.magnitudes.dropFirst()).map { ($0 + $1) / 2 }
            let singles = ties.map { Float($0) }.flatMap {
                [$0, $0.nextUp, $0.nextDown, -$0, -$0.nextUp, -$0.nextDown]
            }
            let fromSingle = cast(singles, .f32, to: type.dtype)
            #expect(wrong(fromSingle.patterns, singles.map(Double.init), type) == [], "\(type)")
            #expect(fromSingle.losses == type.losses(of: singles.map(Double.init)), "\(type)")
            // F32 cannot tell these from the tie.
            let doubles = ties.flatMap { [$0, $0.nextUp, $0.nextDown, -$0, -$0.nextUp, -$0.nextDown] }
            let fromDouble = cast(doubles, .f64, to: type.dtype)
            #expect(wrong(fromDouble.patterns, doubles, type) == [], "\(type)")
            #expect(fromDouble.losses == type.losses(of: doubles), "\(type)")
            #expect(fromDouble.losses.overflowCount > 0 && fromDouble.losses.underflowCount > 0)
        }
    }

    /// E4M3 has one NaN of each sign, and infinities become it; E5M2 keeps two bits of the payload, or is quiet.
    @Test("what is no number stays none")
    func special() {
        let bits: [UInt32] = [0x7F80_0000, 0xFF80_0000, 0x7F80_0001, 0xFFA0_0000, 0x7FE0_0000, 0x7FC1_2345]
        let e4m3 = cast(bits, .f32, to: .f8E4M3)
        #expect(e4m3.patterns == [0x7F, 0xFF, 0x7F, 0xFF, 0x7F, 0x7F])
        #expect(e4m3.losses == CastLosses(overflowCount: 2, underflowCount: 0))
        let e5m2 = cast(bits, .f32, to: .f8E5M2)
        #expect(e5m2.patterns == [0x7C, 0xFC, 0x7E, 0xFD, 0x7F, 0x7E])
        #expect(e5m2.losses.isZero)
        // Among thousands of numbers that take the short way.
        var many = [UInt32](repeating: 0x3F80_0000, count: 5000)
        many[4321] = 0xFF80_0001
        #expect(cast(many, .f32, to: .f8E5M2).patterns[4321] == 0xFE)
        #expect(cast(many, .f32, to: .f8E4M3).patterns[4321] == 0xFF)
    }
}
