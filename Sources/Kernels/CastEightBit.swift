import TensorCore

extension DType {
    /// Whether the type has so few values that they are looked up.
    var hasValueTable: Bool {
        switch self {
        case .f8E4M3, .f8E5M2, .f8E4M3FNUZ, .f8E5M2FNUZ, .f8E8M0: true
        default: false
        }
    }
}

/// The values of the eight-bit floating-point types by bit pattern; F32 holds each exactly.
///
/// Sources: Micikevicius et al. 2022, arXiv:2209.05433 (E4M3 without infinities, E5M2); Noune et al. 2022,
/// arXiv:2206.02915 (the FNUZ types: one zero, one NaN at 0x80, bias one higher); OCP Microscaling Formats 1.0 (E8M0).
private enum EightBitValues {
    static let e4M3 = table(exponentBits: 4, mantissaBits: 3, bias: 7) { bits in
        bits & 0x7F == 0x7F ? .nan : nil
    }
    static let e5M2 = table(exponentBits: 5, mantissaBits: 2, bias: 15) { bits in
        switch bits & 0x7F {
        case 0x7C: .infinity
        case 0x7D...0x7F: .nan
        default: nil
        }
    }
    static let e4M3FNUZ = table(exponentBits: 4, mantissaBits: 3, bias: 8) { $0 == 0x80 ? .nan : nil }
    static let e5M2FNUZ = table(exponentBits: 5, mantissaBits: 2, bias: 16) { $0 == 0x80 ? .nan : nil }
    static let e8M0 = (0...255).map { bits in
        bits == 255 ? Float.nan : Float(sign: .plus, exponent: bits - 127, significand: 1)
    }

    /// The values of all 256 patterns of a type.
    ///
    /// - Parameter special: the magnitude of the patterns that are not numbers of the regular kind.
    private static func table(
        exponentBits: Int, mantissaBits: Int, bias: Int, special: (Int) -> Float?
    ) -> [Float] {
        (0...255).map { bits in
            let exponent = bits >> mantissaBits & (1 << exponentBits - 1)
            let mantissa = Float(bits & (1 << mantissaBits - 1)) / Float(1 << mantissaBits)
            let regular =
                exponent == 0
                ? Float(sign: .plus, exponent: 1 - bias, significand: mantissa)
                : Float(sign: .plus, exponent: exponent - bias, significand: 1 + mantissa)
            let magnitude = special(bits) ?? regular
            return bits & 0x80 == 0 ? magnitude : -magnitude
        }
    }
}

/// Widens 8-bit floating-point values by a table.
///
/// - Precondition: `dtype.hasValueTable`.
func lookUpF8(
    _ source: UnsafeRawPointer, _ dtype: DType, count: Int, to destination: UnsafeMutablePointer<Float>
) {
    let table =
        switch dtype {
        case .f8E4M3: EightBitValues.e4M3
        case .f8E5M2: EightBitValues.e5M2
        case .f8E4M3FNUZ: EightBitValues.e4M3FNUZ
        case .f8E5M2FNUZ: EightBitValues.e5M2FNUZ
        case .f8E8M0: EightBitValues.e8M0
        default: preconditionFailure("not an eight-bit floating-point type")
        }
    let bytes = source.assumingMemoryBound(to: UInt8.self)
    table.withUnsafeBufferPointer { table in
        for i in 0..<count { destination[i] = table[Int(bytes[i])] }
    }
}
