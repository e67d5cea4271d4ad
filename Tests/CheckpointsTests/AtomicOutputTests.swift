import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite struct AtomicOutputTests {
    private let folder = TemporaryFolder()
    private var path: FilePath { folder.file("out.bin") }

    @Test func nothingIsAtThePathBeforeTheCommit() throws {
        let output = try AtomicOutput(creating: path, byteCount: 3, options: WriteOptions())
        try output.write([1, 2, 3], at: 0)
        #expect(!path.isThere)
        try output.commit()
        #expect(try path.contents() == [1, 2, 3])
        #expect(folder.path.listing() == ["out.bin"])
    }

    @Test func releasedWithoutCommitItLeavesNothing() throws {
        do {
            let output = try AtomicOutput(creating: path, byteCount: 1 << 20, options: WriteOptions())
            try output.write([1], at: 0)
            #expect(folder.path.listing().count == 1)
        }
        #expect(folder.path.listing().isEmpty)
    }

    @Test func anExistingFileIsReplacedOnlyByForce() throws {
        _ = try folder.write([9], to: "out.bin")
        let error = #expect(throws: IOError.self) {
            try AtomicOutput(creating: path, byteCount: 1, options: WriteOptions())
        }
        #expect(error?.code == "io.exists")
        let output = try AtomicOutput(creating: path, byteCount: 1, options: WriteOptions(force: true))
        #expect(try path.contents() == [9])
        try output.write([7], at: 0)
        try output.commit()
        #expect(try path.contents() == [7])
    }

    /// Nobody makes files among those of the kernel, root included.
    @Test func whereTheSystemForbidsItNothingIsMade() throws {
        let error = #expect(throws: IOError.self) {
            try AtomicOutput(creating: "/sys/out.bin", byteCount: nil, options: WriteOptions())
        }
        #expect(error?.code == "io.permission")
    }

    @Test func aFileThatAppearsMeanwhileIsNotReplaced() throws {
        let output = try AtomicOutput(creating: path, byteCount: 1, options: WriteOptions())
        _ = try folder.write([9], to: "out.bin")
        let error = #expect(throws: IOError.self) { try output.commit() }
        #expect(error?.code == "io.exists")
        #expect(try path.contents() == [9])
    }

    /// An output may be one of the inputs.
    @Test func aMappedInputKeepsItsBytesWhenItIsReplaced() throws {
        _ = try folder.write([1, 2, 3, 4], to: "out.bin")
        let input = try MappedFile(path)
        let output = try AtomicOutput(creating: path, byteCount: 4, options: WriteOptions(force: true))
        try output.write([5, 6, 7, 8], at: 0)
        try output.commit()
        #expect(input.withUnsafeBytes(Array.init) == [1, 2, 3, 4])
        #expect(try path.contents() == [5, 6, 7, 8])
    }

    @Test func aReplacedFileKeepsItsPermissions() throws {
        _ = try folder.write([9], to: "out.bin")
        #expect(chmod(path.string, 0o640) == 0)
        let output = try AtomicOutput(creating: path, byteCount: nil, options: WriteOptions(force: true))
        try output.commit()
        var status = stat()
        #expect(stat(path.string, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o640)
    }

    @Test func refusesAFolderAndAMissingFolder() {
        let isFolder = #expect(throws: IOError.self) {
            try AtomicOutput(creating: folder.path, byteCount: nil, options: WriteOptions(force: true))
        }
        #expect(isFolder?.code == "io.is_directory")
        let missing = #expect(throws: IOError.self) {
            try AtomicOutput(creating: folder.file("no/out.bin"), byteCount: nil, options: WriteOptions())
        }
        #expect(missing?.code == "io.not_found")
    }

    /// What other programs know by its name is no file to be replaced.
    @Test func neverReplacesPipesAndDevices() throws {
        #expect(mkfifo(path.string, 0o600) == 0)
        // Links, so that nothing happens to the device where the test fails.
        #expect(symlink("/dev/null", folder.file("device").string) == 0)
        #expect(symlink("/proc/self/fd/1", folder.file("stream").string) == 0)
        for name in ["out.bin", "device", "stream"] {
            for force in [false, true] {
                let error = #expect(throws: IOError.self) {
                    try AtomicOutput(
                        creating: folder.file(name), byteCount: 1, options: WriteOptions(force: force))
                }
                #expect(error?.code == "io.not_a_file")
            }
        }
        #expect(folder.path.listing() == ["device", "out.bin", "stream"])
        var status = stat()
        #expect(lstat(path.string, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
    }

    @Test func replacesALinkAndNotWhatItPointsTo() throws {
        let target = try folder.write([9], to: "blob")
        #expect(symlink("blob", path.string) == 0)
        let output = try AtomicOutput(creating: path, byteCount: 1, options: WriteOptions(force: true))
        try output.write([7], at: 0)
        try output.commit()
        #expect(try path.contents() == [7])
        #expect(try target.contents() == [9])
        // One that leads nowhere is found at once.
        #expect(symlink("nowhere", folder.file("dangling").string) == 0)
        let error = #expect(throws: IOError.self) {
            try AtomicOutput(creating: folder.file("dangling"), byteCount: 1, options: WriteOptions())
        }
        #expect(error?.code == "io.exists")
    }

    @Test func moreSpaceThanTheDiskHasIsReportedBeforeWork() {
        let error = #expect(throws: IOError.self) {
            try AtomicOutput(creating: path, byteCount: 1 << 50, options: WriteOptions())
        }
        // Some file systems answer that a single file cannot be so large.
        #expect(["io.disk_full", "io.failed"].contains(error?.code))
        #expect(folder.path.listing().isEmpty)
    }
}
