import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Files that NumPy and Python's zipfile wrote, described in `Fixtures/npz/expected.tsv`.
@Suite struct NpzFixtureTests {
    static let expected: [String: [NpyTensorSummary]] = {
        guard let bytes = try? npyFileBytes(Fixtures.path("npz/expected.tsv")) else { return [:] }
        var result: [String: [NpyTensorSummary]] = ["no_members.npz": []]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            result[fields[0], default: []].append(
                NpyTensorSummary(
                    name: fields[1], dtype: fields[2], shape: fields[3].split(separator: ",").compactMap { Int($0) },
                    sha256: fields[4]))
        }
        return result
    }()

    static let files = expected.keys.filter { !$0.hasPrefix("void") }.sorted()
    static let saved = expected.keys.filter { $0.hasPrefix("saved_") }.sorted()

    @Test func theFilesAreThere() {
        #expect(Self.files.count == 28)
        #expect(Self.saved.count == 18)
        #expect(Self.expected["layouts_stored.npz"]?.count == 59)
    }

    @Test(arguments: files) func readsWhatNumPyWrote(_ file: String) throws {
        #expect(try NpyTensorSummary.readThrough(Fixtures.path("npz/" + file)) == Self.expected[file])
    }

    @Test(arguments: [("void1.npy", DType.f8E4M3), ("void2.npy", .bf16), ("void2.npy", .f16)])
    func readsVoidAsTheNamedType(_ file: String, _ dtype: DType) throws {
        let path = Fixtures.path("npz/" + file)
        #expect(npyRefusal { _ = try NpyTensorSummary.readThrough(path) } == "unsupported_dtype")
        let lost = try #require(Self.expected[file]?.first)
        let read = try NpyTensorSummary.readThrough(path, options: ReadOptions(npyVoid: VoidTypes(dtype)))
        #expect(
            read == [NpyTensorSummary(name: "arr", dtype: dtype.rawValue, shape: lost.shape, sha256: lost.sha256)])
    }

    /// The writer's header is NumPy's, so a file that was read and written again is the same file.
    @Test(arguments: saved) func writesWhatNumPyWouldWrite(_ file: String) throws {
        let path = Fixtures.path("npz/" + file)
        let reader = try NpyReader(opening: path, options: ReadOptions())
        let folder = TemporaryFolder()
        let copy = folder.file(file)
        let writer = try NpyWriter(creating: copy, declaring: reader.descriptors, options: WriteOptions(sync: false))
        try reader.bytes(of: 0).withUnsafeBytes { try writer.write($0, tensor: 0, at: 0) }
        let written = try writer.finish()
        let bytes = try npyFileBytes(copy)
        #expect(bytes == (try npyFileBytes(path)))
        #expect(written.byteCount == bytes.count)
    }

    @Test func mapsStoredRowMajorLittleEndianMembersOnly() throws {
        let stored = try NpzReader(opening: Fixtures.path("npz/layouts_stored.npz"), options: ReadOptions())
        let mapped = stored.descriptors.indices.filter(stored.isMapped).map { stored.descriptors[$0].name.text }
        let oneByteTypes = ["BOOL", "U8", "I8"]
        let all = DType.allCases.filter { Self.expected["saved_\($0.rawValue).npy"] != nil }.map(\.rawValue)
        let expected = all.map { $0 + "/c" } + oneByteTypes.map { $0 + "/big" } + ["rank1"]
        #expect(Set(mapped) == Set(expected))
        let deflated = try NpzReader(opening: Fixtures.path("npz/layouts_deflated.npz"), options: ReadOptions())
        #expect(!deflated.descriptors.indices.contains(where: deflated.isMapped))
        #expect(stored.metadata.isEmpty)
    }
}
