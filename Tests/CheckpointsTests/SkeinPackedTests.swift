import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Chunks that leave out zeros.
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

    /// Ordinary weights need no feature that older readers lack.
    @Test func weightsAreNotPacked() throws {
        let samples = [
            try SkeinSample.weights("a", .bf16, [700, 700], seed: 1), try .weights("b", .f32, [300, 1000], seed: 2),
        ]
        try writeSkein(samples, to: folder.file("a.skein"))
        #expect(try npyFileBytes(folder.file("a.skein"))[12] == 0)
    }

    /// Maps that contradict the chunk.
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
    }
}
