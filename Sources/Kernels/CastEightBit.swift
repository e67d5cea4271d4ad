import TensorCore

extension DType {
    /// Whether the values of the type are looked up: eight-bit floats that are only read.
    var hasValueTable: Bool {
        switch self {
        case .f8E4M3FNUZ, .f8E5M2FNUZ, .f8E8M0: true
        default: false
        }
    }
}

/// The values of eight-bit floating-point types by bit pattern; F32 holds each exactly.
///
/// Sources: Noune et al. 2022, arXiv:2206.02915 (the FNUZ types: one zero, one NaN at 0x80, bias one higher); OCP Microscaling
/// Formats 1.0 (E8M0).
private enum EightBitValues {
    static let e4M3FNUZ = table(exponentBits: 4, mantissaBits: 3, bias: 8)
    static let e5M2FNUZ = table(exponentBits: 5, mantissaBits: 2, bias: 16)
    static let e8M0 = (0...255).map { bits in
        bits == 255 ? Float.nan : Float(sign: .plus, exponent: bits - 127, significand: 1)
    }

    /// The values of all 256 patterns of a type whose negative zero is NaN.
    private static func table(exponentBits: Int, mantissaBits: Int, bias: Int) -> [Float] {
        (0...255).map { bits in
            if bits == 0x80 { return .nan }
            let exponent = bits >> mantissaBits & (1 << exponentBits - 1)
            let mantissa = Float(bits & (1 << mantissaBits - 1)) / Float(1 << mantissaBits)
            let magnitude =
                exponent == 0
                ? Float(sign: .plus, exponent: 1 - bias, significand: mantissa)
                : Float(sign: .plus, exponent: exponent - bias, significand: 1 + mantissa)
            return bits & 0x80 == 0 ? magnitude : -magnitude
        }
    }
}

/// Widens 8-bit floating-point values by a table.
///
/// - Precondition: `dtype.hasValueTable`.
func lookUpF8(
    _ source: UnsafeRawPointer, _ dtype: DType, count: Int, to destination: UnsafeMutableRawPointer
) {
    let table =
        switch dtype {
        case .f8E4M3FNUZ: EightBitValues.e4M3FNUZ
        case .f8E5M2FNUZ: EightBitValues.e5M2FNUZ
        case .f8E8M0: EightBitValues.e8M0
        default: preconditionFailure("the type has no table")
        }
    let bytes = source.assumingMemoryBound(to: UInt8.self)
    table.withUnsafeBufferPointer { table in
        for i in 0..<count {
            destination.storeBytes(of: table[Int(bytes[i])], toByteOffset: 4 &* i, as: Float.self)
        }
    }
}
