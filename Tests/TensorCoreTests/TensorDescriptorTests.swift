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
        #expect(throws: DescriptorError.fractionOfByte(bits: 12)) {
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
}
