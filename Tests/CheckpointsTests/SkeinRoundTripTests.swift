import Checkpoints
import Dispatch
import Foundation
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// What goes in comes out, bit for bit, however it was written.
@Suite struct SkeinRoundTripTests {
    private let folder = TemporaryFolder()

    /// Every dtype over sizes around the borders of chunks and of what is stored raw.
    @Test(arguments: DType.allCases, [0, 1, 3, 1000, 140_001])
    func everyTypeComesBack(_ dtype: DType, _ count: Int) throws {
        let elements = dtype.bitWidth % 8 == 0 ? count : count * 4
        let noise = try SkeinSample.noise("noise", dtype, [elements], seed: 1)
        // Few values, so that the coders have something to do.
        let plain = try SkeinSample("plain", dtype, [elements], noise.bytes.map { $0 & 0x13 })
        for options in [
            SkeinOptions(chunkByteCount: 128 << 10), SkeinOptions(level: .fast), SkeinOptions(level: .max),
            SkeinOptions(isStored: true),
        ] {
            let path = folder.file("\(dtype.rawValue)-\(count)-\(options.level)-\(options.isStored).skein")
            try writeSkein([noise, plain], to: path, options)
            #expect(try readSkein(path) == [noise, plain])
        }
    }

    @Test func scalarsAndEmptyTensorsComeBack() throws {
        let samples = [
            try SkeinSample("scalar", .f32, []) { _ in Float.pi.bitPattern },
            try SkeinSample("empty", .bf16, [0, 5], []),
            try SkeinSample("", .i64, [1]) { _ in Int64.min },
            try SkeinSample("é", .u8, [2], [1, 2]), try SkeinSample("e\u{301}", .u8, [2], [3, 4]),
        ]
        var metadata = Metadata()
        metadata["format"] = "pt"
        metadata["author"] = "naïve"
        for isStored in [false, true] {
            let path = folder.file("odd-\(isStored).skein")
            try writeSkein(samples, to: path, SkeinOptions(isStored: isStored), metadata: metadata)
            let reader = try SkeinReader(opening: path)
            #expect(try readAllSamples(reader) == samples)
            // Sorted by key.
            #expect(reader.metadata.entries.map(\.key) == ["author", "format"])
            #expect(reader.metadata["author"] == "naïve")
            #expect(try reader.verify(deep: true).damage.isEmpty)
        }
        try writeSkein([], to: folder.file("none.skein"))
        #expect(try readSkein(folder.file("none.skein")).isEmpty)
    }

    /// All 65,536 patterns of the 16-bit types, and the special values of the wider ones, by themselves and against a base.
    @Test func everyBitPatternComesBack() throws {
        let special32: [UInt32] = [
            0, 0x8000_0000, 1, 0x8000_0001, 0x007F_FFFF, 0x0080_0000, 0x7F7F_FFFF, 0x7F80_0000, 0xFF80_0000,
            0x7F80_0001,
            0x7FC0_0000, 0xFFC0_0001, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x3F80_0000,
        ]
        func samples(_ shift: Int) throws -> [SkeinSample] {
            [
                try SkeinSample("bf16", .bf16, [65536]) { UInt16(truncatingIfNeeded: $0 + shift * 7919) },
                try SkeinSample("f16", .f16, [65536]) { UInt16(truncatingIfNeeded: $0 &* (1 + 2 * shift)) },
                try SkeinSample("f32", .f32, [4096]) { special32[($0 + shift * ($0 / 15)) % 15] },
                try SkeinSample("f64", .f64, [4096]) {
                    UInt64(special32[($0 + shift) % 15]) << 32 | UInt64(special32[$0 / 15 % 15])
                },
                try SkeinSample("c64", .c64, [4096]) {
                    UInt64(special32[($0 + shift) % 15]) << 32 | UInt64(special32[$0 / 15 % 15])
                },
                try SkeinSample("u8", .u8, [9000]) { UInt8(truncatingIfNeeded: $0 / 100 + shift) },
                try SkeinSample("i32", .i32, [9000]) { UInt32(truncatingIfNeeded: $0 / 10 + shift) },
            ]
        }
        let base = try samples(0)
        let fine = try samples(1)
        try writeSkein(base, to: folder.file("base.skein"))
        #expect(try readSkein(folder.file("base.skein")) == base)
        let store = try TensorStore(opening: folder.file("base.skein"))
        try writeSkein(fine, to: folder.file("fine.skein"), SkeinOptions(base: store))
        #expect(try readSkein(folder.file("fine.skein")) == fine)
    }

    /// Pieces of odd sizes in any order from several threads, and waiting chunks in the scratch file, give the same bytes.
    @Test(arguments: [1, 2, 5], [false, true]) func threadsAndOrderDoNotChangeTheFile(
        _ threads: Int, _ isStored: Bool
    ) throws {
        let samples = [
            try SkeinSample.weights("a", .bf16, [300, 1000], seed: 3),
            try SkeinSample.weights("b", .f32, [250, 999], seed: 4),
            try SkeinSample.noise("c", .u8, [100_003], seed: 5),
        ]
        let options = SkeinOptions(isStored: isStored, chunkByteCount: 128 << 10)
        try writeSkein(samples, to: folder.file("whole.skein"), options)
        let expected = try npyFileBytes(folder.file("whole.skein"))

        var pieces: [(tensor: Int, range: Range<Int>)] = []
        for (number, sample) in samples.enumerated() {
            let size = [65_536, 40_000, 7_777][number]
            pieces += stride(from: 0, to: sample.bytes.count, by: size).map {
                (number, $0..<min($0 + size, sample.bytes.count))
            }
        }
        var random = SkeinRandom(seed: UInt64(threads))
        for i in pieces.indices.reversed() { pieces.swapAt(i, random.below(i + 1)) }
        let shuffled = pieces
        var cramped = options
        cramped.waitingByteLimit = 300_000
        let writer = try CheckpointFormat.makeWriter(
            .skein, at: folder.file("pieces.skein"), declaring: samples.map(\.descriptor),
            options: WriteOptions(sync: false, skein: cramped))
        DispatchQueue.concurrentPerform(iterations: threads) { @Sendable worker in
            for (number, piece) in shuffled.enumerated() where number % threads == worker {
                samples[piece.tensor].bytes.withUnsafeBytes {
                    let part = UnsafeRawBufferPointer(rebasing: $0[piece.range])
                    do { try writer.write(part, tensor: piece.tensor, at: piece.range.lowerBound) } catch {
                        Issue.record(error)
                    }
                }
            }
        }
        _ = try writer.finish()
        #expect(try npyFileBytes(folder.file("pieces.skein")) == expected)
        // Neither the temporary file nor the scratch file is left.
        #expect(try fileNames(in: folder.path) == ["pieces.skein", "whole.skein"])
    }

    /// All names in a folder, hidden ones too.
    private func fileNames(in folder: FilePath) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.string).sorted()
    }

    @Test func unfinishedTensorsAreRefusedAndLeaveNothing() throws {
        let sample = try SkeinSample.weights("a", .f32, [100], seed: 1)
        for isStored in [false, true] {
            let path = folder.file("unfinished.skein")
            let writer = try CheckpointFormat.makeWriter(
                .skein, at: path, declaring: [sample.descriptor],
                options: WriteOptions(skein: SkeinOptions(isStored: isStored)))
            #expect(skeinRefusal { _ = try writer.finish() } == "io.failed")
            #expect(skeinRefusal { _ = try SkeinReader(opening: path) } == "io.not_found")
        }
    }

    @Test func sizesThatNoChunkHasAreRefused() throws {
        let sample = try SkeinSample.weights("a", .f32, [100], seed: 1)
        for size in [0, 1 << 16, 100_000, 1 << 25] {
            #expect(
                skeinRefusal {
                    try writeSkein([sample], to: folder.file("x.skein"), SkeinOptions(chunkByteCount: size))
                } == "format.size_mismatch")
        }
    }

    @Test func namesDeclaredTwiceAreRefused() throws {
        let sample = try SkeinSample.weights("a", .f32, [100], seed: 1)
        #expect(
            skeinRefusal { try writeSkein([sample, sample], to: folder.file("x.skein")) } == "format.duplicate_key")
    }
}
