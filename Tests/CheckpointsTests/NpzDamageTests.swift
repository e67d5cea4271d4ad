import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Damaged and hostile archives: found, told apart, and never a trap.
@Suite struct NpzDamageTests {
    @Test func verifyListsEveryDamagedTensor() throws {
        let folder = TemporaryFolder()
        for file in ["layouts_stored.npz", "layouts_deflated.npz"] {
            var bytes = try npyFileBytes(Fixtures.path("npz/" + file))
            let sound = try NpzReader(opening: Fixtures.path("npz/" + file), options: ReadOptions())
            let damaged = [3, 17, 58]
            for index in damaged {
                // In the data of a stored array, and near the end of a deflate stream.
                bytes[sound.location(of: index).range.upperBound - 6] ^= 0x10
            }
            let path = try folder.write(bytes, to: file)
            let reader = try NpzReader(opening: path, options: ReadOptions())
            let verification = try reader.verify()
            #expect(verification.damage.map(\.tensor) == damaged.map { sound.descriptors[$0].name })
            #expect(verification.damage.allSatisfy { $0.file == path && $0.byteCount > 0 && $0.offset > 0 })
            for index in reader.descriptors.indices {
                let refusal = npyRefusal { _ = try reader.bytes(of: index) }
                if damaged.contains(index) {
                    #expect(["bad_crc", "bad_deflate", "size_mismatch"].contains(refusal))
                    #expect(npyRefusal { _ = try reader.bytes(of: index) } == refusal)
                } else {
                    #expect(refusal == nil)
                }
            }
        }
    }

    /// How much longer than usual to look for trouble: `UNTANGLE_FUZZ=100 swift test ...`.
    static let fuzzFactor = getenv("UNTANGLE_FUZZ").flatMap { Int(String(cString: $0)) } ?? 1

    static let bases = [
        "npz/descriptor_stored.npz", "npz/descriptor_deflated.npz", "npz/code_page_437.npz", "npz/folders_comment.npz",
        "npz/compressible.npz", "conformance/good/npz/zip64_eocd.npz", "conformance/good/npz/savez_stored.npz",
        "conformance/good/npz/savez_deflated.npz", "conformance/good/npz/stored_64_aligned.npz",
    ]

    /// Reads everything there is to read; an error must be one of ours.
    private func readEverything(_ path: FilePath) throws -> [NpyTensorSummary]? {
        do {
            let reader = try NpzReader(opening: path, options: ReadOptions())
            _ = try reader.verify()
            return try NpyTensorSummary.all(reader)
        } catch is FormatError {
            return nil
        }
    }

    /// Sums cover every array with its header, and both headers of a member must agree: whatever a few changed bytes leave
    /// readable must be what was stored. Only names may differ, where both copies were hit alike.
    @Test(arguments: bases) func changedBytesAreNeverReadAsOtherTensors(_ base: String) throws {
        let original = try npyFileBytes(Fixtures.path(base))
        let expected = try NpyTensorSummary.readThrough(Fixtures.path(base)).map(\.content)
        let folder = TemporaryFolder()
        let seed: UInt64 = 41
        var generator = NpyTestGenerator(seed: seed)
        for round in 0..<300 * Self.fuzzFactor {
            var bytes = original
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                bytes[place] = UInt8.random(in: 0...255, using: &generator)
            }
            let path = try folder.write(bytes, to: "fuzz.npz")
            if let read = try readEverything(path) {
                #expect(read.map(\.content) == expected, "seed \(seed), round \(round)")
            }
        }
    }

    /// Extreme numbers in every field of the records.
    @Test(arguments: bases) func extremeFieldsAreRefusedOrHarmless(_ base: String) throws {
        let original = try npyFileBytes(Fixtures.path(base))
        let expected = try NpyTensorSummary.readThrough(Fixtures.path(base)).map(\.content)
        let folder = TemporaryFolder()
        let extremes: [[UInt8]] = [
            [0xFF, 0xFF], [0xFF, 0xFF, 0xFF, 0xFF], [0xFF, 0xFF, 0xFF, 0x7F], [UInt8](repeating: 0xFF, count: 8),
            [UInt8](repeating: 0xFF, count: 7) + [0x7F], [0, 0, 0, 0, 0, 0, 0, 0x80], [0, 0, 0, 0],
        ]
        let records = (0..<original.count - 4).filter {
            original[$0] == 0x50 && original[$0 + 1] == 0x4B && original[$0 + 2] < 8
        }
        for record in records {
            for offset in stride(from: 4, to: 80, by: 2) where record + offset < original.count {
                for extreme in extremes where record + offset + extreme.count <= original.count {
                    var bytes = original
                    bytes.replaceSubrange(record + offset..<record + offset + extreme.count, with: extreme)
                    guard bytes != original else { continue }
                    let path = try folder.write(bytes, to: "fuzz.npz")
                    if let read = try readEverything(path) {
                        #expect(read.map(\.content) == expected, "record at \(record), field at \(offset), \(extreme)")
                    }
                }
            }
        }
    }

    @Test(arguments: bases) func everyTruncationIsRefused(_ base: String) throws {
        let original = try npyFileBytes(Fixtures.path(base))
        let folder = TemporaryFolder()
        for count in stride(from: 0, to: original.count, by: original.count > 1000 ? 7 : 1) {
            let path = try folder.write(Array(original[..<count]), to: "cut.npz")
            #expect(try readEverything(path) == nil, "\(count) bytes")
        }
    }

    @Test func changedBytesOfABareArrayAreHarmless() throws {
        let folder = TemporaryFolder()
        for base in ["saved_C64.npy", "saved_rank9.npy", "version3.npy"] {
            let original = try npyFileBytes(Fixtures.path("npz/" + base))
            var generator = NpyTestGenerator(seed: 43)
            for _ in 0..<1000 * Self.fuzzFactor {
                var bytes = original
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    bytes[Int.random(in: 0..<min(bytes.count, 130), using: &generator)] =
                        Array("0123456789(),L'<>|=fiucbV{}: \n".utf8).randomElement(using: &generator)!
                }
                let path = try folder.write(bytes, to: "fuzz.npy")
                do {
                    let reader = try NpyReader(opening: path, options: ReadOptions(npyVoid: VoidTypes(.bf16)))
                    let count = try reader.bytes(of: 0).count
                    #expect(count == reader.descriptors[0].byteCount)
                } catch is FormatError {}
            }
        }
    }
}

extension NpyTensorSummary {
    /// The tensor without its name.
    fileprivate var content: String { "\(dtype) \(shape) \(sha256)" }
}
