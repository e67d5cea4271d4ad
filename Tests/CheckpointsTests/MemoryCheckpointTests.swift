import Checkpoints
import TensorCore
import Testing

@Suite("checkpoint in memory") struct MemoryCheckpointTests {
    @Test("what is written in pieces and in any order reads back once it is finished")
    func roundTrip() throws {
        let descriptors = [
            try TensorDescriptor(name: "a", dtype: .u8, shape: [5]),
            try TensorDescriptor(name: "b", dtype: .f32, shape: [0]),
            try TensorDescriptor(name: "c", dtype: .i16, shape: []),
        ]
        var metadata = Metadata()
        metadata["key"] = "value"
        let writer = try MemoryCheckpointWriter(declaring: descriptors, metadata: metadata)
        func write(_ bytes: [UInt8], _ tensor: Int, at offset: Int) throws {
            try bytes.withUnsafeBytes { try writer.write($0, tensor: tensor, at: offset) }
        }
        try write([4, 5], 0, at: 3)
        try write([7, 8], 2, at: 0)
        try write([1, 2, 3], 0, at: 0)
        #expect(writer.checkpoint == nil)
        #expect(try writer.finish() == WrittenCheckpoint(files: [], byteCount: 7))
        let store = TensorStore(try #require(writer.checkpoint))
        #expect(store.descriptors == descriptors)
        #expect(store.metadata["key"] == "value")
        #expect(try store.bytes(of: "a")?.withUnsafeBytes { Array($0) } == [1, 2, 3, 4, 5])
        #expect(try store.bytes(of: "b")?.count == 0)
        #expect(try store.bytes(of: "c")?.withUnsafeBytes { Array($0) } == [7, 8])
        #expect(try store.bytes(of: "d") == nil)
        #expect(try store.reader.verify() == Verification(checkedByteCount: 7))
    }
}
