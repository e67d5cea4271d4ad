import CKernels
import TensorCore

extension BlockType {
    private typealias Decoder = (UnsafeRawPointer, Int, UnsafeMutablePointer<Float>) -> Void

    /// Whether blocks of the type can be turned into numbers: all but the types that only stand between others in memory (Q8_1, Q8_K)
    /// and Q1_0, which the Python package gguf 0.19 does not decode either.
    public var isDecodable: Bool { decoder != nil }

    /// Turns blocks into numbers, to the bits of the Python package gguf.
    ///
    /// - Shapes: `out` has room for `elementCount` numbers for each block.
    /// - Precondition: the type is decodable and `blocks` holds whole blocks.
    package func dequantize(_ blocks: UnsafeRawBufferPointer, into out: UnsafeMutablePointer<Float>) {
        guard let decoder else { preconditionFailure("\(rawValue) cannot be decoded") }
        precondition(blocks.count % byteCount == 0, "part of a block")
        // Safety: the decoder reads the bytes of that many blocks and writes their elements.
        if let start = blocks.baseAddress { decoder(start, blocks.count / byteCount, out) }
    }

    private var decoder: Decoder? {
        switch self {
        case .q4_0: untangle_dequantize_q4_0
        case .q4_1: untangle_dequantize_q4_1
        case .q5_0: untangle_dequantize_q5_0
        case .q5_1: untangle_dequantize_q5_1
        case .q8_0: untangle_dequantize_q8_0
        case .q2K: untangle_dequantize_q2_k
        case .q3K: untangle_dequantize_q3_k
        case .q4K: untangle_dequantize_q4_k
        case .q5K: untangle_dequantize_q5_k
        case .q6K: untangle_dequantize_q6_k
        case .iq2XXS: untangle_dequantize_iq2_xxs
        case .iq2XS: untangle_dequantize_iq2_xs
        case .iq3XXS: untangle_dequantize_iq3_xxs
        case .iq1S: untangle_dequantize_iq1_s
        case .iq4NL: untangle_dequantize_iq4_nl
        case .iq3S: untangle_dequantize_iq3_s
        case .iq2S: untangle_dequantize_iq2_s
        case .iq4XS: untangle_dequantize_iq4_xs
        case .iq1M: untangle_dequantize_iq1_m
        case .tq1_0: untangle_dequantize_tq1_0
        case .tq2_0: untangle_dequantize_tq2_0
        case .mxfp4: untangle_dequantize_mxfp4
        case .nvfp4: untangle_dequantize_nvfp4
        case .q8_1, .q8K, .q1_0: nil
        }
    }

    /// Whether numbers can be turned into blocks of the type.
    public var isEncodable: Bool { self == .q8_0 }

    /// Turns numbers into blocks, to the bits of the Python package gguf.
    ///
    /// Numbers of a block that holds one that is not finite become zero, and its scale is not finite.
    ///
    /// - Shapes: `out` has room for `byteCount` bytes for each `elementCount` numbers.
    /// - Precondition: the type is encodable and the numbers fill whole blocks.
    package func quantize(_ numbers: UnsafeBufferPointer<Float>, into out: UnsafeMutableRawPointer) {
        precondition(isEncodable, "\(rawValue) cannot be encoded")
        precondition(numbers.count % elementCount == 0, "part of a block")
        // Safety: the encoder reads that many whole blocks of numbers and writes as many blocks.
        if let start = numbers.baseAddress { untangle_quantize_q8_0(start, numbers.count / elementCount, out) }
    }
}
