import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Damage is found, named and survived.
@Suite struct SkeinTrustTests {
    private let folder = TemporaryFolder()

    /// A file of every kind of chunk, small enough to try all of its bits.
    private static func samples() throws -> [SkeinSample] {
        [
            try SkeinSample.weights("weights", .bf16, [500], seed: 1),
            try SkeinSample.noise("noise", .u8, [70], seed: 2),
            try SkeinSample("constant", .f32, [200]) { _ in UInt32(0x3F80_0000) },
            try SkeinSample("empty", .f16, [0], []),
        ]
    }

    private static func metadata() -> Metadata {
        var metadata = Metadata()
        metadata["key"] = "value"
        return metadata
    }

    /// The files whose bits are tried.
    enum FileKind: CaseIterable { case compressed, stored, chunks, delta, blocks }

    /// Writes a small file of a kind, with a few chunks for each tensor where the kind says so.
    private func writeFile(_ kind: FileKind, to path: FilePath) throws {
        let smallChunks = SkeinOptions(chunkByteCount: 128 << 10)
        // Three chunks that take little: constant but for a few words of the last.
        let sparse = try SkeinSample("sparse", .bf16, [150_000]) { $0 < 140_000 ? UInt16(0x3F80) : UInt16($0 % 7) }
        switch kind {
        case .compressed: try writeSkein(Self.samples(), to: path, metadata: Self.metadata())
        case .stored:
            try writeSkein(Self.samples(), to: path, SkeinOptions(isStored: true), metadata: Self.metadata())
        case .chunks: try writeSkein(Self.samples() + [sparse], to: path, smallChunks, metadata: Self.metadata())
        case .delta:
            let base = try Self.samples() + [SkeinSample.weights("tuned", .bf16, [100_000], seed: 8)]
            try writeSkein(base, to: folder.file("base.skein"))
            var tuned = base[4].bytes
            for place in stride(from: 0, to: tuned.count, by: 20_000) { tuned[place] ^= 1 }
            var options = smallChunks
            options.base = try TensorStore(opening: folder.file("base.skein"))
            try writeSkein(
                Self.samples() + [SkeinSample("tuned", .bf16, [100_000], tuned)], to: path, options,
                metadata: Self.metadata())
            #expect(try SkeinReader(opening: path).needsBase(4))
        case .blocks:
            try writeSkein(
                [SkeinSample.noise("large", .u8, [70_000], seed: 3), Self.samples()[0]], to: path,
                SkeinOptions(isStored: true), metadata: Self.metadata())
        }
    }

    /// The bytes between the chunks of a file, by the sizes in their own headers.
    private static func paddingBetweenChunks(_ bytes: [UInt8]) -> [Int] {
        let file = SkeinForgery(bytes)
        var position = SkeinForgery.chunkStart(bytes)
        var padding: [Int] = []
        while position < Int(file.word(at: 32)) {
            let planes = Int(bytes[position + 17])
            let payload = (0..<planes).reduce(0) { $0 + Int(file.word(at: position + 48 + 8 * $1) & ((1 << 56) - 1)) }
            // A payload stored as it is and larger than a block has 16 bytes for each block behind it.
            let isStored = planes == 1 && payload == Int(file.word(at: position + 24))
            let hashes = isStored && payload > 65536 ? (payload + 65535) / 65536 * 16 : 0
            let end = position + 56 + 8 * planes + payload + hashes
            position = (end + 63) / 64 * 64
            padding += end..<position
        }
        return padding
    }

    @Test(arguments: FileKind.allCases) func everyFlippedBitIsFoundAndNamed(_ kind: FileKind) throws {
        let path = folder.file("a.skein")
        try writeFile(kind, to: path)
        let reader = try SkeinReader(opening: path)
        #expect(try reader.verify().damage.isEmpty)
        let chunks = reader.descriptors.indices.map { index in
            (reader.descriptors[index].name, reader.location(of: index).range)
        }
        let original = try npyFileBytes(path)
        // What follows each chunk, up to a multiple of 64, is no tensor's.
        let padding = Set(Self.paddingBetweenChunks(original))
        // Of a large payload every 61st byte, of all else every bit.
        let payload = kind == .blocks ? chunks[0].1.lowerBound + 64..<chunks[0].1.lowerBound + 64 + 70_000 : 0..<0
        #expect(original.count - payload.count < 10_000)
        let file = try FileDescriptor.open(path, .readWrite)
        defer { try? file.close() }
        var missed: [Int] = []
        var misnamed: [Int] = []
        for bit in 0..<original.count * 8 where !payload.contains(bit / 8) || bit / 8 % 61 == 0 {
            let offset = bit / 8
            try write(original[offset] ^ 1 << UInt8(bit % 8), at: offset, to: file)
            let damage = try SkeinReader(opening: path, options: ReadOptions(threads: 1)).verify().damage
            if damage.isEmpty { missed.append(bit) }
            let expected = chunks.first { $0.1.contains(offset) && !padding.contains(offset) }?.0
            if damage.count != 1 || damage[0].tensor != expected { misnamed.append(bit) }
            try write(original[offset], at: offset, to: file)
        }
        #expect(missed.isEmpty)
        #expect(misnamed.isEmpty)
    }

    private func write(_ byte: UInt8, at offset: Int, to file: FileDescriptor) throws {
        _ = try withUnsafeBytes(of: byte) { try file.writeAll(toAbsoluteOffset: Int64(offset), $0) }
    }

    /// Either seal and either index can be lost, with everything around it.
    @Test func noSingleDamagedRegionLosesTheFile() throws {
        let samples = try Self.samples()
        let path = folder.file("a.skein")
        try writeSkein(samples, to: path, metadata: Self.metadata())
        let original = try npyFileBytes(path)
        let reader = try SkeinReader(opening: path)
        let first = reader.location(of: 0).range.lowerBound
        let last = reader.location(of: 2).range.upperBound
        for region in [0..<first, last..<original.count] {
            var bytes = original
            for i in region { bytes[i] = 0xAA }
            _ = try folder.write(bytes, to: "damaged.skein")
            let damaged = try SkeinReader(opening: folder.file("damaged.skein"))
            #expect(try readAllSamples(damaged) == samples)
            #expect(damaged.metadata == Self.metadata())
            #expect(damaged.warnings.count == 2)
            #expect(try damaged.verify().damage.count >= 2)
        }
        // Both at once are too many.
        let bytes =
            [UInt8](repeating: 0xAA, count: first) + original[first..<last]
            + [UInt8](repeating: 0xAA, count: original.count - last)
        _ = try folder.write(bytes, to: "lost.skein")
        #expect(skeinRefusal { _ = try SkeinReader(opening: folder.file("lost.skein")) } == "format.bad_magic")
        var seals = original
        seals[60] ^= 1
        seals[original.count - 1] ^= 1
        _ = try folder.write(seals, to: "lost.skein")
        #expect(skeinRefusal { _ = try SkeinReader(opening: folder.file("lost.skein")) } == "format.bad_checksum")
    }

    @Test func cutFilesAreRefusedOrSalvaged() throws {
        let samples = try Self.samples()
        let path = folder.file("a.skein")
        try writeSkein(samples, to: path)
        let original = try npyFileBytes(path)
        let chunks = try SkeinReader(opening: path)
        for count in 0..<original.count {
            let cut = folder.file("cut.skein")
            unlink(cut.string)
            _ = try folder.write(Array(original[..<count]), to: "cut.skein")
            let code = skeinRefusal { _ = try SkeinReader(opening: cut) }
            #expect(count < 8 ? code == "format.bad_magic" : code == "format.truncated", "\(count)")
            guard count >= chunks.location(of: 0).range.lowerBound, count >= 128 else { continue }
            let salvaged = try SkeinReader(opening: cut, options: ReadOptions(salvaging: true))
            for (number, sample) in samples.enumerated() {
                let isThere = chunks.location(of: number).range.upperBound <= count || sample.bytes.isEmpty
                let read = try? salvaged.bytes(of: number).withUnsafeBytes { Array($0) }
                #expect(read == (isThere ? sample.bytes : nil))
            }
            let lost = Set(try salvaged.verify(deep: true).damage.compactMap(\.tensor))
            let missing = samples.indices.filter { chunks.location(of: $0).range.upperBound > count }
            #expect(lost == Set(missing.map { samples[$0].name }))
        }
        _ = try folder.write(original + [0], to: "longer.skein")
        #expect(skeinRefusal { _ = try SkeinReader(opening: folder.file("longer.skein")) } == "format.trailing_bytes")
        // The footer is where the header says, and nothing else is wrong.
        let longer = try SkeinReader(opening: folder.file("longer.skein"), options: ReadOptions(salvaging: true))
        #expect(longer.warnings.count == 1)
        _ = try folder.write(Array(original[..<chunks.location(of: 1).range.lowerBound]), to: "shorter.skein")
        let shorter = try SkeinReader(opening: folder.file("shorter.skein"), options: ReadOptions(salvaging: true))
        #expect(shorter.warnings[0].text.hasPrefix("the second index is damaged: the file ends before it"))
    }

    /// Contents that differ from their hash under checksums that are right: only a deep check decodes.
    @Test func aDeepCheckComparesContents() throws {
        let path = folder.file("a.skein")
        try writeSkein([Self.samples()[0]], to: path)
        let location = try SkeinReader(opening: path).location(of: 0)
        var forged = SkeinForgery(try npyFileBytes(path))
        // The last byte of the mantissas, which are stored raw in front: plane 0.
        forged.bytes[location.range.lowerBound + 72 + 3] ^= 1
        forged.resealChunk(location.range)
        _ = try folder.write(forged.bytes, to: "forged.skein")
        let reader = try SkeinReader(opening: folder.file("forged.skein"))
        #expect(try reader.verify().damage.isEmpty)
        let damage = try reader.verify(deep: true).damage
        #expect(damage.map(\.tensor) == ["weights"])
        #expect(damage.first?.reason.contains("hash") == true)
    }

    /// Files of later versions are refused with a reason, unless they say that they can be read.
    @Test func versionsAndFeatures() throws {
        let path = folder.file("a.skein")
        try writeSkein(Self.samples(), to: path)
        let original = SkeinForgery(try npyFileBytes(path))
        let end = original.bytes.count - 64
        func refusal(_ offset: Int, _ value: UInt8) throws -> String? {
            var forged = original
            for seal in [0, end] {
                forged.bytes[seal + offset] = value
                forged.reseal(at: seal)
            }
            _ = try folder.write(forged.bytes, to: "later.skein")
            return skeinRefusal { _ = try readSkein(folder.file("later.skein")) }
        }
        #expect(try refusal(8, 2) == "format.unsupported_version")
        #expect(try refusal(12, 4) == "format.unsupported_version")
        // Minor version and optional features.
        #expect(try refusal(10, 7) == nil)
        #expect(try refusal(16, 0xFF) == nil)
    }

    /// What the index says is checked even where its checksum is right.
    @Test func contradictionsInTheIndexAreRefused() throws {
        let path = folder.file("a.skein")
        try writeSkein(Self.samples(), to: path)
        let original = SkeinForgery(try npyFileBytes(path))
        func refusal(_ change: (inout SkeinForgery, Int) -> Void) throws -> String? {
            var forged = original
            // The record of "weights": behind the file record of 32 bytes, its length, then its fields.
            change(&forged, 64 + 32 + 4)
            forged.resealIndex()
            _ = try folder.write(forged.bytes, to: "forged.skein")
            return skeinRefusal { _ = try readSkein(folder.file("forged.skein")) }
        }
        #expect(try refusal { _, _ in } == nil)
        #expect(try refusal { $0.bytes[$1] = 4 } == "format.bad_index")
        #expect(try refusal { $0.bytes[$1] = 2 } == "format.bad_index")
        #expect(try refusal { $0.bytes[$1 + 2] = 17 } == "format.unknown_dtype")
        #expect(try refusal { $0.bytes[$1 + 4] = 200 } == "format.bad_index")
        #expect(try refusal { $0.set(100_000, at: $1 + 16) } == "format.bad_index")
        #expect(try refusal { $0.set(UInt64.max, at: $1 + 40) } == "format.overflow")
        #expect(try refusal { $0.set(1 << 62, at: $1 + 40) } == "format.overflow")
        #expect(try refusal { $0.set(1 << 28, at: $1 + 40) } == "format.bad_index")
        #expect(try refusal { $0.set(1 << 40, at: $1 + 40) } == "format.zip_bomb")
        #expect(try refusal { $0.bytes[$1 + 48] = UInt8(ascii: "b") } == "format.unknown_dtype")
        #expect(try refusal { $0.bytes[$1 + 52] = 0xFF } == "format.invalid_utf8")
        let chunk = 48 + 4 + 7
        #expect(try refusal { $0.set($0.word(at: $1 + chunk) + 64, at: $1 + chunk) } == "format.hole")
        #expect(try refusal { $0.set(64, at: $1 + chunk) } == "format.overlap")
        #expect(try refusal { $0.set(1 << 40, at: $1 + chunk + 8) } == "format.size_mismatch")
        #expect(try refusal { $0.set(0, at: $1 + chunk + 16) } == "format.bad_checksum")
        // The number of tensors.
        #expect(try refusal { $0.bytes[$1 - 32] = 3 } == "format.trailing_bytes")
        #expect(try refusal { $0.bytes[$1 - 32] = 5 } == "format.bad_index")
    }
}
