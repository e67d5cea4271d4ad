import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Checkpoints stored as the difference to another one.
@Suite struct SkeinDeltaTests {
    private let folder = TemporaryFolder()

    private static func base() throws -> [SkeinSample] {
        [
            try SkeinSample.weights("encoder", .bf16, [400, 500], seed: 1),
            try SkeinSample.weights("decoder", .f32, [300, 500], seed: 2),
            try SkeinSample.weights("head", .f32, [10, 500], seed: 3),
            try SkeinSample("counts", .i64, [5000]) { Int64($0 * 3) },
        ]
    }

    /// As a fine-tune leaves it: small steps everywhere, one tensor as it was, one with another shape.
    private static func tuned() throws -> [SkeinSample] {
        var random = SkeinRandom(seed: 9)
        let base = try base()
        func words<Word: FixedWidthInteger>(_ sample: SkeinSample, _: Word.Type) -> [Word] {
            sample.bytes.withUnsafeBytes { bytes in
                (0..<bytes.count / MemoryLayout<Word>.size).map {
                    bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Word>.size, as: Word.self)
                }
            }
        }
        let encoder = words(base[0], UInt16.self)
        let decoder = words(base[1], UInt32.self)
        return [
            try SkeinSample("encoder", .bf16, [400, 500]) { encoder[$0] &+ UInt16(random.below(3)) &- 1 },
            try SkeinSample("decoder", .f32, [300, 500]) { decoder[$0] &+ UInt32(random.below(4000)) &- 2000 },
            try SkeinSample.weights("head", .f32, [20, 500], seed: 4),
            base[3],
        ]
    }

    /// The base may be of any format; what is read is the same.
    @Test(arguments: ["safetensors", "skein", "npz"]) func comesBackAgainstAnyBase(_ suffix: String) throws {
        var base = try Self.base()
        // NumPy has no BF16.
        if suffix == "npz" { base.removeFirst() }
        let basePath = folder.file("base." + suffix)
        let writer = try CheckpointFormat.makeWriter(
            #require(CheckpointFormat.format(ofOutput: basePath)), at: basePath, declaring: base.map(\.descriptor),
            options: WriteOptions(sync: false))
        for (number, sample) in base.enumerated() {
            try sample.bytes.withUnsafeBytes { try writer.write($0, tensor: number, at: 0) }
        }
        _ = try writer.finish()
        let tuned = try Self.tuned()
        let path = folder.file("tuned.skein")
        try writeSkein(
            tuned, to: path, SkeinOptions(chunkByteCount: 64 << 10, base: try TensorStore(opening: basePath)))

        // Found beside the file, or named.
        #expect(try readSkein(path) == tuned)
        #expect(try readSkein(path, base: basePath) == tuned)
        let reader = try SkeinReader(opening: path)
        #expect(reader.baseFileName == "base." + suffix)
        #expect(try reader.verify(deep: true).damage.isEmpty)
        let needing = reader.descriptors.indices.filter(reader.needsBase).map { reader.descriptors[$0].name }
        #expect(needing == (suffix == "npz" ? ["decoder", "counts"] : ["encoder", "decoder", "counts"]))
    }

    @Test func takesLessThanByItself() throws {
        try writeSkein(Self.base(), to: folder.file("base.skein"))
        let base = try TensorStore(opening: folder.file("base.skein"))
        let alone = try writeSkein(Self.tuned(), to: folder.file("alone.skein"))
        let delta = try writeSkein(Self.tuned(), to: folder.file("delta.skein"), SkeinOptions(base: base))
        #expect(delta.byteCount * 100 < alone.byteCount * 50)
    }

    /// Weights that have nothing to do with the base are stored as without one.
    @Test func aTensorThatDoesNotProfitIsStoredPlain() throws {
        let base = try SkeinSample.weights("a", .bf16, [1000, 100], seed: 1)
        let other = try SkeinSample.weights("a", .bf16, [1000, 100], seed: 2)
        try writeSkein([base], to: folder.file("base.skein"))
        let alone = try writeSkein([other], to: folder.file("alone.skein"))
        let delta = try writeSkein(
            [other], to: folder.file("delta.skein"),
            SkeinOptions(base: try TensorStore(opening: folder.file("base.skein"))))
        let reader = try SkeinReader(opening: folder.file("delta.skein"))
        #expect(!reader.needsBase(0))
        // The name of the base, in both copies of the index.
        #expect(delta.byteCount <= alone.byteCount + 128)
    }

    @Test func aMissingBaseIsNamedAndTheRestIsReadable() throws {
        try writeSkein(Self.base(), to: folder.file("base.skein"))
        let base = try TensorStore(opening: folder.file("base.skein"))
        let identity = try #require(base.reader as? SkeinReader).identity
        let elsewhere = TemporaryFolder()
        let path = elsewhere.file("tuned.skein")
        let tuned = try Self.tuned()
        try writeSkein(tuned, to: path, SkeinOptions(base: base))
        let reader = try SkeinReader(opening: path)
        let error = try #require(throws: FormatError.self) { try reader.bytes(of: 0) }
        #expect(error.category == .missingBase)
        #expect(error.message.contains("base.skein") && error.message.contains(identity.description))
        #expect(error.hint?.contains("1 of 4 tensors") == true)
        #expect(try reader.bytes(of: 2).withUnsafeBytes { Array($0) } == tuned[2].bytes)
        // Checksums need no base.
        #expect(try reader.verify().damage.isEmpty)
        #expect(try readSkein(path, base: folder.file("base.skein")) == tuned)
    }

    @Test func aWrongBaseIsToldByBothHashes() throws {
        try writeSkein(Self.base(), to: folder.file("base.skein"))
        let base = try TensorStore(opening: folder.file("base.skein"))
        let right = try #require(base.reader as? SkeinReader).identity
        let path = folder.file("tuned.skein")
        try writeSkein(Self.tuned(), to: path, SkeinOptions(base: base))
        // The same tensors with other values, and other tensors.
        var changed = try Self.base()
        changed[0] = try SkeinSample.weights("encoder", .bf16, [400, 500], seed: 77)
        for (name, samples) in [("changed", changed), ("fewer", Array(changed[2...]))] {
            let other = folder.file(name + ".skein")
            try writeSkein(samples, to: other)
            let wrong = try SkeinReader(opening: other).identity
            let error = try #require(throws: FormatError.self) {
                try SkeinReader(opening: path, options: ReadOptions(base: other)).bytes(of: 0)
            }
            #expect(error.category == .wrongBase)
            #expect(error.message.contains(right.description) && error.message.contains(wrong.description))
        }
    }

    @Test func aBaseStandsByItself() throws {
        try writeSkein(Self.base(), to: folder.file("base.skein"))
        let path = folder.file("tuned.skein")
        try writeSkein(
            Self.tuned(), to: path, SkeinOptions(base: try TensorStore(opening: folder.file("base.skein"))))
        let delta = try TensorStore(opening: path)
        #expect(
            skeinRefusal { try writeSkein(Self.tuned(), to: folder.file("x.skein"), SkeinOptions(base: delta)) }
                == "format.wrong_base")
        // Nor can it be its own.
        #expect(skeinRefusal { _ = try readSkein(path, base: path) } == "format.wrong_base")
    }

    /// The identity of a checkpoint does not depend on its format or the order of its tensors.
    @Test func identityIsThatOfTheContents() throws {
        let samples = try Self.base()
        try writeSkein(samples, to: folder.file("a.skein"))
        try writeSkein(samples.reversed(), to: folder.file("b.skein"), SkeinOptions(isStored: true))
        try writeSkein(samples.map { $0 }, to: folder.file("c.skein"), SkeinOptions(chunkByteCount: 64 << 10))
        let identities = try ["a", "b", "c"].map { try SkeinReader(opening: folder.file($0 + ".skein")).identity }
        #expect(Set(identities).count == 1)
        try writeSkein(Array(samples[1...]), to: folder.file("d.skein"))
        #expect(try SkeinReader(opening: folder.file("d.skein")).identity != identities[0])
    }
}
