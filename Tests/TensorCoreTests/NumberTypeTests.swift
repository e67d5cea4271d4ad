import TensorCore
import Testing

@Suite struct NumberTypeTests {
    /// The names are those of `torch`, the descriptions those of `numpy.dtype(...).str`, the numbers those of `ggml_type`.
    @Test(
        arguments: [
            ("F32", "float32", "<f4", 0), ("F16", "float16", "<f2", 1), ("BF16", "bfloat16", nil, 30),
            ("F64", "float64", "<f8", 28), ("I8", "int8", "|i1", 24), ("I64", "int64", "<i8", 27),
            ("U16", "uint16", "<u2", nil),
            ("BOOL", "bool", "|b1", nil), ("C64", "complex64", "<c8", nil), ("F8_E4M3", "float8_e4m3fn", nil, nil),
            ("F8_E8M0", "float8_e8m0fnu", nil, nil), ("F6_E2M3", nil, nil, nil),
        ] as [(String, String?, String?, UInt32?)])
    func isCalledAsOthersCallIt(name: String, torch: String?, numPy: String?, ggml: UInt32?) throws {
        let dtype = try #require(DType(rawValue: name))
        #expect(dtype.torchName == torch)
        #expect(dtype.numPyDescr == numPy)
        #expect(dtype.ggmlNumber == ggml)
    }

    /// `torch.finfo(...).max`.
    @Test(
        arguments: [
            (DType.f16, 65504), (.bf16, 3.3895313892515355e+38), (.f32, 3.4028234663852886e+38), (.f8E4M3, 448),
            (.f8E5M2, 57344), (.f8E4M3FNUZ, 240), (.f8E5M2FNUZ, 57344), (.i8, nil),
        ] as [(DType, Double?)])
    func reachesAsFarAsOthersSay(dtype: DType, greatest: Double?) {
        #expect(dtype.greatestFiniteMagnitude == greatest)
    }
}
