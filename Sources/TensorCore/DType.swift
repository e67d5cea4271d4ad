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
    public var bitWidth: Int { facts.bitWidth }

    /// Real floating point of any width, the narrow types included.
    public var isFloatingPoint: Bool { facts.kind == .float }

    /// Whole numbers and truth values.
    public var isInteger: Bool { facts.kind == .integer || facts.kind == .truth }

    /// Whether arithmetic is defined on the type; merging and casting need it.
    public var isComputable: Bool {
        switch self {
        case .f16, .bf16, .f32, .f64: true
        default: false
        }
    }

    /// Whether the type has infinities; one without has NaN for what is beyond its range, or the largest number.
    public var hasInfinity: Bool { isComputable || self == .f8E5M2 }

    /// The width in bytes of the unit whose bytes are swapped in big-endian data: half an element for complex types.
    public var scalarByteCount: Int { max(1, bitWidth / (facts.kind == .complex ? 16 : 8)) }

    /// What PyTorch calls the type, without `torch.`; nil when it has none.
    public var torchName: String? { facts.torch }

    /// What configurations and recipes call the type: as PyTorch does; nil when it does not compute.
    public var configName: String? { isComputable ? facts.torch : nil }

    /// The `descr` under which NumPy stores the type, lowest byte first; nil when it has none.
    public var numPyDescr: String? { facts.numPy }

    /// The number of the type in GGUF files; nil when they have none.
    public var ggmlNumber: UInt32? { facts.ggml }

    /// The largest finite number of a floating-point type; nil for other types.
    public var greatestFiniteMagnitude: Double? { facts.greatest }
}

/// What is known of a type of numbers, whoever stores them.
private struct NumberFacts {
    enum Kind { case truth, integer, float, complex }

    let kind: Kind
    let bitWidth: Int
    var torch: String?
    var numPy: String?
    var ggml: UInt32?
    var greatest: Double?
}

extension DType {
    /// The one table of number types.
    ///
    /// Sources: the lists of element types of safetensors, NumPy and PyTorch; `ggml.h` for the numbers of GGUF; OCP 8-bit Floating
    /// Point and Microscaling Formats 1.0, and arXiv:2206.02915 (FNUZ) for what the narrow types hold.
    private var facts: NumberFacts {
        switch self {
        case .bool: .init(kind: .truth, bitWidth: 8, torch: "bool", numPy: "|b1")
        case .u8: .init(kind: .integer, bitWidth: 8, torch: "uint8", numPy: "|u1")
        case .i8: .init(kind: .integer, bitWidth: 8, torch: "int8", numPy: "|i1", ggml: 24)
        case .u16: .init(kind: .integer, bitWidth: 16, torch: "uint16", numPy: "<u2")
        case .i16: .init(kind: .integer, bitWidth: 16, torch: "int16", numPy: "<i2", ggml: 25)
        case .u32: .init(kind: .integer, bitWidth: 32, torch: "uint32", numPy: "<u4")
        case .i32: .init(kind: .integer, bitWidth: 32, torch: "int32", numPy: "<i4", ggml: 26)
        case .u64: .init(kind: .integer, bitWidth: 64, torch: "uint64", numPy: "<u8")
        case .i64: .init(kind: .integer, bitWidth: 64, torch: "int64", numPy: "<i8", ggml: 27)
        case .f16: .init(kind: .float, bitWidth: 16, torch: "float16", numPy: "<f2", ggml: 1, greatest: 65504)
        case .bf16:
            .init(kind: .float, bitWidth: 16, torch: "bfloat16", ggml: 30, greatest: 0x1.fep127)
        case .f32:
            .init(kind: .float, bitWidth: 32, torch: "float32", numPy: "<f4", ggml: 0, greatest: 0x1.fffffep127)
        case .f64:
            .init(
                kind: .float, bitWidth: 64, torch: "float64", numPy: "<f8", ggml: 28,
                greatest: .greatestFiniteMagnitude)
        case .c64: .init(kind: .complex, bitWidth: 64, torch: "complex64", numPy: "<c8")
        case .c128: .init(kind: .complex, bitWidth: 128, torch: "complex128", numPy: "<c16")
        case .f8E4M3: .init(kind: .float, bitWidth: 8, torch: "float8_e4m3fn", greatest: 448)
        case .f8E5M2: .init(kind: .float, bitWidth: 8, torch: "float8_e5m2", greatest: 57344)
        case .f8E4M3FNUZ: .init(kind: .float, bitWidth: 8, torch: "float8_e4m3fnuz", greatest: 240)
        case .f8E5M2FNUZ: .init(kind: .float, bitWidth: 8, torch: "float8_e5m2fnuz", greatest: 57344)
        case .f8E8M0: .init(kind: .float, bitWidth: 8, torch: "float8_e8m0fnu", greatest: 0x1p127)
        case .f6E2M3: .init(kind: .float, bitWidth: 6, greatest: 7.5)
        case .f6E3M2: .init(kind: .float, bitWidth: 6, greatest: 28)
        case .f4: .init(kind: .float, bitWidth: 4, torch: "float4_e2m1fn_x2", greatest: 6)
        }
    }
}
