import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// What is wrong with one tensor, or with the base, hides nothing else.
@Suite struct SkeinSalvageTests {
    private let folder = TemporaryFolder()

    private static func base() throws -> [SkeinSample] {
        [
            try SkeinSample.weights("first", .bf16, [200_000], seed: 1),
            try SkeinSample.weights("second", .bf16, [1000], seed: 2),
        ]
    }

    /// Both tensors of the base moved by little, and two of its own.
    private static func tuned() throws -> [SkeinSample] {
        try base().map { sample in
            var bytes = sample.bytes
            for place in stride(from: 0, to: bytes.count, by: 64) { bytes[place] ^= 1 }
            return try SkeinSample(sample.name, sample.descriptor.dtype, sample.descriptor.shape, bytes)
        } + [
            SkeinSample.weights("own", .f32, [1000], seed: 3), SkeinSample.weights("other", .f32, [1000], seed: 4),
        ]
    }

    private var path: FilePath { folder.file("tuned.skein") }
    private var basePath: FilePath { folder.file("base.skein") }

    private func writePair() throws {
        try writeSkein(Self.base(), to: basePath, SkeinOptions(chunkByteCount: 128 << 10))
        try writeSkein(
            Self.tuned(), to: path,
            SkeinOptions(chunkByteCount: 128 << 10, base: try TensorStore(opening: basePath)))
        // A chunk of the file itself is damaged, too.
        try flip(path, at: SkeinReader(opening: path).location(of: 2).range.upperBound - 1)
    }

    private func flip(_ path: FilePath, at offset: Int) throws {
        var bytes = try npyFileBytes(path)
        bytes[offset] ^= 1
        try replace(path, bytes)
    }

    private func replace(_ path: FilePath, _ bytes: [UInt8]) throws {
        _ = try folder.write(bytes, to: "new")
        #expect(rename(folder.file("new").string, path.string) == 0)
    }

    private func names(_ damage: [Damage]) -> [String?] { damage.map { $0.tensor?.text } }

    /// What a deep check finds is what cannot be read, in either mode of opening.
    private func expectLost(_ lost: Set<String>, entries: Int) throws {
        for salvaging in [false, true] {
            let reader = try SkeinReader(opening: path, options: ReadOptions(salvaging: salvaging))
            let verification = try reader.verify(deep: true)
            #expect(verification.damage.count == entries)
            #expect(Set(verification.losses.compactMap { $0.tensor?.text }) == lost)
            #expect(verification.losses.count == lost.count)
            let tuned = try Self.tuned()
            for (index, sample) in tuned.enumerated() {
                let bytes = try? reader.bytes(of: index).withUnsafeBytes { Array($0) }
                #expect(bytes == (lost.contains(sample.name.text) ? nil : sample.bytes), "\(sample.name)")
            }
        }
    }

    @Test func aDamagedBaseCostsTheTensorsThatNeedIt() throws {
        try writePair()
        try expectLost(["own"], entries: 1)
        try flip(basePath, at: SkeinReader(opening: basePath).location(of: 0).range.upperBound - 1)
        try expectLost(["first", "own"], entries: 2)
        let damage = try SkeinReader(opening: path).verify(deep: true).damage
        #expect(damage[0].file == path)
        #expect(damage[0].reason.contains(basePath.string))
        // A shallow check needs no base.
        #expect(try names(SkeinReader(opening: path).verify().damage) == ["own"])
    }

    /// Of a cut base what is left still serves, when salvaging; else nothing that needs it can be read.
    @Test func aCutBaseCostsTheTensorsThatNeedIt() throws {
        try writePair()
        let end = try SkeinReader(opening: basePath).location(of: 1).range.lowerBound
        try replace(basePath, Array(npyFileBytes(basePath)[..<end]))
        let strict = try SkeinReader(opening: path).verify(deep: true)
        #expect(names(strict.losses) == ["first", "second", "own"])
        let salvaged = try SkeinReader(opening: path, options: ReadOptions(salvaging: true)).verify(deep: true)
        #expect(names(salvaged.losses) == ["second", "own"])
        try replace(basePath, [1, 2, 3])
        try expectLost(["first", "second", "own"], entries: 3)
    }

    /// One entry for a tensor of several chunks that all need the base.
    @Test func aMissingOrWrongBaseIsOneEntryForEachTensor() throws {
        try writePair()
        try writeSkein(
            [SkeinSample.weights("first", .bf16, [200_000], seed: 9), Self.base()[1]], to: basePath)
        try expectLost(["first", "own"], entries: 2)
        #expect(rename(basePath.string, folder.file("elsewhere").string) == 0)
        try expectLost(["first", "second", "own"], entries: 3)
    }

    @Test func anUnknownCodecOrTransformCostsItsTensor() throws {
        for (offset, value) in [(16, UInt8(9)), (48 + 7, 5)] {
            try writePair()
            var forged = SkeinForgery(try npyFileBytes(path))
            let chunk = try SkeinReader(opening: path).location(of: 3).range
            forged.bytes[chunk.lowerBound + offset] = value
            forged.resealChunk(chunk)
            try replace(path, forged.bytes)
            for deep in [false, true] {
                let damage = try SkeinReader(opening: path).verify(deep: deep).damage
                #expect(names(damage) == ["own", "other"])
                #expect(damage[1].reason.contains("does not know"))
            }
            try expectLost(["own", "other"], entries: 2)
        }
    }

    /// Damage to what no tensor needs is told, and costs nothing.
    @Test func paddingAndCopiesAreNoLoss() throws {
        try writePair()
        try writeSkein(Self.tuned(), to: path)
        let size = try npyFileBytes(path).count
        try flip(path, at: size - 30)
        let verification = try SkeinReader(opening: path).verify(deep: true)
        #expect(verification.damage.count == 1)
        #expect(verification.losses.isEmpty)
        #expect(verification.harmlessDamage == verification.damage)
    }

    @Test func lossesHaveOneEntryForATensor() {
        func damage(_ name: TensorName?, _ offset: Int) -> Damage {
            Damage(tensor: name, file: "a", offset: offset, byteCount: 10, reason: "at \(offset)")
        }
        let verification = Verification(damage: [damage("x", 100), damage(nil, 5), damage("y", 0), damage("x", 40)])
        #expect(
            verification.losses == [
                Damage(tensor: "x", file: "a", offset: 40, byteCount: 70, reason: "at 100"), damage("y", 0),
            ])
    }
}
