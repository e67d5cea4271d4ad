import Checkpoints
import Foundation
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// What a file claims, and what a caller declares, is measured before memory is taken for it.
@Suite struct SkeinLimitTests {
    private let folder = TemporaryFolder()

    @Test func aSmallFileCannotClaimHugeTensors() throws {
        let zeros = try SkeinSample("zeros", .u8, [64 << 20], [UInt8](repeating: 0, count: 64 << 20))
        let path = folder.file("zeros.skein")
        let written = try writeSkein([zeros], to: path, SkeinOptions(chunkByteCount: 16 << 20))
        #expect(written.byteCount < 2000)
        #expect(try SkeinReader(opening: path).bytes(of: 0).count == 64 << 20)
        for salvaging in [false, true] {
            let options = ReadOptions(salvaging: salvaging, expansionAllowance: 32 << 20)
            let error = try #require(throws: FormatError.self) { try SkeinReader(opening: path, options: options) }
            #expect(error.category == .zipBomb)
            #expect(error.tensor == "zeros")
        }
    }

    /// A file of 60 KB that claims 4 GiB, its chunks all alike.
    @Test func theAllowanceIsSmallerThanMemory() throws {
        let zeros = try SkeinSample("zeros", .u8, [32 << 20], [UInt8](repeating: 0, count: 32 << 20))
        let path = folder.file("zeros.skein")
        try writeSkein([zeros], to: path, SkeinOptions(chunkByteCount: 16 << 20))
        let small = try npyFileBytes(path)
        let header = 64 + 32 + 44 + 8 + 2 + 5
        var record = Array(small[96..<header])
        var chunks: [UInt8] = []
        func put(_ value: Int, _ bytes: inout [UInt8], at offset: Int, count: Int) {
            for i in 0..<count { bytes[offset + i] = UInt8(truncatingIfNeeded: value >> (8 * i)) }
        }
        let count = 256
        put(record.count - 4 + 24 * count, &record, at: 0, count: 4)
        put(count * 16 << 20, &record, at: 44, count: 8)
        let index = Array(small[64..<96]) + record
        let start = (64 + index.count + 24 * count + 63) / 64 * 64
        let chunk = Array(small[SkeinForgery.chunkStart(small)...].prefix(65))
        var places: [UInt8] = []
        for number in 0..<count {
            var bytes = chunk + [UInt8](repeating: 0, count: 63)
            put(number, &bytes, at: 8, count: 8)
            var forged = SkeinForgery(bytes)
            forged.set(forged.hash(0..<56), at: 56)
            chunks += forged.bytes
            places += [UInt8](repeating: 0, count: 24)
            put(start + 128 * number, &places, at: 24 * number, count: 8)
            put(65, &places, at: 24 * number + 8, count: 8)
            put(Int(truncatingIfNeeded: forged.word(at: 56)), &places, at: 24 * number + 16, count: 8)
        }
        var whole = index + places
        let indexByteCount = whole.count
        whole += [UInt8](repeating: 0, count: start - 64 - whole.count)
        var forged = SkeinForgery(Array(small[..<64]) + whole + chunks + whole + Array(small.suffix(64)))
        let seals = [0, forged.bytes.count - 64]
        for seal in seals {
            forged.set(UInt64(indexByteCount), at: seal + 24)
            forged.set(UInt64(start + chunks.count), at: seal + 32)
            forged.set(UInt64(forged.bytes.count), at: seal + 40)
        }
        forged.resealIndex()
        _ = try folder.write(forged.bytes, to: "bomb.skein")
        let bomb = folder.file("bomb.skein")
        #expect(skeinRefusal { _ = try SkeinReader(opening: bomb) } == "format.zip_bomb")
        // It is the limit that refuses it, and nothing else.
        let reader = try SkeinReader(opening: bomb, options: ReadOptions(expansionAllowance: .max))
        #expect(reader.descriptors[0].byteCount == 4 << 30)
        #expect(try reader.verify().damage.isEmpty)
    }

    /// A file that was cut short claims as much as it likes; nothing is allocated by its word.
    @Test func aCutFileClaimsInVain() throws {
        let path = folder.file("a.skein")
        try writeSkein([SkeinSample.noise("a", .u8, [100], seed: 1)], to: path, SkeinOptions(isStored: true))
        var forged = SkeinForgery(try npyFileBytes(path))
        let size = 1 << 50
        let record = 64 + 32 + 4
        let chunk = record + 40 + 8 + 2 + 1
        forged.set(UInt64(size), at: record + 16)
        forged.set(UInt64(size), at: record + 40)
        forged.set(UInt64(size + 64), at: chunk + 8)
        let start = Int(forged.word(at: chunk))
        let second = start + size + 64
        forged.set(UInt64(second), at: 32)
        forged.set(UInt64((second + forged.index.count + 63) / 64 * 64 + 64), at: 40)
        forged.set(forged.hash(forged.index), at: 48)
        forged.reseal(at: 0)
        _ = try folder.write(Array(forged.bytes[..<start]) + [1, 2, 3], to: "cut.skein")
        let reader = try SkeinReader(opening: folder.file("cut.skein"), options: ReadOptions(salvaging: true))
        #expect(reader.descriptors[0].byteCount == size)
        #expect(skeinRefusal { _ = try reader.bytes(of: 0) } == "format.bad_checksum")
        #expect(skeinRefusal { _ = try reader.bytes(of: 0, rows: 0..<size / 2) } == "format.bad_checksum")
        #expect(try reader.verify(deep: true).losses.count == 1)
    }

    /// Sizes are declared before any data exists for them.
    @Test func declarationsAreMeasuredFirst() throws {
        let huge = try TensorDescriptor(name: "huge", dtype: .u8, shape: Shape([1 << 59]))
        let vast = try TensorDescriptor(name: "vast", dtype: .u8, shape: Shape([(1 << 60) - 1]))
        func refusal(_ declared: [TensorDescriptor], _ options: SkeinOptions) -> String? {
            skeinRefusal {
                _ = try CheckpointFormat.makeWriter(
                    .skein, at: folder.file("x.skein"), declaring: declared, options: WriteOptions(skein: options))
            }
        }
        for declared in [[huge], [vast], [huge, vast]] {
            for shift in [17, 20, 24] {
                let options = SkeinOptions(chunkByteCount: 1 << shift)
                #expect(refusal(declared, options) == "format.header_too_large")
            }
        }
        #expect(refusal([vast], SkeinOptions(isStored: true)) == "format.overflow")
        #expect(refusal([huge, vast], SkeinOptions(isStored: true)) == "format.overflow")
        // The hashes of its blocks alone have 2^47 bytes.
        #expect(refusal([huge], SkeinOptions(isStored: true)) == "io.memory")
    }

    /// What no reader would open is not written; at the usual chunk size everything is.
    @Test func writesNothingThatItWouldRefuseToRead() throws {
        let zeros = try AlignedBuffer(byteCount: 16 << 20)
        let size = (1 << 30) + 1
        for (chunkByteCount, refusal) in [(16 << 20, "format.zip_bomb"), (1 << 20, nil)] {
            let path = folder.file("\(chunkByteCount).skein")
            let writer = try CheckpointFormat.makeWriter(
                .skein, at: path, declaring: [TensorDescriptor(name: "a", dtype: .u8, shape: Shape([size]))],
                options: WriteOptions(sync: false, skein: SkeinOptions(chunkByteCount: chunkByteCount)))
            for start in stride(from: 0, to: size, by: zeros.byteCount) {
                let count = min(zeros.byteCount, size - start)
                try writer.write(UnsafeRawBufferPointer(rebasing: zeros.bytes[..<count]), tensor: 0, at: start)
            }
            #expect(skeinRefusal { _ = try writer.finish() } == refusal)
            if refusal == nil { #expect(try SkeinReader(opening: path).verify().damage.isEmpty) }
        }
    }

    /// Noise takes next to nothing beyond itself, whatever the chunks.
    @Test(arguments: [DType.u8, .bf16, .f32, .f64]) func noiseGrowsByLessThanAThousandth(_ dtype: DType) throws {
        let sample = try SkeinSample.noise("noise", dtype, [(4 << 20) * 8 / dtype.bitWidth], seed: 6)
        let bytes = sample.bytes
        for shift in 17...24 {
            for level in SkeinLevel.allCases {
                let written = try writeSkein(
                    [sample], to: folder.file("noise.skein"), SkeinOptions(level: level, chunkByteCount: 1 << shift))
                #expect(written.byteCount * 1000 <= bytes.count * 1001, "\(1 << shift) \(level)")
            }
        }
        let stored = try writeSkein([sample], to: folder.file("noise.skein"), SkeinOptions(isStored: true))
        #expect(stored.byteCount * 1000 <= bytes.count * 1001)
    }

    /// Chunks that wait count by the memory that they hold, not by what they code to.
    @Test func waitingChunksHoldNoMoreMemoryThanAllowed() throws {
        let count = 40
        let unit = 128 << 10
        let zeros = [UInt8](repeating: 0, count: unit)
        var options = SkeinOptions(chunkByteCount: unit)
        options.waitingByteLimit = 1 << 20
        let path = folder.file("reversed.skein")
        let writer = try CheckpointFormat.makeWriter(
            .skein, at: path, declaring: [TensorDescriptor(name: "a", dtype: .u8, shape: Shape([count * unit]))],
            options: WriteOptions(sync: false, skein: options))
        func scratchFiles() throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: folder.path.string).count { $0.contains("scratch") }
        }
        for number in (0..<count).reversed() {
            try zeros.withUnsafeBytes { try writer.write($0, tensor: 0, at: number * unit) }
            // Seven buffers of a little over 128 KiB fit.
            if number == count - 7 { #expect(try scratchFiles() == 0) }
            if number == count - 8 { #expect(try scratchFiles() == 1) }
        }
        _ = try writer.finish()
        #expect(try scratchFiles() == 0)
        #expect(try SkeinReader(opening: path).verify(deep: true).damage.isEmpty)
    }
}
