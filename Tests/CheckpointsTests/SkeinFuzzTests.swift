import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Damaged files never crash the reader. `UNTANGLE_FUZZ` sets the number of mutations, 10,000 by default.
@Suite struct SkeinFuzzTests {
    private let folder = TemporaryFolder()

    private static let count = getenv("UNTANGLE_FUZZ").flatMap { Int(String(cString: $0)) } ?? 10_000

    /// Everything that a reader can be asked.
    private func readThrough(_ path: FilePath, salvaging: Bool, base: FilePath) throws -> Bool {
        let reader = try SkeinReader(
            opening: path, options: ReadOptions(base: base, salvaging: salvaging, threads: 1))
        var isWhole = true
        for index in reader.descriptors.indices {
            _ = reader.location(of: index)
            do { _ = try reader.bytes(of: index).withUnsafeBytes { $0.last } } catch { isWhole = false }
            if let rows = reader.descriptors[index].shape.dims.first, rows > 0 {
                _ = try? reader.bytes(of: index, rows: rows / 2..<rows / 2 + 1)
            }
        }
        return try reader.verify(deep: true).damage.isEmpty && isWhole
    }

    /// Bits flipped, bytes replaced, pieces moved, cut and repeated; half of them with checksums made right again, so that
    /// they reach the parsers and the decoders behind.
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func mutations(_ seed: UInt64) throws {
        let base = [
            try SkeinSample.weights("a", .bf16, [700], seed: 1), try SkeinSample.weights("b", .f32, [40, 30], seed: 2),
        ]
        let basePath = folder.file("base.skein")
        try writeSkein(base, to: basePath)
        var random = SkeinRandom(seed: seed)
        let tuned =
            [
                try SkeinSample("a", .bf16, [700], base[0].bytes.map { $0 ^ UInt8(random.below(30) / 29) }),
                try SkeinSample("b", .f32, [40, 30], base[1].bytes.map { $0 ^ UInt8(random.below(9) / 8) }),
                // Large enough for block hashes when it is stored.
                try SkeinSample.noise("c", .u8, [seed == 4 ? 70_000 : 90], seed: 5),
                try SkeinSample("d", .i64, [300]) { Int64($0 / 9) },
            ] + (seed == 2 ? try Self.packed() : [])
            + (seed == 3
                ? try (0..<64).map { try SkeinSample.weights(TensorName("s\($0)"), .bf16, [9], seed: UInt64($0)) } : [])
        let path = folder.file("tuned.skein")
        try writeSkein(
            tuned, to: path, SkeinOptions(isStored: seed == 4, base: try TensorStore(opening: basePath)))
        let original = try npyFileBytes(path)
        let reader = try SkeinReader(opening: path)
        let chunks = reader.descriptors.indices.map { reader.location(of: $0).range }
        var undetected = 0
        for _ in 0..<Self.count / 4 {
            var forged = SkeinForgery(original)
            let way = random.below(4)
            switch way {
            case 0, 1: mutate(&forged.bytes, in: 0..<original.count, &random)
            case 2:
                mutate(&forged.bytes, in: 64..<64 + forged.index.count, &random, keepingSize: true)
                forged.resealIndex()
            default:
                let chunk = chunks[random.below(chunks.count)]
                mutate(&forged.bytes, in: chunk, &random, keepingSize: true)
                forged.resealChunk(chunk)
            }
            unlink(path.string)
            _ = try folder.write(forged.bytes, to: "tuned.skein")
            let isHealthy = (try? readThrough(path, salvaging: random.below(2) == 0, base: basePath)) ?? false
            if isHealthy, way < 2, forged.bytes != original { undetected += 1 }
        }
        #expect(undetected == 0, "seed \(seed)")
    }

    /// Mostly zeros, and rows that repeat each other.
    private static func packed() throws -> [SkeinSample] {
        var random = SkeinRandom(seed: 8)
        let row = try SkeinSample.noise("row", .u8, [256], seed: 6)
        return [
            try SkeinSample("zeros", .f32, [900]) { _ in random.below(9) == 0 ? UInt32(random.below(99)) : 0 },
            try SkeinSample("rows", .u8, [7, 256], (0..<7).flatMap { _ in row.bytes }),
        ]
    }

    private func mutate(
        _ bytes: inout [UInt8], in range: Range<Int>, _ random: inout SkeinRandom, keepingSize: Bool = false
    ) {
        for _ in 0...random.below(3) {
            let place = range.lowerBound + random.below(range.count)
            guard place < bytes.count else { continue }
            switch random.below(keepingSize ? 5 : 8) {
            case 4 where place + 8 <= bytes.count:
                // Sizes and positions as an attack would have them.
                let sizes: [UInt64] = [1 << 24, 1 << 31, 1 << 32, 1 << 40, 1 << 59, 1 << 60, 1 << 63, .max - 63, .max]
                let size = sizes[random.below(sizes.count)] &+ UInt64(random.below(3)) &- 1
                withUnsafeBytes(of: size.littleEndian) { bytes.replaceSubrange(place..<place + 8, with: $0) }
            case 0, 1: bytes[place] ^= 1 << UInt8(random.below(8))
            case 2: bytes[place] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)]
            case 3:
                let end = min(place + random.below(16), min(range.upperBound, bytes.count))
                for i in place..<max(place, end) { bytes[i] = UInt8(truncatingIfNeeded: random.next()) }
            case 5: bytes.removeSubrange(place..<min(bytes.count, place + random.below(200)))
            case 6: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + random.below(200))], at: place)
            default: bytes.removeSubrange(place...)
            }
        }
    }
}
