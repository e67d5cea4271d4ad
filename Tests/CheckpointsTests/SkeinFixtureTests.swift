import Checkpoints
import Foundation
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Files that were written earlier, with contents that numpy made, and a reader that was written from the specification.
@Suite struct SkeinFixtureTests {
    /// The lines of `expected.tsv`: file, name, dtype, shape, SHA-256.
    private static let expected: [String: Set<String>] = {
        guard let bytes = try? npyFileBytes(Fixtures.path("skein/expected.tsv")) else { return [:] }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        return Dictionary(grouping: lines) { String($0.prefix { $0 != "\t" }) }
            .mapValues { Set($0.map { String($0.drop { $0 != "\t" }.dropFirst()) }) }
    }()

    private static let files = [
        "everything.skein", "stored.skein", "base.skein", "tuned.skein", "compact.skein", "narrow.skein",
    ]

    @Test func theFilesAreThere() {
        #expect(Set(Self.expected.keys) == Set(Self.files))
        #expect(Self.expected["everything.skein"]?.count == 17)
    }

    @Test(arguments: files) func readsWhatAnEarlierVersionWrote(_ file: String) throws {
        let reader = try SkeinReader(opening: Fixtures.path("skein/" + file))
        let lines = try NpyTensorSummary.all(reader).map {
            "\($0.name)\t\($0.dtype)\t\($0.shape.map(String.init).joined(separator: ","))\t\($0.sha256)"
        }
        #expect(Set(lines) == Self.expected[file])
        #expect(try reader.verify(deep: true).damage.isEmpty)
        #expect(reader.metadata["source"] == "make_fixtures.py")
    }

    /// Small tensors, zeros and repeated rows; F32 against BF16: what the other files do not have, and need no feature for.
    @Test func whatNeedsTheFeatureSaysSo() throws {
        for file in Self.files {
            let needsFeature = file == "compact.skein" || file == "narrow.skein"
            #expect(try npyFileBytes(Fixtures.path("skein/" + file))[12] == (needsFeature ? 1 : 0))
        }
        let bytes = try npyFileBytes(Fixtures.path("skein/compact.skein"))
        // In chunk headers: packing by zeros and by rows.
        let packings = stride(from: 64, to: bytes.count - 64, by: 64)
            .filter { bytes[$0...].starts(with: "SKCH".utf8) }.map { bytes[$0 + 18] }
        #expect(Set(packings) == [0, 1, 2])
        let reader = try SkeinReader(opening: Fixtures.path("skein/narrow.skein"))
        #expect(reader.needsBase(0) && reader.descriptors[0].dtype == .f32)
    }

    @Test func theDeltaIsOne() throws {
        let reader = try SkeinReader(opening: Fixtures.path("skein/tuned.skein"))
        #expect(reader.baseFileName == "base.skein")
        #expect(reader.descriptors.indices.filter(reader.needsBase).count == 2)
    }

    /// The Python that UNTANGLE_PYTHON names, whatever it has; without it one with numpy, zstandard and xxhash, if there is one.
    private static let python =
        ProcessInfo.processInfo.environment["UNTANGLE_PYTHON"]
        ?? ["python3", "python"].first { programOutput($0, ["-c", "import numpy, zstandard, xxhash"]) != nil }

    /// What is written now, in every way, is read by the reader in Python.
    @Test(.enabled(if: python != nil, "needs python3 with numpy, zstandard and xxhash: see .ci/python"))
    func aReaderInPythonReadsWhatIsWritten() throws {
        let folder = TemporaryFolder()
        let script = Fixtures.path("skein/skein_reader.py").string
        let python = try #require(Self.python)
        try #require(
            programOutput(python, ["-c", "import numpy, zstandard, xxhash"]) != nil,
            "\(python), which UNTANGLE_PYTHON names, lacks numpy, zstandard or xxhash")
        let base = try readSkein(Fixtures.path("skein/base.skein"))
        let tuned = try readSkein(Fixtures.path("skein/tuned.skein"))
        let everything = try readSkein(Fixtures.path("skein/everything.skein"))
        let compact = try readSkein(Fixtures.path("skein/compact.skein"))
        let narrow = try readSkein(Fixtures.path("skein/narrow.skein"))
        try writeSkein(base, to: folder.file("base.skein"))
        let store = try TensorStore(opening: folder.file("base.skein"))
        for (name, samples, options) in [
            ("everything", everything, SkeinOptions(level: .max, chunkByteCount: 1 << 17)),
            ("everything", everything, SkeinOptions(isStored: true)), ("tuned", tuned, SkeinOptions(base: store)),
            ("compact", compact, SkeinOptions(chunkByteCount: 1 << 17)), ("compact", compact, SkeinOptions()),
            ("narrow", narrow, SkeinOptions(base: store)),
        ] {
            try writeSkein(samples, to: folder.file("written.skein"), options)
            let output = try #require(programOutput(python, [script, folder.file("written.skein").string]))
            let lines = Set(output.split(separator: "\n").map(String.init))
            #expect(lines == Self.expected[name + ".skein"])
        }
    }
}
