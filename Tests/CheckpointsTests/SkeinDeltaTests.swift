import Checkpoints
import Glibc
import Synchronization
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
            tuned, to: path, SkeinOptions(chunkByteCount: 128 << 10, base: try TensorStore(opening: basePath)))

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

    /// Encoder, decoder and counts gain, the head has another shape; BF16 as F16, a new name and noise do not.
    @Test func countsWhatGained() throws {
        try writeSkein(Self.base(), to: folder.file("base.skein"))
        let base = try TensorStore(opening: folder.file("base.skein"))
        let tuned = try Self.tuned()
        let first = try #require(try writeSkein(tuned, to: folder.file("a.skein"), SkeinOptions(base: base)).baseGain)
        #expect((first.gained, first.missing, first.shape, first.dtype, first.noGain) == (3, 0, 1, 0, 0))
        #expect(first.tensors == 4)
        // All but the 20 x 500 F32 of the head.
        #expect(first.byteCount - first.gainedByteCount == 40_000)
        let others = [
            try SkeinSample.noise("encoder", .f16, [400, 500], seed: 1),
            try SkeinSample.weights("adapter", .f32, [400, 500], seed: 1),
            try SkeinSample.noise("decoder", .f32, [300, 500], seed: 5),
            try SkeinSample("counts", .i32, [5000]) { Int32($0) },
        ]
        let second = try #require(try writeSkein(others, to: folder.file("b.skein"), SkeinOptions(base: base)).baseGain)
        #expect((second.gained, second.missing, second.shape, second.dtype, second.noGain) == (0, 1, 0, 2, 1))
        #expect(second.types.map(\.here) == [.f16, .i32] && second.types.map(\.there) == [.bf16, .i64])
        #expect(second.gainedByteCount == 0)
        #expect(try writeSkein(tuned, to: folder.file("c.skein")).baseGain == nil)
    }

    /// F32 against a base of BF16 or F16, whose numbers it holds: alone, and among small tensors that share chunks.
    @Test(arguments: [DType.bf16, .f16]) func aBaseMayBeNarrower(_ dtype: DType) throws {
        var random = SkeinRandom(seed: 21)
        var base: [SkeinSample] = []
        var tuned: [SkeinSample] = []
        for number in 0..<70 {
            let name = TensorName("w\(number)")
            let shape: Shape = number == 0 ? [300, 211] : [41, 2]
            let numbers = try (0..<shape.elementCount()).map { _ in random.weight() }
            func word(_ x: Float) -> UInt16 {
                dtype == .bf16 ? UInt16(x.bitPattern >> 16) : Float16(x).bitPattern
            }
            func value(_ word: UInt16) -> Float {
                dtype == .bf16 ? Float(bitPattern: UInt32(word) << 16) : Float(Float16(bitPattern: word))
            }
            base.append(try SkeinSample(name, dtype, shape) { word(numbers[$0]) })
            tuned.append(
                try SkeinSample(name, .f32, shape) {
                    (value(word(numbers[$0])) + Float(random.below(2000) - 1000) * 1e-8).bitPattern
                })
        }
        try writeSkein(base, to: folder.file("base.skein"))
        let store = try TensorStore(opening: folder.file("base.skein"))
        let alone = try writeSkein(tuned, to: folder.file("alone.skein"))
        let path = folder.file("tuned.skein")
        let written = try writeSkein(tuned, to: path, SkeinOptions(base: store))
        #expect(written.byteCount * 100 < alone.byteCount * 80)
        #expect(written.baseGain?.gained == 70)
        #expect(written.baseGain?.dtype == 0)
        #expect(try npyFileBytes(path)[12] == 1)
        #expect(try readSkein(path) == tuned)
        let reader = try SkeinReader(opening: path)
        #expect(try reader.verify(deep: true).damage.isEmpty)
        #expect(
            try reader.bytes(of: 0, rows: 7..<9).withUnsafeBytes { Array($0) }
                == Array(tuned[0].bytes[7 * 844..<9 * 844]))
        // The other way round numbers would be rounded.
        try writeSkein(tuned, to: folder.file("wide.skein"))
        let narrow = try writeSkein(
            base, to: folder.file("narrow.skein"),
            SkeinOptions(base: try TensorStore(opening: folder.file("wide.skein"))))
        #expect(narrow.baseGain?.dtype == 70)
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

    /// A base that is a folder is found again under the name of the folder, shards and all.
    @Test(arguments: ["model.safetensors", "model.skein", "shards"]) func aFolderIsABase(_ file: String) throws {
        let base = try Self.base()
        let models = folder.file("models")
        #expect(mkdir(models.string, 0o755) == 0)
        let output = models.appending(file == "shards" ? "model.safetensors" : file)
        let writer = try CheckpointFormat.makeWriter(
            #require(CheckpointFormat.format(ofOutput: output)), at: output, declaring: base.map(\.descriptor),
            options: WriteOptions(sync: false, shardByteCount: file == "shards" ? 500_000 : nil))
        for (number, sample) in base.enumerated() {
            try sample.bytes.withUnsafeBytes { try writer.write($0, tensor: number, at: 0) }
        }
        let written = try writer.finish().files
        // The shards and their index.
        #expect(written.count == (file == "shards" ? 4 : 1))
        let tuned = try Self.tuned()
        let path = folder.file("tuned.skein")
        try writeSkein(tuned, to: path, SkeinOptions(base: try TensorStore(opening: models)))
        #expect(try SkeinReader(opening: path).baseFileName == "models")
        #expect(try readSkein(path) == tuned)
        #expect(try SkeinReader(opening: path).verify(deep: true).damage.isEmpty)
        // The index of shards by itself.
        guard file == "shards" else { return }
        let index = models.appending("model.safetensors.index.json")
        let beside = models.appending("tuned.skein")
        try writeSkein(tuned, to: beside, SkeinOptions(base: try TensorStore(opening: index)))
        #expect(try SkeinReader(opening: beside).baseFileName == "model.safetensors.index.json")
        #expect(try readSkein(beside) == tuned)
    }

    /// A name of a base that no chunk needs is no chain.
    @Test func whatNeedsNoBaseMayBeOne() throws {
        try writeSkein(Self.base(), to: folder.file("first.skein"))
        let unrelated = [try SkeinSample.weights("encoder", .bf16, [400, 500], seed: 50)]
        try writeSkein(
            unrelated, to: folder.file("second.skein"),
            SkeinOptions(base: try TensorStore(opening: folder.file("first.skein"))))
        #expect(try SkeinReader(opening: folder.file("second.skein")).baseFileName == "first.skein")
        try writeSkein(
            unrelated, to: folder.file("third.skein"),
            SkeinOptions(base: try TensorStore(opening: folder.file("second.skein"))))
        #expect(try SkeinReader(opening: folder.file("third.skein")).needsBase(0))
        #expect(try readSkein(folder.file("third.skein")) == unrelated)
    }

    /// A base that decodes in ranges, counting how much of it is asked for at once.
    private final class RangeReader: CheckpointReader {
        let samples: [SkeinSample]
        let largest = Mutex(0)
        let descriptors: [TensorDescriptor]
        init(_ samples: [SkeinSample]) {
            self.samples = samples
            descriptors = samples.map(\.descriptor)
        }
        var format: FormatID { .safetensors }
        var path: FilePath { "ranges" }
        var files: [FilePath] { [] }
        var metadata: Metadata { Metadata() }
        var warnings: [Warning] { [] }
        func isMapped(_ index: Int) -> Bool { false }
        func canReadRanges(of index: Int) -> Bool { true }
        func location(of index: Int) -> StoredLocation { StoredLocation(file: path, range: 0..<0) }
        func verify(
            deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
        ) throws -> Verification { Verification() }
        func bytes(of index: Int) throws -> TensorBytes {
            throw FormatError(.badChunk, "nobody may ask for the whole")
        }
        func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
            largest.withLock { $0 = max($0, range.count) }
            try samples[index].bytes.withUnsafeBytes { bytes in
                guard target.count == range.count, range.upperBound <= bytes.count else {
                    throw FormatError(.truncated, "a range beyond the end")
                }
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[range]))
            }
        }
    }

    /// Hashing a base of another format takes pieces of it, not whole tensors.
    @Test func theIdentityIsTakenInPieces() throws {
        let samples = [try SkeinSample.weights("a", .f32, [900_001], seed: 1), try Self.base()[3]]
        let reader = RangeReader(samples)
        try writeSkein(samples, to: folder.file("base.skein"))
        let path = folder.file("tuned.skein")
        try writeSkein(samples, to: path, SkeinOptions(base: TensorStore(reader)))
        #expect(reader.largest.withLock { $0 } <= 1 << 20)
        // The same identity as its own format has: the file says which base it wants.
        let error = try #require(throws: FormatError.self) { try SkeinReader(opening: path).bytes(of: 0) }
        #expect(error.message.contains(try SkeinReader(opening: folder.file("base.skein")).identity.description))
    }

    /// The identity of a checkpoint does not depend on its format or the order of its tensors.
    @Test func identityIsThatOfTheContents() throws {
        let samples = try Self.base()
        try writeSkein(samples, to: folder.file("a.skein"))
        try writeSkein(samples.reversed(), to: folder.file("b.skein"), SkeinOptions(isStored: true))
        try writeSkein(samples.map { $0 }, to: folder.file("c.skein"), SkeinOptions(chunkByteCount: 128 << 10))
        let identities = try ["a", "b", "c"].map { try SkeinReader(opening: folder.file($0 + ".skein")).identity }
        #expect(Set(identities).count == 1)
        try writeSkein(Array(samples[1...]), to: folder.file("d.skein"))
        #expect(try SkeinReader(opening: folder.file("d.skein")).identity != identities[0])
    }
}
