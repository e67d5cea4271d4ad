import Checkpoints
import TensorCore
import TestSupport
import Testing

@Suite("hashes of files that come in pieces") struct FileHasherTests {
    private let folder = TemporaryFolder()
    private let contents = (0..<100_000).map { UInt8(($0 * 31 + $0 >> 8) % 251) }
    /// `XXH3_128bits` of libxxhash 0.8 over the contents, called from Python.
    private let expected = "28e509325e01077d7b3f382270d912f1"

    /// Hands a piece of bytes over; nil stands for the piece alone.
    private func take(_ piece: Range<Int>, of bytes: Range<Int>? = nil, by hasher: FileHasher) {
        let bytes = bytes ?? piece
        contents[bytes].withUnsafeBytes {
            hasher.take(
                piece.lowerBound - bytes.lowerBound..<piece.upperBound - bytes.lowerBound, of: $0, at: bytes.lowerBound)
        }
    }

    @Test("pieces in any order, some of them twice, between bytes that nobody brings", arguments: 0..<5, [.max, 5000])
    func anyOrder(seed: UInt64, reach: Int) throws {
        let path = try folder.write(contents, to: "x")
        let tensors = [1000..<1000, 90_000..<99_000, 1000..<40_000, 40_000..<77_777]
        let hasher = try FileHasher(of: path, expecting: tensors, reach: reach)
        var all = tensors.flatMap { chunkRanges(of: $0, by: 4096) }
        all += all.prefix(5)
        var state = seed &+ 1
        for place in all.indices.reversed() {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            all.swapAt(place, Int(state >> 33) % (place + 1))
        }
        for piece in all { take(piece, of: tensors.first { $0.contains(piece.lowerBound) }, by: hasher) }
        #expect("\(hasher.finish())" == expected)
        #expect(hasher.byteCount == contents.count)
    }

    @Test("pieces from several threads", .timeLimit(.minutes(1)))
    func severalThreads() async throws {
        let path = try folder.write(contents, to: "x")
        for _ in 0..<50 {
            let hasher = try FileHasher(of: path, expecting: [10..<99_999])
            let all = chunkRanges(of: 10..<99_999, by: 1000)
            await withTaskGroup { group in
                for worker in 0..<4 {
                    group.addTask {
                        for place in stride(from: worker, to: all.count, by: 4) { take(all[place], by: hasher) }
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
        var all = chunkRanges(of: 0..<100_000, by: 10_000)
        all.remove(at: place)
        for piece in all { take(piece, by: hasher) }
        #expect("\(hasher.finish())" == expected)
    }

    /// Blocks have 1024 bytes, stripes 64; up to 240 bytes are hashed in another way.
    @Test(
        "files of all lengths around the borders of blocks have the hash of libxxhash",
        arguments: [1, 7, 100, 1024, 5000])
    func lengths(piece: Int) throws {
        let lengths = [0...3, 239...242, 1020...1090, 2040...2120, 3 * 1024 - 1...3 * 1024 + 1, 99_000...99_002]
            .joined()
        for length in lengths {
            let path = try folder.write(Array(contents[..<length]), to: "x")
            let hasher = try FileHasher(of: path, expecting: [0..<length])
            for range in chunkRanges(of: 0..<length, by: piece).reversed() { take(range, by: hasher) }
            let whole = ContentHash.Accumulator()
            contents[..<length].withUnsafeBytes(whole.update)
            #expect(hasher.finish() == whole.finish(), "\(length) bytes")
        }
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
