import Checkpoints
import Synchronization
import SystemPackage
import TensorCore
import Work
import Testing
import TestSupport
import Transcoding

/// How tensors that must be decoded are read: in pieces where the format has pieces, and none twice.
@Suite struct ConversionReadingTests {
    private let folder = TemporaryFolder()

    /// A reader that decodes in pieces and keeps account of what is decoded.
    final class PieceReader: CheckpointReader {
        let reader: any CheckpointReader
        let pieceByteCount: Int
        private let decoded = Mutex<[Int]>([])
        private let largest = Atomic(0)

        init(_ reader: any CheckpointReader, pieceByteCount: Int) {
            self.reader = reader
            self.pieceByteCount = pieceByteCount
        }

        var format: FormatID { reader.format }
        var path: FilePath { reader.path }
        var files: [FilePath] { reader.files }
        var descriptors: [TensorDescriptor] { reader.descriptors }
        var metadata: Metadata { reader.metadata }
        var warnings: [Warning] { [] }
        func isMapped(_ index: Int) -> Bool { false }
        func canReadRanges(of index: Int) -> Bool { true }
        func decodedTogetherByteCount(of index: Int) -> Int { pieceByteCount }
        func location(of index: Int) -> StoredLocation { reader.location(of: index) }
        func verify(deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void) throws -> Verification {
            Verification()
        }

        func bytes(of index: Int) throws -> TensorBytes {
            Issue.record("a tensor was decoded as a whole")
            return try reader.bytes(of: index)
        }

        func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
            decoded.withLock { decoded in
                if range.isEmpty { return }
                decoded += (range.lowerBound / pieceByteCount)...((range.upperBound - 1) / pieceByteCount)
            }
            largest.max(range.count, ordering: .relaxed)
            try reader.read(range, of: index, into: target)
        }

        /// The numbers of the pieces of a tensor in the order in which they were decoded.
        var pieces: [Int] { decoded.withLock { $0 } }
        var largestRead: Int { largest.load(ordering: .relaxed) }
    }

    private func store(_ name: String, _ dtype: DType, count: Int, factor: Int) throws -> TensorStore {
        let descriptor = try TensorDescriptor(name: "x", dtype: dtype, shape: [count])
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: folder.file(name), declaring: [descriptor],
            options: WriteOptions(force: true, sync: false)
        )
        // Small positive numbers in every floating-point type.
        let bytes = (0..<descriptor.byteCount).map {
            $0 % 4 == 3 ? UInt8(0x3C) : UInt8(truncatingIfNeeded: $0 * factor)
        }
        try bytes.withUnsafeBytes { try writer.write($0, tensor: 0, at: 0) }
        _ = try writer.finish()
        return try TensorStore(opening: folder.file(name))
    }

    @Test func comparisonDecodesEachPieceOnce() throws {
        let (a, b) = (
            try store("a.safetensors", .f32, count: 6 << 20, factor: 1),
            try store("b.safetensors", .f32, count: 6 << 20, factor: 3)
        )
        let expected = try CheckpointComparison(threads: 1).compare(a, b).changes[0]
        for threads in [1, 3] {
            let (x, y) = (
                PieceReader(a.reader, pieceByteCount: 8 << 20), PieceReader(b.reader, pieceByteCount: 2 << 20)
            )
            let comparison = CheckpointComparison(threads: threads)
            let found = try comparison.compare(TensorStore(x), TensorStore(y)).changes[0]
            #expect(found.rootMeanSquare?.bitPattern == expected.rootMeanSquare?.bitPattern)
            #expect(found.differingCount == expected.differingCount)
            for reader in [x, y] {
                #expect(reader.largestRead <= 8 << 20)
                #expect(reader.pieces.sorted() == Array(0..<(24 << 20) / reader.pieceByteCount))
            }
            // A window of 8 MiB and four times its pieces; a window of 4 MiB and four times its pieces.
            #expect(comparison.workingByteCount(of: TensorStore(x), and: TensorStore(y)) == 52 << 20)
        }
    }

    @Test(arguments: [nil, DType.bf16, .f64]) func conversionDecodesInPieces(_ dtype: DType?) throws {
        let a = try store("a.safetensors", .f32, count: 6 << 20, factor: 1)
        func convert(_ store: TensorStore, _ output: String) throws -> TensorStore {
            let plan = try ConversionPlan(
                of: store, to: try .test(folder.file(output), force: true), options: ConversionOptions(dtype: dtype))
            _ = try Conversion(plan, of: store).run(in: testContext)
            return try TensorStore(opening: folder.file(output))
        }
        let reader = PieceReader(a.reader, pieceByteCount: 16 << 20)
        let (pieces, whole) = (try convert(TensorStore(reader), "p.safetensors"), try convert(a, "w.safetensors"))
        #expect(try CheckpointComparison(threads: 2).compare(pieces, whole).isEmpty)
        // Larger than what is written at a time.
        #expect(reader.pieces.sorted() == [0, 1])
    }

    @Test func windowsEndWherePiecesEnd() throws {
        let a = try store("a.safetensors", .f32, count: 6 << 20, factor: 1)
        let reader = PieceReader(a.reader, pieceByteCount: 3 << 20)
        let window = try TensorWindow(reader, 0, in: 0..<(24 << 20), pool: BufferPool(byteCount: 7 << 20))
        for start in stride(from: 0, to: 24 << 20, by: 1 << 20) {
            try window.withBytes(start..<start + (1 << 20)) { part in
                try a.reader.bytes(of: 0).withUnsafeBytes { all in
                    #expect(part.elementsEqual(UnsafeRawBufferPointer(rebasing: all[start..<start + (1 << 20)])))
                }
            }
        }
        #expect(reader.pieces == Array(0..<8))
    }
}
