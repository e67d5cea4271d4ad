import Checkpoints
import Synchronization
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Reading a checkpoint through on several threads.
@Suite struct VerificationTests {
    private let folder = TemporaryFolder()

    /// Two tensors, the first of which is summed in several pieces.
    private func write(_ format: FormatID, _ options: WriteOptions = WriteOptions(sync: false)) throws -> FilePath {
        let path = folder.file("model.\(format.rawValue)")
        let descriptors = try [("large", 5 << 22), ("small", 1000)].prefix(format == .npy ? 1 : 2).map {
            try TensorDescriptor(name: TensorName($0), dtype: format == .gguf ? .i8 : .u8, shape: [$1])
        }
        var options = options
        options.gguf.metadata = GGUFMetadata()
        let writer = try CheckpointFormat.makeWriter(format, at: path, declaring: descriptors, options: options)
        for (index, descriptor) in descriptors.enumerated() {
            let bytes = (0..<descriptor.byteCount).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
            try bytes.withUnsafeBytes { try writer.write($0, tensor: index, at: 0) }
        }
        return try writer.finish().files.last ?? path
    }

    private func byteCount(_ reader: any CheckpointReader) throws -> Int {
        try reader.files.reduce(0) { $0 + (try MappedFile($1).byteCount) }
    }

    static let written = CheckpointFormat.all.filter { $0.writer != nil }.map(\.id)

    @Test(arguments: written) func progressTellsOfAllButTheEdges(_ format: FormatID) throws {
        let reader = try CheckpointFormat.open(try write(format))
        for threads in [1, 3] {
            let done = Atomic(0)
            let reports = Atomic(0)
            let result = try reader.verify(deep: true, threads: threads) { count in
                done.wrappingAdd(count, ordering: .relaxed)
                reports.wrappingAdd(1, ordering: .relaxed)
            }
            #expect(result.damage.isEmpty)
            let total = try byteCount(reader)
            let told = done.load(ordering: .relaxed)
            #expect(told <= total && told > total - total / 100)
            // While it works, not only at the end.
            #expect(reports.load(ordering: .relaxed) >= 3)
        }
    }

    @Test func shardsAreCountedTogether() throws {
        let reader = try CheckpointFormat.open(
            try write(.safetensors, WriteOptions(sync: false, shardByteCount: 5000)))
        #expect(reader.files.count == 3)
        let result = try reader.verify(deep: false, threads: 2) { _ in }
        #expect(result == (try reader.verify(deep: false, threads: 1) { _ in }))
        #expect(result.checkedByteCount > 5 << 22)
    }

    /// In each piece that is summed by itself, and in the last bytes.
    @Test(arguments: [300, 9 << 20, (5 << 22) - 1]) func damageInAnyPieceIsFound(_ offset: Int) throws {
        let path = try write(.npz)
        let place = try CheckpointFormat.open(path).location(of: 0).range.lowerBound
        var bytes = try MappedFile(path).withUnsafeBytes { Array($0) }
        bytes[place + offset] ^= 1
        let damaged = try CheckpointFormat.open(try folder.write(bytes, to: "damaged.npz"))
        for threads in [1, 4] {
            let result = try damaged.verify(deep: false, threads: threads) { _ in }
            #expect(result.damage.map(\.tensor) == ["large"])
            #expect(result.damage.first?.reason.contains("CRC-32") == true)
        }
    }

    /// The message has the sum of the whole member, as one thread would take it.
    @Test func sumsOfPiecesAreThoseOfTheWhole() throws {
        let path = try write(.npz)
        let place = try CheckpointFormat.open(path).location(of: 0).range.lowerBound
        var bytes = try MappedFile(path).withUnsafeBytes { Array($0) }
        bytes[place] ^= 1
        let damaged = try CheckpointFormat.open(try folder.write(bytes, to: "damaged.npz"))
        let error = #expect(throws: FormatError.self) { try damaged.bytes(of: 0) }
        #expect(try damaged.verify().damage.map(\.reason) == [error?.message])
    }

    @Test func aFileThatWasCutOffMeanwhileIsDamaged() throws {
        for format in [FormatID.safetensors, .npy] {
            let path = try write(format)
            let reader = try CheckpointFormat.open(path)
            let whole = try byteCount(reader)
            let file = try FileDescriptor.open(path, .writeOnly)
            try file.resize(to: 6 << 20)
            try file.close()
            let result = try reader.verify(deep: false, threads: 3) { _ in }
            #expect(result.checkedByteCount == 6 << 20)
            #expect(result.damage.allSatisfy { $0.reason.hasSuffix("was cut off") && $0.tensor != nil })
            #expect(
                result.damage.filter { $0.tensor != "small" }.reduce(0) { $0 + $1.byteCount } > whole - (6 << 20) - 2000
            )
        }
    }
}
