import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// One tensor, or a part of one, without the rest.
@Suite struct SkeinAccessTests {
    private let folder = TemporaryFolder()
    private let options = SkeinOptions(chunkByteCount: 128 << 10)

    @Test(arguments: [false, true]) func rangesAreThoseOfTheWhole(_ isStored: Bool) throws {
        let samples = [
            try SkeinSample.weights("a", .f32, [1000, 77], seed: 1),
            try SkeinSample.weights("b", .bf16, [123_457], seed: 2),
            try SkeinSample.noise("c", .f6E2M3, [400, 1000], seed: 3),
        ]
        let path = folder.file("a.skein")
        try writeSkein(samples, to: path, SkeinOptions(isStored: isStored, chunkByteCount: 128 << 10))
        let reader = try SkeinReader(opening: path)
        var random = SkeinRandom(seed: 7)
        for _ in 0..<300 {
            let number = random.below(3)
            let bytes = samples[number].bytes
            let start = random.below(bytes.count)
            let range = start..<start + random.below(min(bytes.count - start, 200_000)) + 1
            var target = [UInt8](repeating: 0, count: range.count)
            try target.withUnsafeMutableBytes { try reader.read(range, of: number, into: $0) }
            #expect(target == Array(bytes[range]))
        }
        let rows = try reader.bytes(of: 0, rows: 600..<602).withUnsafeBytes { Array($0) }
        #expect(rows == Array(samples[0].bytes[600 * 308..<602 * 308]))
        #expect(try reader.bytes(of: 0, rows: 5..<5).count == 0)
        #expect(skeinRefusal { _ = try reader.bytes(of: 0, rows: 999..<1001) } == "format.bad_shape")
    }

    /// Damage in other chunks and tensors does not matter, so they are not read.
    @Test func readsNothingButTheChunksThatItNeeds() throws {
        let samples = [
            try SkeinSample.weights("a", .f32, [1000, 64], seed: 1), try SkeinSample.weights("b", .f32, [500], seed: 2),
        ]
        let path = folder.file("a.skein")
        try writeSkein(samples, to: path, options)
        let location = try SkeinReader(opening: path).location(of: 0)
        var bytes = try npyFileBytes(path)
        // The first of two chunks.
        bytes[location.range.lowerBound + location.range.count / 3] ^= 1
        _ = try folder.write(bytes, to: "damaged.skein")
        let reader = try SkeinReader(opening: folder.file("damaged.skein"))
        let rows = try reader.bytes(of: 0, rows: 900..<910).withUnsafeBytes { Array($0) }
        #expect(rows == Array(samples[0].bytes[900 * 256..<910 * 256]))
        #expect(try reader.bytes(of: 1).withUnsafeBytes { Array($0) } == samples[1].bytes)
        let error = try #require(throws: FormatError.self) { try reader.bytes(of: 0, rows: 300..<310) }
        #expect(error.category == .badChecksum)
        #expect(error.tensor == "a")
        #expect(error.message.contains("bytes 0 to 131072"))
        #expect(skeinRefusal { _ = try reader.bytes(of: 0) } == "format.bad_checksum")
    }

    /// A large chunk that is read piece by piece is decompressed once, so what happens to the file after that does not matter.
    @Test func aChunkThatIsReadInPiecesIsDecodedOnce() throws {
        let base = try SkeinSample.weights("a", .bf16, [400_000], seed: 1)
        var tuned = base.bytes
        for place in stride(from: 0, to: tuned.count, by: 64) { tuned[place] ^= 1 }
        let fine = try SkeinSample("a", .bf16, [400_000], tuned)
        try writeSkein([base], to: folder.file("base.skein"))
        try writeSkein(
            [fine], to: folder.file("a.skein"),
            SkeinOptions(base: try TensorStore(opening: folder.file("base.skein"))))
        for (name, sample) in [("base", base), ("a", fine)] {
            let path = folder.file(name + ".skein")
            let reader = try SkeinReader(opening: path)
            func read(_ range: Range<Int>) throws {
                var target = [UInt8](repeating: 0, count: range.count)
                try target.withUnsafeMutableBytes { try reader.read(range, of: 0, into: $0) }
                #expect(target == Array(sample.bytes[range]))
            }
            try read(1001..<2003)
            let original = try npyFileBytes(path)
            let file = try FileDescriptor.open(path, .writeOnly)
            let place = reader.location(of: 0).range
            _ = try file.writeAll(
                toAbsoluteOffset: Int64(place.lowerBound), [UInt8](repeating: 0xAA, count: place.count))
            try read(700_001..<799_999)
            try read(0..<64)
            #expect(try reader.verify().losses.count == 1)
            // The check has read the chunk anew.
            #expect(skeinRefusal { try read(0..<64) } == "format.bad_checksum")
            _ = try file.writeAll(toAbsoluteOffset: 0, original)
            try file.close()
        }
    }

    /// Rows of a stored tensor are checked by the blocks that hold them, and by nothing else.
    @Test func aRowOfAStoredTensorNeedsNoOther() throws {
        let sample = try SkeinSample.noise("a", .u8, [300, 1000], seed: 1)
        let path = folder.file("a.skein")
        try writeSkein([sample], to: path, SkeinOptions(isStored: true))
        let start = try SkeinReader(opening: path).location(of: 0).range.lowerBound + 64
        var bytes = try npyFileBytes(path)
        // In the third of five blocks of 64 KiB, which holds the rows 131 to 196.
        bytes[start + 150_000] ^= 1
        _ = try folder.write(bytes, to: "damaged.skein")
        let reader = try SkeinReader(opening: folder.file("damaged.skein"))
        func row(_ rows: Range<Int>) throws -> [UInt8] {
            try reader.bytes(of: 0, rows: rows).withUnsafeBytes { Array($0) }
        }
        #expect(try row(0..<131) == Array(sample.bytes[..<131_000]))
        #expect(try row(197..<300) == Array(sample.bytes[197_000...]))
        for rows in [140..<141, 0..<300, 190..<250] {
            #expect(skeinRefusal { _ = try row(rows) } == "format.bad_checksum")
        }
        #expect(skeinRefusal { _ = try reader.bytes(of: 0) } == "format.bad_checksum")
        #expect(try row(0..<1) == Array(sample.bytes[..<1000]))
        // The hashes themselves.
        bytes[start + 150_000] ^= 1
        bytes[start + 300_000 + 5] ^= 1
        _ = try folder.write(bytes, to: "damaged2.skein")
        let other = try SkeinReader(opening: folder.file("damaged2.skein"))
        #expect(skeinRefusal { _ = try other.bytes(of: 0, rows: 0..<1) } == "format.bad_checksum")
        #expect(try other.verify().losses.count == 1)
    }

    @Test func storedTensorsAreMappedAtMultiplesOf64() throws {
        let samples = [
            try SkeinSample.weights("a", .f32, [1000, 640], seed: 1), try SkeinSample.noise("b", .u8, [5], seed: 2),
        ]
        let path = folder.file("a.skein")
        try writeSkein(samples, to: path, SkeinOptions(isStored: true))
        let reader = try SkeinReader(opening: path)
        for (number, sample) in samples.enumerated() {
            #expect(reader.isMapped(number))
            let bytes = try reader.bytes(of: number)
            bytes.withUnsafeBytes {
                #expect(Int(bitPattern: $0.baseAddress) % 64 == 0)
                #expect(Array($0) == sample.bytes)
            }
        }
    }

    /// Zeros decode to thousands of times their size, and so does what an attacker makes.
    @Test func warnsOfAnExpansionBeyondAThousand() throws {
        let zeros = try SkeinSample("zeros", .u8, [65 << 20], [UInt8](repeating: 0, count: 65 << 20))
        try writeSkein([zeros], to: folder.file("zeros.skein"))
        let reader = try SkeinReader(opening: folder.file("zeros.skein"))
        #expect(reader.warnings.count == 1)
        #expect(try reader.verify(deep: true).damage.isEmpty)
    }

    @Test func isRecognisedByContent() throws {
        let sample = try SkeinSample.weights("a", .f32, [10], seed: 1)
        try writeSkein([sample], to: folder.file("a.skein"))
        _ = try folder.write(npyFileBytes(folder.file("a.skein")), to: "renamed.safetensors")
        let store = try TensorStore(opening: folder.file("renamed.safetensors"))
        #expect(store.reader.format == .skein)
        #expect(try store.bytes(of: "a")?.withUnsafeBytes { Array($0) } == sample.bytes)
    }
}
