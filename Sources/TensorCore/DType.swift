/// The element type of a tensor, named as safetensors names it.
///
/// `F16`, `BF16`, `F32` and `F64` compute; every other type is carried bit for bit.
public enum DType: String, Sendable, CaseIterable, Hashable {
    case bool = "BOOL"
    case f4 = "F4"
    case f6E2M3 = "F6_E2M3"
    case f6E3M2 = "F6_E3M2"
    case u8 = "U8"
    case i8 = "I8"
    case f8E5M2 = "F8_E5M2"
    case f8E4M3 = "F8_E4M3"
    case f8E8M0 = "F8_E8M0"
    case f8E4M3FNUZ = "F8_E4M3FNUZ"
    case f8E5M2FNUZ = "F8_E5M2FNUZ"
    case i16 = "I16"
    case u16 = "U16"
    case f16 = "F16"
    case bf16 = "BF16"
    case i32 = "I32"
    case u32 = "U32"
    case f32 = "F32"
    case c64 = "C64"
    case f64 = "F64"
    case i64 = "I64"
    case u64 = "U64"
    case c128 = "C128"

    /// Width of one element in bits; four and six for the packed sub-byte types.
    public var bitWidth: Int {
        switch self {
        case .f4: 4
        case .f6E2M3, .f6E3M2: 6
        case .bool, .u8, .i8, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ: 8
        case .i16, .u16, .f16, .bf16: 16
        case .i32, .u32, .f32: 32
        case .c64, .f64, .i64, .u64: 64
        case .c128: 128
        }
    }

    /// Real floating point of any width, the narrow types included.
    public var isFloatingPoint: Bool {
        switch self {
        case .f4, .f6E2M3, .f6E3M2, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ, .f16, .bf16, .f32, .f64: true
        case .bool, .u8, .i8, .i16, .u16, .i32, .u32, .i64, .u64, .c64, .c128: false
        }
    }

    /// Whole numbers and truth values.
    public var isInteger: Bool {
        switch self {
        case .bool, .u8, .i8, .i16, .u16, .i32, .u32, .i64, .u64: true
        default: false
        }
    }

    /// Whether arithmetic is defined on the type; merging and casting need it.
    public var isComputable: Bool {
        switch self {
        case .f16, .bf16, .f32, .f64: true
        default: false
        }
    }

    /// The width in bytes of the unit whose bytes are swapped in big-endian data: half an element for complex types.
    public var scalarByteCount: Int {
        switch self {
        case .c64: 4
        case .c128: 8
        default: max(1, bitWidth / 8)
        }
    }
}
