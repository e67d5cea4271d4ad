import TensorCore
import Testing

@Suite struct AlignedBufferTests {
    /// Below and above what is mapped, and where huge pages are asked for.
    @Test(arguments: [0, 1, 4096, (1 << 20) - 1, (1 << 20) + 1, (4 << 20) - 1, 4 << 20, (9 << 20) + 3])
    func isZeroedAlignedAndWhole(byteCount: Int) throws {
        for alignment in [64, 4096] {
            let buffer = try AlignedBuffer(byteCount: byteCount, alignment: alignment)
            #expect(buffer.byteCount == byteCount && buffer.bytes.count == byteCount)
            #expect(Int(bitPattern: buffer.address) % alignment == 0)
            #expect(!buffer.bytes.contains { $0 != 0 })
            for place in [0, byteCount / 2, byteCount - 1] where buffer.bytes.indices.contains(place) {
                buffer.mutableBytes[place] = 0xA5
                #expect(buffer.bytes[place] == 0xA5)
            }
        }
    }

    @Test func saysWhenThereIsNoRoom() {
        for byteCount in [Int.max, Int.max - (1 << 20), 1 << 60] {
            let error = #expect(throws: IOError.self) { _ = try AlignedBuffer(byteCount: byteCount) }
            #expect(error?.code == "io.memory")
        }
    }
}
