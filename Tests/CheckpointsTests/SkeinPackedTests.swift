import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Chunks that leave out zeros, or rows that stand before.
@Suite struct SkeinPackedTests {
    private let folder = TemporaryFolder()

    /// Weights of which one word in `inverse` is not zero.
    private static func sparse(_ dtype: DType, _ shape: Shape, inverse: Int) throws -> SkeinSample {
        var sample = try SkeinSample.noise("sparse", dtype, shape, seed: 5)
        if dtype == .bf16 || dtype == .f32 { sample = try .weights("sparse", dtype, shape, seed: 5) }
        var bytes = sample.bytes
        let width = dtype.scalarByteCount
        var random = SkeinRandom(seed: 9)
        for place in stride(from: 0, to: bytes.count, by: width) where random.below(inverse) > 0 {
            for i in place..<place + width { bytes[i] = 0 }
        }
        return try SkeinSample("sparse", dtype, shape, bytes)
    }

    private func expectRoundTrip(_ sample: SkeinSample, _ path: FilePath) throws {
        #expect(try readSkein(path) == [sample])
        let reader = try SkeinReader(opening: path)
        #expect(try reader.verify(deep: true).damage.isEmpty)
        var random = SkeinRandom(seed: 7)
        for _ in 0..<50 {
            let start = random.below(sample.bytes.count)
            let range = start..<start + random.below(min(sample.bytes.count - start, 200_000)) + 1
            var target = [UInt8](repeating: 0, count: range.count)
            try target.withUnsafeMutableBytes { try reader.read(range, of: 0, into: $0) }
            #expect(target == Array(sample.bytes[range]))
        }
    }

    /// Nine in ten are zero: the entropy of where they are is 0.469 bits a word, and what else is stored is a tenth.
    @Test(arguments: [(DType.bf16, 0.665), (.f32, 0.83), (.f16, 1), (.f64, 1), (.u8, 1), (.f4, 1), (.c64, 1)])
    func zerosAreLeftOut(_ dtype: DType, _ share: Double) throws {
        let sample = try Self.sparse(dtype, [501, 1000], inverse: 10)
        for level in SkeinLevel.allCases {
            let path = folder.file("a.skein")
            let written = try writeSkein([sample], to: path, SkeinOptions(level: level, chunkByteCount: 128 << 10))
            let bits = Double(8 * dtype.scalarByteCount)
            #expect(Double(written.byteCount) / Double(sample.bytes.count) < (0.1 * share + 0.5 / bits) * 1.04)
            #expect(try npyFileBytes(path)[12] == 1)
            try expectRoundTrip(sample, path)
        }
    }

    /// The negative zero is a number like any other, and a last byte of the map may be part of one.
    @Test func onlyZeroBitsAreZeros() throws {
        for count in 1021...1029 {
            let sample = try SkeinSample("a", .f32, [count]) { $0 % 5 == 0 ? UInt32(1) << 31 : $0 % 9 == 1 ? 1 : 0 }
            try writeSkein([sample], to: folder.file("a.skein"))
            #expect(try readSkein(folder.file("a.skein")) == [sample])
        }
        // Nothing but zeros takes a byte for each plane, as ever.
        let zeros = try SkeinSample("a", .f32, [1000]) { _ in UInt32(0) }
        try writeSkein([zeros], to: folder.file("a.skein"))
        #expect(try npyFileBytes(folder.file("a.skein"))[12] == 0)
    }

    enum Pattern: CaseIterable {
        case drawn, tiled, repeated
    }

    /// Rows of 1400 bytes, which straddle chunks: 200 of them in 4000 places.
    private static func rows(_ pattern: Pattern) throws -> SkeinSample {
        let unique = try SkeinSample.weights("rows", .bf16, [200, 700], seed: 3)
        var random = SkeinRandom(seed: 4)
        let bytes = (0..<4000).flatMap { number in
            let row =
                switch pattern {
                case .drawn: random.below(200)
                case .tiled: number % 200
                case .repeated: number / 20
                }
            return unique.bytes[row * 1400..<row * 1400 + 1400]
        }
        return try SkeinSample("rows", .bf16, [4000, 700], bytes)
    }

    @Test(arguments: Pattern.allCases, [17, 20, 24]) func rowsAreStoredOnce(_ pattern: Pattern, _ shift: Int) throws {
        let sample = try Self.rows(pattern)
        let path = folder.file("a.skein")
        let written = try writeSkein([sample], to: path, SkeinOptions(chunkByteCount: 1 << shift))
        // Of 43 chunks at most, each may begin and end with a part of a row that it keeps.
        let straddling = (sample.bytes.count >> shift) * 1400
        #expect(Double(written.byteCount) < 0.67 * Double(sample.bytes.count / 20 + straddling) + 30_000)
        try expectRoundTrip(sample, path)
    }

    /// Whatever comes when, and wherever it waits.
    @Test func theOrderOfWritingDoesNotMatter() throws {
        let sample = try Self.rows(.drawn)
        var options = SkeinOptions(chunkByteCount: 128 << 10)
        try writeSkein([sample], to: folder.file("a.skein"), options)
        options.waitingByteLimit = 1 << 20
        let writer = try CheckpointFormat.makeWriter(
            .skein, at: folder.file("b.skein"), declaring: [sample.descriptor],
            options: WriteOptions(sync: false, skein: options))
        let piece = 100_000
        let count = (sample.bytes.count + piece - 1) / piece
        try parallel(count: count, threads: 3) { turn in
            let start = (count - 1 - turn) * piece
            try sample.bytes.withUnsafeBytes {
                let part = UnsafeRawBufferPointer(rebasing: $0[start..<min($0.count, start + piece)])
                try writer.write(part, tensor: 0, at: start)
            }
        }
        _ = try writer.finish()
        #expect(try npyFileBytes(folder.file("a.skein")) == npyFileBytes(folder.file("b.skein")))
    }

    /// What lies beyond the window is repeated inside of a chunk alone.
    @Test func theWindowEnds() throws {
        var random = SkeinRandom(seed: 11)
        let rows = 20 << 10
        var bytes: [UInt8] = []
        for number in 0..<rows {
            // 17 MiB of noise; then rows of the first MiB, then of the last of the noise.
            let seed = number < 17 << 10 ? number : random.below(1024) + (number < 18 << 10 ? 0 : 16 << 10)
            var row = SkeinRandom(seed: UInt64(seed))
            for _ in 0..<128 { withUnsafeBytes(of: row.next()) { bytes.append(contentsOf: $0) } }
        }
        let sample = try SkeinSample("a", .u8, [rows, 1024], bytes)
        let path = folder.file("a.skein")
        let written = try writeSkein([sample], to: path)
        // Of 1024 draws out of 1024, 63 % are different.
        let stored = Double(written.byteCount) / Double(1 << 20)
        #expect(stored > 18.2 && stored < 18.4)
        #expect(try readSkein(path) == [sample])
    }

    /// Ordinary weights need no feature that older readers lack.
    @Test func weightsAreNotPacked() throws {
        let samples = [
            try SkeinSample.weights("a", .bf16, [700, 700], seed: 1), try .weights("b", .f32, [300, 1000], seed: 2),
        ]
        try writeSkein(samples, to: folder.file("a.skein"))
        #expect(try npyFileBytes(folder.file("a.skein"))[12] == 0)
    }

    /// Maps that contradict the chunk, and rows that would come from outside of what a chunk may repeat.
    @Test func mapsAreNotTrusted() throws {
        let path = folder.file("a.skein")
        func refusals(_ sample: SkeinSample, _ changes: [(inout SkeinForgery, Int) -> Void]) throws -> [String?] {
            try writeSkein([sample], to: path, SkeinOptions(chunkByteCount: 128 << 10))
            let original = try npyFileBytes(path)
            let chunk = try SkeinReader(opening: path).location(of: 0).range
            return try changes.map { change in
                var forged = SkeinForgery(original)
                change(&forged, chunk.lowerBound)
                forged.resealChunk(chunk)
                _ = try folder.write(forged.bytes, to: "forged.skein")
                return skeinRefusal { _ = try readSkein(folder.file("forged.skein")) }
            }
        }
        // Two planes, so the map's entry lies at 64, the number of words at 72, the sizes at 80.
        let sparse = try Self.sparse(.bf16, [50, 1000], inverse: 10)
        #expect(
            try refusals(
                sparse,
                [
                    { _, _ in }, { $0.bytes[$1 + 18] = 3 }, { $0.bytes[$1 + 18] = 2 }, { $0.bytes[$1 + 72] ^= 1 },
                    { $0.set(.max, at: $1 + 72) }, { $0.bytes[$1 + 80] ^= 1 }, { $0.bytes[$1 + 84] = 1 },
                    { $0.bytes[$1 + 16] = 2 },
                ]) == [
                    nil, "format.unsupported_compression", "format.bad_chunk", "format.bad_chunk", "format.bad_chunk",
                    "format.bad_chunk", "format.bad_chunk", "format.bad_chunk",
                ])
        // Equal rows: the first is stored, and a byte repeated says that the others lie one before.
        let rows = try SkeinSample(
            "a", .u8, [100, 256], (0..<100).flatMap { _ in (0..<256).map { UInt8($0 * 7 & 0xFF) } })
        #expect(
            try refusals(
                rows, [{ _, _ in }, { $0.bytes[$1 + 72] = 0 }, { $0.set(512 << 32 | 400, at: $1 + 72) }])
                == [nil, "format.bad_chunk", "format.bad_chunk"])
    }
}
