import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite struct AtomicFolderTests {
    private let folder = TemporaryFolder()
    private var path: FilePath { folder.file("out") }

    private func put(_ contents: [UInt8], _ name: String, in atomic: AtomicFolder) throws {
        let output = try AtomicOutput(
            creating: atomic.staging.appending(name), byteCount: nil, options: WriteOptions(sync: false))
        try output.write(contents, at: 0)
        try output.commit()
    }

    private func makeExisting(_ files: [String]) throws {
        #expect(mkdir(path.string, 0o777) == 0)
        for name in files { _ = try folder.write(Array("old".utf8), to: "out/\(name)") }
    }

    @Test func aNewFolderAppearsComplete() throws {
        let atomic = try AtomicFolder(creating: path, options: WriteOptions())
        try put([1], "a", in: atomic)
        try put([2], "b", in: atomic)
        #expect(!path.isThere)
        try atomic.commit(last: "b")
        #expect(path.listing() == ["a", "b"])
        #expect(folder.path.listing() == ["out"])
    }

    @Test func releasedWithoutCommitItLeavesNothing() throws {
        do {
            let atomic = try AtomicFolder(creating: path, options: WriteOptions())
            try put([1], "a", in: atomic)
            #expect(folder.path.listing().count == 1)
        }
        #expect(folder.path.listing().isEmpty)
    }

    @Test func anExistingFolderKeepsOtherFiles() throws {
        try makeExisting(["a", "index", "other", "shard-of-9"])
        let atomic = try AtomicFolder(creating: path, options: WriteOptions(force: true))
        try put([1], "a", in: atomic)
        try put([2], "index", in: atomic)
        #expect(path.listing() == ["a", "index", "other", "shard-of-9"])
        #expect(try path.appending("a").contents() == Array("old".utf8))
        try atomic.commit(last: "index", withdrawing: ["index"], removing: ["shard-of-9", "never-there"])
        #expect(path.listing() == ["a", "index", "other"])
        #expect(try path.appending("a").contents() == [1])
        #expect(try path.appending("index").contents() == [2])
        #expect(folder.path.listing() == ["out"])
    }

    @Test func withoutForceNothingIsReplaced() throws {
        try makeExisting(["a"])
        do {
            let atomic = try AtomicFolder(creating: path, options: WriteOptions())
            try put([1], "a", in: atomic)
            try put([1], "b", in: atomic)
            let error = #expect(throws: IOError.self) { try atomic.commit(last: "b") }
            #expect(error?.code == "io.exists")
        }
        #expect(path.listing() == ["a"])
        #expect(try path.appending("a").contents() == Array("old".utf8))
        #expect(folder.path.listing() == ["out"])
    }

    /// A rename of one hard link to another does nothing, and the hidden folder goes all the same.
    @Test(arguments: [false, true]) func whatIsThereAlreadyMayStay(force: Bool) throws {
        try makeExisting([])
        let atomic = try AtomicFolder(creating: path, options: WriteOptions(force: force))
        for name in ["a", "b", "c"] { try put([1], name, in: atomic) }
        #expect(link(atomic.staging.appending("a").string, path.appending("a").string) == 0)
        _ = try folder.write([1], to: "out/b")
        try atomic.commit(last: "c")
        #expect(path.listing() == ["a", "b", "c"])
        #expect(folder.path.listing() == ["out"])
    }

    @Test func aFileIsInTheWay() throws {
        _ = try folder.write([1], to: "out")
        let error = #expect(throws: IOError.self) {
            try AtomicFolder(creating: path, options: WriteOptions(force: true))
        }
        #expect(error?.code == "io.exists")
    }

    /// What a process that was killed leaves behind: nobody holds its lock.
    @Test func staleFoldersAndFilesAreRemovedAndThoseInUseStay() throws {
        for name in [".out.tmp-1-0", ".out.tmp-99999-3"] {
            #expect(mkdir(folder.file(name).string, 0o777) == 0)
            _ = try folder.write([], to: "\(name)/.lock")
            _ = try folder.write([1], to: "\(name)/model.safetensors")
        }
        #expect(mkdir(folder.file(".out.tmp-7-0").string, 0o777) == 0)
        _ = try folder.write([], to: ".out.tmp-8-0")
        // Killed between the removal of the lock and the rename.
        #expect(mkdir(folder.file(".out.tmp-9-0").string, 0o777) == 0)
        for name in ["a", "b"] { _ = try folder.write([], to: ".out.tmp-9-0/\(name)") }
        // Not ours: other outputs, other names; a folder of which somebody holds a file.
        let kept = [".other.tmp-1-0", ".out.tmp-1", ".out.tmp-a-b", "out.tmp-1-0"]
        for name in kept { _ = try folder.write([], to: name) }
        #expect(mkdir(folder.file(".out.tmp-10-0").string, 0o777) == 0)
        for name in ["a", "b"] { _ = try folder.write([], to: ".out.tmp-10-0/\(name)") }
        let held = open(folder.file(".out.tmp-10-0/b").string, O_RDWR | O_CLOEXEC)
        #expect(held >= 0 && flock(held, LOCK_EX | LOCK_NB) == 0)
        defer { close(held) }

        let living = try AtomicFolder(creating: path, options: WriteOptions())
        #expect(
            Set(folder.path.listing()) == Set(kept + [".out.tmp-10-0"] + [living.staging.lastComponent?.string ?? ""]))
        // A second run of the same output leaves the first one alone.
        let second = try AtomicFolder(creating: path, options: WriteOptions())
        #expect(living.staging.isThere && second.staging.isThere)
        try put([1], "a", in: living)
        try living.commit(last: "a")
        #expect(path.listing() == ["a"])
    }

    @Test func staleFilesOfAnOutputAreRemoved() throws {
        _ = try folder.write([1], to: ".m.safetensors.tmp-1-0")
        _ = try folder.write([1], to: ".m-00001-of-00009.safetensors.tmp-1-0")
        _ = try folder.write([1], to: ".m.safetensors.index.json.tmp-1-0")
        _ = try folder.write([1], to: ".n.safetensors.tmp-1-0")
        let living = try AtomicOutput(creating: folder.file("o.safetensors"), byteCount: 1, options: WriteOptions())
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: folder.file("m.safetensors"), declaring: [], options: WriteOptions(sync: false))
        let another = try AtomicOutput(creating: folder.file("o.safetensors"), byteCount: 1, options: WriteOptions())
        #expect(folder.path.listing().filter { $0.hasPrefix(".o.") }.count == 2)
        _ = try writer.finish()
        living.discard()
        another.discard()
        #expect(folder.path.listing() == [".n.safetensors.tmp-1-0", "m.safetensors"])
    }

    @Test func shardsOfAnotherCountGoWithTheirIndex() throws {
        func write(limit: Int) throws {
            let descriptors = try ["a", "b", "c"].map {
                try TensorDescriptor(name: TensorName($0), dtype: .u8, shape: [10])
            }
            let writer = try CheckpointFormat.makeWriter(
                .safetensors, at: folder.file("x.safetensors"), declaring: descriptors,
                options: WriteOptions(force: true, sync: false, shardByteCount: limit))
            for tensor in 0..<3 {
                try [UInt8](repeating: 1, count: 10).withUnsafeBytes { try writer.write($0, tensor: tensor, at: 0) }
            }
            _ = try writer.finish()
        }
        try write(limit: 10)
        #expect(folder.path.listing().count == 4)
        try write(limit: 20)
        #expect(
            folder.path.listing() == [
                "x-00001-of-00002.safetensors", "x-00002-of-00002.safetensors", "x.safetensors.index.json",
            ])
    }

    @Test func partsWithoutAnIndexAreNoModel() throws {
        let file = Fixtures.path("suites/tiny/base.safetensors")
        _ = try folder.write(try file.contents(), to: "model-00001-of-00002.safetensors")
        let error = #expect(throws: FormatError.self) { try CheckpointFormat.open(folder.path) }
        #expect(error?.category == .missingShard)
        #expect(try CheckpointFormat.open(folder.file("model-00001-of-00002.safetensors")).descriptors.count == 30)
        // One index speaks for its shards, but not for another checkpoint beside them.
        _ = try folder.write(Array(#"{"weight_map":{}}"#.utf8), to: "x.safetensors.index.json")
        #expect(CheckpointFolder.isSpokenFor(by: folder.file("x.safetensors.index.json")))
        _ = try folder.write(try file.contents(), to: "y.safetensors")
        let several = #expect(throws: FormatError.self) { try CheckpointFormat.open(folder.path) }
        #expect(several?.message.contains("x.safetensors.index.json, y.safetensors") == true)
        #expect(!CheckpointFolder.isSpokenFor(by: folder.file("y.safetensors")))
    }
}
