/// A way to store runs of numbers together, with scales that they share: the quantised types of GGUF, named as there.
///
/// A block is the least that can be read: some elements in some bytes. What they mean is for whoever decodes them.
///
/// Source: `ggml.h` and `gguf-py/gguf/constants.py` of llama.cpp.
public enum BlockType: String, Sendable, CaseIterable, Hashable {
    case q4_0 = "Q4_0"
    case q4_1 = "Q4_1"
    case q5_0 = "Q5_0"
    case q5_1 = "Q5_1"
    case q8_0 = "Q8_0"
    case q8_1 = "Q8_1"
    case q2K = "Q2_K"
    case q3K = "Q3_K"
    case q4K = "Q4_K"
    case q5K = "Q5_K"
    case q6K = "Q6_K"
    case q8K = "Q8_K"
    case iq2XXS = "IQ2_XXS"
    case iq2XS = "IQ2_XS"
    case iq3XXS = "IQ3_XXS"
    case iq1S = "IQ1_S"
    case iq4NL = "IQ4_NL"
    case iq3S = "IQ3_S"
    case iq2S = "IQ2_S"
    case iq4XS = "IQ4_XS"
    case iq1M = "IQ1_M"
    case tq1_0 = "TQ1_0"
    case tq2_0 = "TQ2_0"
    case mxfp4 = "MXFP4"
    case nvfp4 = "NVFP4"
    case q1_0 = "Q1_0"

    /// The number of elements in a block.
    public var elementCount: Int { size.elements }

    /// The size of a block.
    public var byteCount: Int { size.bytes }

    private var size: (elements: Int, bytes: Int) {
        switch self {
        case .q4_0, .iq4NL: (32, 18)
        case .q4_1: (32, 20)
        case .q5_0: (32, 22)
        case .q5_1: (32, 24)
        case .q8_0: (32, 34)
        case .q8_1: (32, 36)
        case .q2K: (256, 84)
        case .q3K, .iq3S: (256, 110)
        case .q4K: (256, 144)
        case .q5K: (256, 176)
        case .q6K: (256, 210)
        case .q8K: (256, 292)
        case .iq2XXS, .tq2_0: (256, 66)
        case .iq2XS: (256, 74)
        case .iq3XXS: (256, 98)
        case .iq1S: (256, 50)
        case .iq2S: (256, 82)
        case .iq4XS: (256, 136)
        case .iq1M: (256, 56)
        case .tq1_0: (256, 54)
        case .mxfp4: (32, 17)
        case .nvfp4: (64, 36)
        case .q1_0: (128, 18)
        }
    }
}
