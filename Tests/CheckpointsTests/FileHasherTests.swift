import Checkpoints
import TensorCore
import TestSupport
import Testing

@Suite("hashes of files that come in pieces") struct FileHasherTests {
    private let folder = TemporaryFolder()
    private let contents = (0..<100_000).map { UInt8(($0 * 31 + $0 >> 8) % 251) }
    /// `XXH3_128bits` of libxxhash 0.8 over the contents, called from Python.
    private let expected = "28e509325e01077d7b3f382270d912f1"

    private func pieces(of file: MappedFile, _ tensor: Range<Int>, count: Int) -> [StoredPiece] {
        let bytes = TensorBytes(mapped: file, range: tensor)
        return stride(from: 0, to: tensor.count, by: count).map { start in
            StoredPiece(
                bytes, start..<min(start + count, tensor.count), offset: tensor.lowerBound, isDone: start % 2 == 0)
        }
    }

    @Test("pieces in any order, some of them twice, between bytes that nobody brings", arguments: 0..<5)
    func anyOrder(seed: UInt64) throws {
        let path = try folder.write(contents, to: "x")
        let file = try MappedFile(path)
        let tensors = [1000..<1000, 90_000..<99_000, 1000..<40_000, 40_000..<77_777]
        let hasher = try FileHasher(of: path, expecting: tensors)
        var all = tensors.flatMap { pieces(of: file, $0, count: 4096) }
        all += all.prefix(5)
        var state = seed &+ 1
        for place in all.indices.reversed() {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            all.swapAt(place, Int(state >> 33) % (place + 1))
        }
        for piece in all { hasher.take(piece) }
        #expect("\(hasher.finish())" == expected)
        #expect(hasher.byteCount == contents.count)
    }

    @Test("pieces from several threads", .timeLimit(.minutes(1)))
    func severalThreads() async throws {
        let path = try folder.write(contents, to: "x")
        let file = try MappedFile(path)
        for _ in 0..<50 {
            let hasher = try FileHasher(of: path, expecting: [10..<99_999])
            let all = pieces(of: file, 10..<99_999, count: 1000)
            await withTaskGroup { group in
                for worker in 0..<4 {
                    group.addTask {
                        for place in stride(from: worker, to: all.count, by: 4) { hasher.take(all[place]) }
                    }
                }
            }
            #expect("\(hasher.finish())" == expected)
        }
    }

    @Test("pieces that never come are read", arguments: [0, 1, 7])
    func missing(place: Int) throws {
        let path = try folder.write(contents, to: "x")
        let hasher = try FileHasher(of: path, expecting: [0..<100_000])
        var all = pieces(of: try MappedFile(path), 0..<100_000, count: 10_000)
        all.remove(at: place)
        for piece in all { hasher.take(piece) }
        #expect("\(hasher.finish())" == expected)
    }

    @Test("a file without pieces, an empty one, and one that has become shorter")
    func edges() throws {
        #expect("\(try FileHasher(of: try folder.write(contents, to: "x"), expecting: []).finish())" == expected)
        let empty = try FileHasher(of: try folder.write([], to: "empty"), expecting: [])
        // The published XXH3-128 of nothing.
        #expect("\(empty.finish())" == "99aa06d3014798d86001c324468d497f")
        let path = try folder.write([1, 2, 3], to: "short")
        let error = #expect(throws: IOError.self) { _ = try FileHasher(of: path, expecting: [0..<4]) }
        #expect(error?.code == "io.changed" && error?.file == path.string)
    }
}
