/// A way to store weights as codes of few bits with scales beside them.
public struct QuantizationScheme: Sendable, Hashable {
    /// What people call it, such as `fp8`.
    public let name: String
    /// How to get weights that can be computed with, as a sentence without an end.
    public let remedy: String

    private static let original = "use the BF16 or F16 model that it was quantised from"

    private init(_ name: String, transformers call: String? = nil) {
        self.name = name
        remedy = Self.original + (call.map { ", or load it in transformers \($0) and save that" } ?? "")
    }

    /// 8-bit floats with scales per tensor, row or block.
    static let fp8 = QuantizationScheme("fp8", transformers: "with FineGrainedFP8Config(dequantize=True)")
    /// 4-bit floats in blocks of 32 with a power of two each.
    static let mxfp4 = QuantizationScheme("mxfp4", transformers: "with Mxfp4Config(dequantize=True)")
    /// 4-bit floats in blocks of 16 with an 8-bit float each, and a scale of the whole.
    static let nvfp4 = QuantizationScheme("nvfp4")
    static let bitsandbytes8 = QuantizationScheme("bitsandbytes int8", transformers: "with model.dequantize()")
    static let bitsandbytes4 = QuantizationScheme("bitsandbytes 4-bit", transformers: "with model.dequantize()")
    static let gptq = QuantizationScheme("gptq")
    static let awq = QuantizationScheme("awq")
    static let hqq = QuantizationScheme("hqq")
    static let aqlm = QuantizationScheme("aqlm")
    static let quanto = QuantizationScheme("quanto")
    static let torchao = QuantizationScheme("torchao")
    static let mlx = QuantizationScheme("mlx")
    static let exl2 = QuantizationScheme("exl2")
    static let exl3 = QuantizationScheme("exl3")
    static let int8 = QuantizationScheme("int8")
    /// Integers of fewer than 8 bits, several in one stored number.
    static let packed = QuantizationScheme("packed integers")

    /// A scheme that is known by what a configuration calls it.
    static func named(_ method: String) -> QuantizationScheme {
        let method = method.lowercased()
        let known = [fp8, mxfp4, nvfp4, gptq, awq, hqq, aqlm, quanto, torchao, mlx, exl2, exl3, int8]
        return known.first { method == $0.name } ?? (method.contains("fp8") ? fp8 : QuantizationScheme(method))
    }
}
