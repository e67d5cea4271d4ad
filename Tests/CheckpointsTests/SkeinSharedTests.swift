import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Small tensors share chunks, and are read as if they did not.
@Suite struct SkeinSharedTests {
    private let folder = TemporaryFolder()
    private let options = SkeinOptions(chunkByteCount: 128 << 10)

    /// Weights of two types among which others lie, some of them empty, and a large tensor in between.
    private static func samples(seed: UInt64 = 0) throws -> [SkeinSample] {
        var samples: [SkeinSample] = []
        for number in 0..<400 {
            let type: DType = number % 3 == 0 ? .f32 : .bf16
            samples.append(
                try .weights(TensorName("layers.\(number).weight"), type, [3, 70], seed: seed &+ UInt64(number)))
            if number % 50 == 0 {
                samples.append(try SkeinSample(TensorName("steps.\(number)"), .i64, []) { _ in Int64(number) })
            }
            if number % 90 == 0 { samples.append(try SkeinSample(TensorName("empty.\(number)"), .bf16, [0, 7], [])) }
            if number == 200 { samples.append(try .weights("large", .bf16, [100, 100], seed: seed &+ 1000)) }
        }
        return samples
    }

    private func byName(_ samples: [SkeinSample]) -> [String: SkeinSample] {
        Dictionary(uniqueKeysWithValues: samples.map { ($0.name.text, $0) })
    }

    @Test func areReadOneByOne() throws {
        let samples = try Self.samples()
        let path = folder.file("a.skein")
        let written = try writeSkein(samples, to: path, options)
        // A chunk of its own for each would take more than the data.
        let byteCount = samples.reduce(0) { $0 + $1.bytes.count }
        #expect(written.byteCount * 100 < byteCount * 82)
        #expect(try byName(readSkein(path)) == byName(samples))
        let reader = try SkeinReader(opening: path)
        #expect(try reader.verify(deep: true).damage.isEmpty)
        for sample in samples.reversed() where sample.bytes.count > 8 {
            let index = try #require(reader.descriptors.firstIndex { $0.name == sample.name })
            let rowByteCount = sample.bytes.count / sample.descriptor.shape.dims[0]
            let row = try reader.bytes(of: index, rows: 1..<2).withUnsafeBytes { Array($0) }
            #expect(row == Array(sample.bytes[rowByteCount..<2 * rowByteCount]))
        }
    }

    /// The same tensors have the same identity when each lies by itself.
    @Test func haveTheIdentityOfTheirContents() throws {
        let samples = try Self.samples()
        try writeSkein(samples, to: folder.file("a.skein"), options)
        try writeSkein(samples, to: folder.file("b.skein"), SkeinOptions(isStored: true))
        let identities = try ["a", "b"].map { try SkeinReader(opening: folder.file($0 + ".skein")).identity }
        #expect(identities[0] == identities[1])
    }

    /// Pieces in any order, from any thread, make the same bytes.
    @Test func aFileDoesNotDependOnTheOrderOfWriting() throws {
        let samples = try Self.samples()
        try writeSkein(samples, to: folder.file("a.skein"), options)
        let writer = try CheckpointFormat.makeWriter(
            .skein, at: folder.file("b.skein"), declaring: samples.map(\.descriptor),
            options: WriteOptions(sync: false, skein: options))
        try parallel(count: samples.count, threads: 3) { turn in
            let number = samples.count - 1 - turn
            try samples[number].bytes.withUnsafeBytes { bytes in
                let half = bytes.count / 2
                try writer.write(UnsafeRawBufferPointer(rebasing: bytes[half...]), tensor: number, at: half)
                try writer.write(UnsafeRawBufferPointer(rebasing: bytes[..<half]), tensor: number, at: 0)
            }
        }
        _ = try writer.finish()
        #expect(try npyFileBytes(folder.file("a.skein")) == npyFileBytes(folder.file("b.skein")))
    }

    /// Files that gain next to nothing need no feature that older readers lack.
    @Test(arguments: [63, 64]) func fewStayByThemselves(_ count: Int) throws {
        let samples = try (0..<count).map {
            try SkeinSample.weights(TensorName("w\($0)"), .f32, [20], seed: UInt64($0))
        }
        try writeSkein(samples, to: folder.file("a.skein"))
        #expect(try npyFileBytes(folder.file("a.skein"))[12] == (count < 64 ? 0 : 1))
        #expect(try readSkein(folder.file("a.skein")) == samples)
    }

    @Test func aDamagedChunkCostsThoseThatShareIt() throws {
        let samples = try Self.samples()
        let path = folder.file("a.skein")
        try writeSkein(samples, to: path, options)
        let whole = try SkeinReader(opening: path)
        let last = try #require(whole.descriptors.firstIndex { $0.name == "layers.399.weight" })
        var bytes = try npyFileBytes(path)
        bytes[whole.location(of: last).range.upperBound - 1] ^= 1
        let damaged = folder.file("damaged.skein")
        _ = try folder.write(bytes, to: "damaged.skein")
        let reader = try SkeinReader(opening: damaged)
        let lost = try Set(reader.verify(deep: true).losses.compactMap { $0.tensor?.text })
        #expect(lost.contains("layers.399.weight") && !lost.contains("layers.0.weight") && !lost.contains("large"))
        for index in reader.descriptors.indices {
            let name = reader.descriptors[index].name
            do {
                let read = try reader.bytes(of: index).withUnsafeBytes { Array($0) }
                #expect(!lost.contains(name.text))
                #expect(read == byName(samples)[name.text]?.bytes)
            } catch let error as FormatError {
                #expect(lost.contains(name.text))
                #expect(error.category == .badChecksum)
                #expect(error.tensor == name.description)
            }
        }
    }

    /// Each against its own tensor of the base, wherever that lies; one that the base has not stands beside zeros.
    @Test func gainFromABase() throws {
        let base = try Self.samples()
        var tuned = try base.map { sample in
            var bytes = sample.bytes
            for place in stride(from: 0, to: bytes.count, by: 64) { bytes[place] ^= 1 }
            return try SkeinSample(sample.name, sample.descriptor.dtype, sample.descriptor.shape, bytes)
        }
        tuned[5] = try .weights("new", .bf16, [40], seed: 1)
        tuned[7] = try .weights(tuned[7].name, .bf16, [70, 3], seed: 2)
        try writeSkein(base.reversed(), to: folder.file("base.skein"), SkeinOptions(isStored: true))
        let plain = try writeSkein(tuned, to: folder.file("plain.skein"), options)
        let store = try TensorStore(opening: folder.file("base.skein"))
        let path = folder.file("tuned.skein")
        let written = try writeSkein(tuned, to: path, SkeinOptions(chunkByteCount: 128 << 10, base: store))
        #expect(written.byteCount < plain.byteCount / 2)
        #expect(written.baseGain?.missing == 1)
        #expect(written.baseGain?.shape == 1)
        #expect(try byName(readSkein(path)) == byName(tuned))
        #expect(try SkeinReader(opening: path).verify(deep: true).damage.isEmpty)
        var other = base
        other[9] = try .weights(base[9].name, base[9].descriptor.dtype, base[9].descriptor.shape, seed: 77)
        try writeSkein(other, to: folder.file("other.skein"))
        #expect(skeinRefusal { _ = try readSkein(path, base: folder.file("other.skein")) } == "format.wrong_base")
    }

    /// What a table of members claims is checked before anything is done with it.
    @Test func aTableThatLiesIsRefused() throws {
        // Names that no compressor shortens, so that the table stands in the index as it is.
        var random = SkeinRandom(seed: 3)
        let samples = try (0..<64).map { number in
            try SkeinSample.noise(
                TensorName("\(number)\(random.next())\(random.next())"), .u8, [9], seed: random.next())
        }
        let path = folder.file("a.skein")
        try writeSkein(samples, to: path)
        let original = try npyFileBytes(path)
        let record = 64 + 32
        let table = record + 44 + 8 + 2 + 24
        func refusal(_ change: (inout SkeinForgery) -> Void) throws -> String? {
            var forged = SkeinForgery(original)
            change(&forged)
            forged.resealIndex()
            _ = try folder.write(forged.bytes, to: "forged.skein")
            return skeinRefusal { _ = try readSkein(folder.file("forged.skein")) }
        }
        #expect(try refusal { _ in } == nil)
        // Far more than is stored of it.
        #expect(
            try refusal { $0.bytes.replaceSubrange(table..<table + 4, with: [0xFF, 0xFF, 0xFF, 0x7F]) }
                == "format.bad_index")
        #expect(try refusal { $0.bytes[table + 4] ^= 1 } != nil)
        // A group that is contiguous, has a name, or lies in a file that does not say so.
        #expect(try refusal { $0.bytes[record + 4] |= 1 } == "format.bad_index")
        #expect(try refusal { $0.bytes[record + 12] = 1 } != nil)
        #expect(
            try refusal { forged in
                for seal in [0, forged.bytes.count - 64] {
                    forged.bytes[seal + 12] = 0
                    forged.reseal(at: seal)
                }
            } == "format.bad_index")
        // A feature of later days.
        #expect(
            try refusal { forged in
                for seal in [0, forged.bytes.count - 64] {
                    forged.bytes[seal + 12] |= 2
                    forged.reseal(at: seal)
                }
            } == "format.unsupported_version")
    }
}
