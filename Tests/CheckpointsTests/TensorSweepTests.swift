import Checkpoints
import Synchronization
import SystemPackage
import TensorCore
import Testing

@Suite("sweeps over tensors") struct TensorSweepTests {
    /// A checkpoint with one tensor of bytes, read as its format would have it, that notes what is read.
    private final class NotingReader: CheckpointReader {
        let descriptors: [TensorDescriptor]
        private let contents: [UInt8]
        private let together: Int?
        private let ranges = Mutex<[Range<Int>]>([])

        /// - Parameter together: bytes that decode together; nil for a tensor that decodes only whole.
        init(_ dtype: DType, _ contents: [UInt8], together: Int?) throws {
            descriptors = [
                try TensorDescriptor(name: "w", dtype: dtype, shape: [contents.count * 8 / dtype.bitWidth])
            ]
            self.contents = contents
            self.together = together
        }

        var read: [Range<Int>] { ranges.withLock { $0.sorted { $0.lowerBound < $1.lowerBound } } }
        var format: FormatID { .npz }
        var path: FilePath { "w" }
        var files: [FilePath] { [path] }
        var metadata: Metadata { Metadata() }
        var warnings: [Warning] { [] }
        func isMapped(_ index: Int) -> Bool { false }
        func canReadRanges(of index: Int) -> Bool { together != nil }
        func decodedTogetherByteCount(of index: Int) -> Int { together ?? contents.count }
        func location(of index: Int) -> StoredLocation { StoredLocation(file: path, range: 0..<contents.count) }

        func bytes(of index: Int) throws -> TensorBytes {
            ranges.withLock { $0.append(0..<contents.count) }
            let buffer = try AlignedBuffer(byteCount: contents.count)
            buffer.mutableBytes.copyBytes(from: contents)
            return TensorBytes(decoded: buffer)
        }

        func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
            ranges.withLock { $0.append(range) }
            target.copyBytes(from: contents[range])
        }

        func verify(
            deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
        ) throws -> Verification { Verification() }
    }

    private func contents(_ count: Int, _ seed: Int) -> [UInt8] { (0..<count).map { UInt8(($0 * 37 + seed) % 251) } }

    @Test("every chunk comes once, whole and in its order, on any number of threads", arguments: [1, 2, 5])
    func chunks(threads: Int) throws {
        let wide = try NotingReader(.f32, contents(4 * 1000, 1), together: 48)
        let narrow = try NotingReader(.u8, contents(1000, 2), together: nil)
        let single = try NotingReader(.u8, contents(7, 3), together: 1)
        let empty = try NotingReader(.u8, [], together: 1)
        let sweep = TensorSweep([
            .init([(wide, 0), (narrow, 0)], chunkCount: 64), .init([(empty, 0)], chunkCount: 8),
            .init([(single, 0)], chunkCount: 3),
        ])
        let found = try sweep.map(threads: threads) { chunk in
            (item: chunk.item, elements: chunk.elements, parts: chunk.parts.map(Array.init))
        }
        // 1000 = 15 x 64 + 40, and 7 = 2 x 3 + 1.
        #expect(found.map(\.count) == [16, 0, 3])
        #expect(found[0].map(\.elements) == (0..<16).map { $0 * 64..<min(1000, $0 * 64 + 64) })
        #expect(found[0].flatMap { $0.parts[0] } == contents(4000, 1))
        #expect(found[0].flatMap { $0.parts[1] } == contents(1000, 2))
        #expect(found[2].map(\.elements) == [0..<3, 3..<6, 6..<7])
        #expect(found[2].flatMap { $0.parts[0] } == contents(7, 3))
        #expect(found.map { $0.map(\.item) } == [[Int](repeating: 0, count: 16), [], [2, 2, 2]])
        // What decodes only whole is decoded once.
        #expect(narrow.read == [0..<1000])
        #expect(sweep.byteCount == 4000 + 1000 + 7)
    }

    @Test("nothing is decoded twice, and a window has the size of what decodes together", arguments: [1, 3])
    func windows(threads: Int) throws {
        // Pieces of 256 bytes, chunks of 64: four chunks share a window.
        let reader = try NotingReader(.u8, contents(1000, 1), together: 256)
        let sweep = TensorSweep([.init([(reader, 0)], chunkCount: 64)])
        #expect(try sweep.map(threads: threads) { $0.elements.count }[0].reduce(0, +) == 1000)
        #expect(reader.read == [0..<256, 256..<512, 512..<768, 768..<1000])
        // The window, and four times what decodes together to decode it.
        #expect(sweep.workingByteCount == 256 + 4 * 256)
    }

    @Test("elements of six bits are cut at whole bytes")
    func packed() throws {
        // 16 elements take 12 bytes, 8 take 6.
        let reader = try NotingReader(.f6E2M3, contents(12, 1), together: 1)
        let parts = try TensorSweep([.init([(reader, 0)], chunkCount: 8)]).map(threads: 2) { Array($0.parts[0]) }
        #expect(parts == [[Array(contents(12, 1)[..<6]), Array(contents(12, 1)[6...])]])
    }

    @Test("a tensor that is seen in order is seen by one thread, as often as one likes", arguments: [1, 2, 5])
    func tensors(threads: Int) throws {
        let wide = try NotingReader(.f32, contents(4 * 1000, 1), together: 48)
        let narrow = try NotingReader(.u8, contents(1000, 2), together: nil)
        let empty = try NotingReader(.u8, [], together: 1)
        let sweep = TensorSweep([
            .init([(wide, 0), (narrow, 0)], chunkCount: 64), .init([(empty, 0)], chunkCount: 8),
            .init([(narrow, 0)], chunkCount: 100),
        ])
        let found = try sweep.mapTensors(threads: threads) { item, forEachChunk in
            var bytes: [[UInt8]] = [[], []]
            for _ in 0..<2 {
                try forEachChunk { chunk in
                    #expect(chunk.item == item)
                    for (place, part) in chunk.parts.enumerated() { bytes[place] += part }
                }
            }
            return bytes
        }
        #expect(found[0] == [contents(4000, 1) + contents(4000, 1), contents(1000, 2) + contents(1000, 2)])
        #expect(found[1] == [[], []])
        #expect(found[2] == [contents(1000, 2) + contents(1000, 2), []])
    }

    @Test("an error ends the sweep")
    func errors() throws {
        struct Refusal: Error {}
        let reader = try NotingReader(.u8, contents(1000, 1), together: 1)
        let sweep = TensorSweep([.init([(reader, 0)], chunkCount: 64)])
        #expect(throws: Refusal.self) {
            _ = try sweep.map(threads: 2) { chunk in if chunk.elements.contains(500) { throw Refusal() } }
        }
    }
}
