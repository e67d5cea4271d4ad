import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Work

@Suite struct FingerprintTests {
    private let folder = TemporaryFolder()

    private struct Settings: Encodable {
        struct Inner: Encodable { let flag: Bool }
        let steps: Int
        let rate: Double
        let seed: Int?
        let method: String
        let weights: [Double]
        let inner: Inner
    }

    private func settings(steps: Int = 250, seed: Int? = nil) -> Settings {
        Settings(steps: steps, rate: 1e-4, seed: seed, method: "ties", weights: [1, 0.5], inner: .init(flag: true))
    }

    @Test func takesSettingsApartByTheirKeys() throws {
        let parts = try Fingerprint("thing 1", settings: settings(), inputs: []).parts
        #expect(
            parts.map { "\($0.name)=\($0.value)" } == [
                "steps=250", "rate=0.0001", "method=ties", "weights.0=1.0", "weights.1=0.5", "inner.flag=true",
            ])
    }

    /// hashlib.sha256 over the kind, names and values, each behind its length as eight bytes, lowest first.
    @Test func hasADigestThatOthersCanCompute() throws {
        #expect(
            try Fingerprint("thing 1", settings: settings(), inputs: []).digest
                == "b4f1c2654a3760158c86fe2ba8e80e5b26a98374e43c7d716a11235e9db10fd1")
    }

    /// Names and values as Python's json module writes them.
    @Test func isReadBackFromJSON() throws {
        let text = #"{"kind": "thing 1", "parts": {"a.b": "1", "q\"": "\u00e9\n"}}"#
        let read = try #require(Fingerprint(json: try JSONDocument.parse(Array(text.utf8))))
        #expect(read == Fingerprint(kind: "thing 1", parts: [.init("a.b", "1"), .init("q\"", "\u{e9}\n")]))
        #expect(Fingerprint(json: try JSONDocument.parse(Array(read.json.rendered().utf8))) == read)
        for text in ["{}", #"{"kind": "thing 1", "parts": {"a": 1}}"#, #"{"kind": 1, "parts": {}}"#] {
            #expect(Fingerprint(json: try JSONDocument.parse(Array(text.utf8))) == nil)
        }
    }

    @Test func namesWhatDiffers() throws {
        let path = try folder.write("abc", to: "x")
        func fingerprint(steps: Int, seed: Int?) throws -> Fingerprint {
            try Fingerprint("thing 1", settings: settings(steps: steps, seed: seed), inputs: [JobInput("base", [path])])
        }
        let before = try fingerprint(steps: 250, seed: 7)
        #expect(try fingerprint(steps: 250, seed: 7) == before)
        _ = try folder.write("abd", to: "x")
        let differences = try fingerprint(steps: 500, seed: nil).differences(since: before).map(\.description)
        #expect(differences == ["steps was 250 and is 500", "base has other contents", "seed was 7 and is not given"])
        let other = try Fingerprint("thing 2", settings: settings(), inputs: [])
        #expect(other.differences(since: before).map(\.description) == ["kind was thing 1 and is thing 2"])
    }

    /// Sums depend on the order of what is added up.
    @Test func namesAnotherOrder() {
        func fingerprint(_ names: [String]) -> Fingerprint {
            Fingerprint(kind: "thing 1", parts: names.map { Fingerprint.Part($0, "1") })
        }
        let before = fingerprint(["steps", "input expert a", "input expert b"])
        let now = fingerprint(["steps", "input expert b", "input expert a"])
        #expect(now != before)
        #expect(
            now.differences(since: before).map(\.description) == [
                "the order is another: expert b stands where expert a stood"
            ])
        #expect(before.differences(since: before).isEmpty)
    }

    /// sha256sum of `abc` and of `abd`. The second has the size of the first and its place.
    @Test func digestsFollowContents() throws {
        let path = try folder.write("abc", to: "x")
        let first = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect(try FileDigests.digest(of: path).hexadecimal == first)
        #expect(try FileDigests.digest(of: path).hexadecimal == first)
        _ = try folder.write("abd", to: "x")
        #expect(
            try FileDigests.digest(of: path).hexadecimal
                == "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9")
    }

    /// While a path leads to one file and the next moment to another, neither gets the digest of the other. Sums as above.
    @Test func digestsBelongToTheFileThatWasRead() throws {
        let link = folder.file("x")
        for round in 0..<500 {
            let files = try ["abc", "abd"].map { text in
                let file = try folder.write(text, to: "\(text)-\(round)")
                let past = [timespec(tv_sec: 1_000_000_000, tv_nsec: 0), timespec(tv_sec: 1_000_000_000, tv_nsec: 0)]
                #expect(utimensat(AT_FDCWD, file.string, past, 0) == 0)
                return file
            }
            @Sendable func lead(to file: FilePath) {
                symlink(file.string, link.string + ".next")
                rename(link.string + ".next", link.string)
            }
            lead(to: files[0])
            try parallel(count: 2, threads: 2) { worker in
                for turn in 0..<10 {
                    if worker == 0 { lead(to: files[turn % 2]) } else { _ = try FileDigests.digest(of: link) }
                }
            }
            #expect(try FileDigests.digest(of: files[0]).hexadecimal.hasPrefix("ba7816bf"))
            #expect(try FileDigests.digest(of: files[1]).hexadecimal.hasPrefix("a52d159f"))
        }
    }

    @Test func aRecordSpeaksOfUnharmedFilesOnly() throws {
        let fingerprint = try Fingerprint("thing 1", settings: settings(), inputs: [])
        let path = try folder.checkpoint("m.safetensors", [TestTensor("w", [1], [3])])
        #expect(!WorkRecord.isFinished(fingerprint, at: path))
        try WorkRecord.write(fingerprint, of: [path], sync: false)
        #expect(WorkRecord.isFinished(fingerprint, at: path))
        #expect(WorkRecord(ofOutputAt: path)?.fingerprint == fingerprint)
        #expect(!WorkRecord.isFinished(try Fingerprint("thing 2", settings: settings(), inputs: []), at: path))
        try folder.checkpoint("m.safetensors", [TestTensor("w", [1], [4])])
        #expect(!WorkRecord.isFinished(fingerprint, at: path))
    }

    /// Of two processes that write one output the slower leaves nothing, and the record beside the output stays that of the faster.
    @Test func theRecordOfTheFasterStays() throws {
        let path = folder.file("m.safetensors")
        func begin(_ kind: String) throws -> (Fingerprint, any CheckpointWriter) {
            let fingerprint = Fingerprint(kind: kind, parts: [])
            let target = try OutputTarget.test(path).recorded(fingerprint)
            return (fingerprint, try target.open(declaring: []))
        }
        let (_, slower) = try begin("slow 1")
        let (fingerprint, faster) = try begin("fast 1")
        _ = try faster.finish()
        #expect(code { _ = try slower.finish() } == "io.exists")
        #expect(WorkRecord.isFinished(fingerprint, at: path))
    }
}
