import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite struct CheckpointViewTests {
    /// Two blocks of Q8_0: a scale as F16 and 32 signed bytes each; 0x3C00 is 1, 0x3800 is 0.5.
    private func quantised() throws -> MemoryCheckpoint {
        let bytes =
            [0x00, 0x3C] + (0..<32).map { UInt8(bitPattern: Int8($0 - 16)) } + [0x00, 0x38]
            + (0..<32).map { UInt8(bitPattern: Int8($0)) }
        let buffer = try AlignedBuffer(byteCount: bytes.count)
        buffer.mutableBytes.copyBytes(from: bytes)
        let plain = try AlignedBuffer(byteCount: 2)
        plain.mutableBytes.copyBytes(from: [1, 2])
        return MemoryCheckpoint(tensors: [
            (try TensorDescriptor(name: "w", layout: .blocks(.q8_0), shape: [2, 32]), buffer),
            (try TensorDescriptor(name: "b", dtype: .u8, shape: [2]), plain),
        ])
    }

    private let numbers = (0..<32).map { Float($0 - 16) } + (0..<32).map { Float($0) / 2 }

    @Test func blocksAreShownAsNumbers() throws {
        let view = try CheckpointView(decoding: try quantised())
        #expect(view.descriptors.map(\.layout) == [.plain(.f32), .plain(.u8)])
        #expect(view.descriptors[0].byteCount == 256)
        #expect(!view.isMapped(0) && view.isMapped(1) && view.canReadRanges(of: 0))
        let all = try view.bytes(of: 0).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        #expect(all == numbers)
        #expect(try view.bytes(of: 1).withUnsafeBytes { Array($0) } == [1, 2])
    }

    /// Also from within a number to within another, and to an address that no number has.
    @Test(arguments: [0..<256, 0..<128, 128..<256, 4..<8, 127..<130, 3..<250, 256..<256, 0..<0])
    func anyRangeCanBeRead(range: Range<Int>) throws {
        let view = try CheckpointView(decoding: try quantised())
        let expected = numbers.withUnsafeBytes { Array($0[range]) }
        for offset in 0..<2 {
            let buffer = try AlignedBuffer(byteCount: range.count + 2)
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer.mutableBytes[offset..<offset + range.count])
            try view.read(range, of: 0, into: target)
            #expect(Array(target) == expected)
        }
    }

    @Test func whatIsNotDecodedIsNamed() throws {
        let source = MemoryCheckpoint(tensors: [
            (
                try TensorDescriptor(name: "w", layout: .blocks(.q8_1), shape: [32]),
                try AlignedBuffer(byteCount: 36)
            )
        ])
        let view = try CheckpointView(decoding: source)
        let error = try #require(throws: FormatError.self) { _ = try view.bytes(of: 0) }
        #expect(error.category == .unsupportedDtype && error.message.contains("Q8_1") && error.tensor == "w")
    }

    @Test func namesChangeAndTensorsGo() throws {
        let view = CheckpointView(try quantised(), without: "w")
        #expect(view.descriptors.map(\.name) == ["b"])
        let again = CheckpointView(view, alias: "c", ofTensorAt: 0)
        #expect(again.descriptors.map(\.name) == ["b", "c"])
        #expect(again.storedName(of: 1) == "b")
        #expect(try again.bytes(of: 1).withUnsafeBytes { Array($0) } == [1, 2])
    }
}
