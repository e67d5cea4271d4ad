import TensorCore
import Testing

@Suite struct TensorDescriptorTests {
    @Test func countsElementsAndBytes() throws {
        let matrix = try TensorDescriptor(name: "m", dtype: .bf16, shape: [3, 5])
        #expect(matrix.elementCount == 15)
        #expect(matrix.byteCount == 30)
        #expect(try TensorDescriptor(name: "s", dtype: .f64, shape: []).byteCount == 8)
        #expect(try TensorDescriptor(name: "e", dtype: .f32, shape: [0, 7]).byteCount == 0)
        #expect(try TensorDescriptor(name: "q", dtype: .f6E2M3, shape: [4]).byteCount == 3)
    }

    @Test func refusesFractionsOfBytes() {
        #expect(throws: DescriptorError.partialUnit(elements: 3)) {
            try TensorDescriptor(name: "q", dtype: .f4, shape: [3])
        }
    }

    @Test func refusesWhatDoesNotFit() {
        // 2^62 elements fit, 2^65 bits do not; a zero after the overflow does not help.
        #expect(throws: DescriptorError.overflow) { try TensorDescriptor(name: "x", dtype: .u8, shape: [1 << 62]) }
        #expect(throws: DescriptorError.overflow) {
            try TensorDescriptor(name: "x", dtype: .u8, shape: [1 << 62, 4, 0])
        }
    }

    @Test func blocksFillWholeBlocks() throws {
        let tensor = try TensorDescriptor(name: "b", layout: .blocks(.q4K), shape: [2, 512])
        #expect(tensor.byteCount == 4 * 144)
        #expect(tensor.dtype == .f32)
        #expect(tensor.layout.byteRange(of: 256..<768) == 144..<432)
        #expect(throws: DescriptorError.partialUnit(elements: 100)) {
            try TensorDescriptor(name: "b", layout: .blocks(.q8_0), shape: [100])
        }
        #expect(throws: DescriptorError.overflow) {
            try TensorDescriptor(name: "b", layout: .blocks(.q8_1), shape: [Int.max & ~31])
        }
    }

    /// By the names of transformers and of GGUF; a kernel of three dimensions has none of them.
    @Test func stacksOfExpertsAreMatrices() throws {
        for (name, count) in [
            ("model.layers.0.mlp.experts.gate_up_proj", 4), ("blk.0.ffn_gate_exps.weight", 4), ("conv.weight", nil),
        ] as [(TensorName, Int?)] {
            #expect(try TensorDescriptor(name: name, dtype: .f32, shape: [4, 2, 3]).matrices?.count == count)
        }
    }

    /// The pairs are those of `GGML_QUANT_SIZES` in gguf-py, but for Q8_1, where ggml's own structure counts.
    @Test func blocksHaveTheSizesOfGGML() {
        let sizes = BlockType.allCases.map { "\($0.rawValue) \($0.elementCount) \($0.byteCount)" }
        #expect(
            sizes == [
                "Q4_0 32 18", "Q4_1 32 20", "Q5_0 32 22", "Q5_1 32 24", "Q8_0 32 34", "Q8_1 32 36", "Q2_K 256 84",
                "Q3_K 256 110", "Q4_K 256 144", "Q5_K 256 176", "Q6_K 256 210", "Q8_K 256 292", "IQ2_XXS 256 66",
                "IQ2_XS 256 74", "IQ3_XXS 256 98", "IQ1_S 256 50", "IQ4_NL 32 18", "IQ3_S 256 110", "IQ2_S 256 82",
                "IQ4_XS 256 136", "IQ1_M 256 56", "TQ1_0 256 54", "TQ2_0 256 66", "MXFP4 32 17", "NVFP4 64 36",
                "Q1_0 128 18",
            ])
    }
}
