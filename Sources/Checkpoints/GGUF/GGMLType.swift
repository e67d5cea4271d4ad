import TensorCore

extension ElementLayout {
    /// The number of the layout in a GGUF file; nil when the format has none for it.
    var ggmlNumber: UInt32? {
        switch self {
        case .plain(let dtype): dtype.ggmlNumber
        case .blocks(let type): type.ggmlNumber
        }
    }

    /// The layout of a number in a GGUF file; nil for numbers that are not in use.
    init?(ggmlNumber number: UInt32) {
        guard let layout = Self.ofGGML[number] else { return nil }
        self = layout
    }

    private static let ofGGML: [UInt32: ElementLayout] = {
        let layouts = DType.allCases.map(ElementLayout.plain) + BlockType.allCases.map(ElementLayout.blocks)
        let numbered = layouts.compactMap { layout in layout.ggmlNumber.map { ($0, layout) } }
        return Dictionary(uniqueKeysWithValues: numbered)
    }()
}

extension BlockType {
    /// The number of the type in a GGUF file.
    ///
    /// Source: `enum ggml_type` of `ggml.h`. 4, 5, 31 to 33 and 36 to 38 were in use and are not any more.
    var ggmlNumber: UInt32 {
        switch self {
        case .q4_0: 2
        case .q4_1: 3
        case .q5_0: 6
        case .q5_1: 7
        case .q8_0: 8
        case .q8_1: 9
        case .q2K: 10
        case .q3K: 11
        case .q4K: 12
        case .q5K: 13
        case .q6K: 14
        case .q8K: 15
        case .iq2XXS: 16
        case .iq2XS: 17
        case .iq3XXS: 18
        case .iq1S: 19
        case .iq4NL: 20
        case .iq3S: 21
        case .iq2S: 22
        case .iq4XS: 23
        case .iq1M: 29
        case .tq1_0: 34
        case .tq2_0: 35
        case .mxfp4: 39
        case .nvfp4: 40
        case .q1_0: 41
        }
    }
}
