import Foundation
import Glibc
import SystemPackage
import Testing

/// Inputs that another process cuts, or writes to, while they are read: an error that names the file, and nothing half written.
@Suite struct ChangedInputTests {
    private let tool: Tool
    private static let byteCount = 1 << 30

    init() throws {
        tool = try Tool()
        for name in ["large.safetensors", "same.safetensors"] {
            try InterruptionTests.writeSparseCheckpoint(
                byteCount: Self.byteCount, dtype: "F16", to: tool.folder.file(name).string)
        }
    }

    /// Bytes are copied by the kernel, cast by us, hashed by a library, and sorted out in the order of columns.
    @Test(arguments: [
        "convert large.safetensors out.safetensors", "convert large.safetensors out.safetensors --dtype f32",
        "convert large.safetensors out.skein", "convert large.safetensors out/ --shard-size 100MB",
        "inspect large.safetensors --checksum", "inspect large.safetensors --stats", "verify large.safetensors",
        "diff large.safetensors same.safetensors", "vectors --base large.safetensors same.safetensors",
        "merge --method linear large.safetensors same.safetensors --output out.safetensors",
        "edit large.safetensors --metadata a=b --output out.safetensors",
    ]) func anInputThatIsCut(_ command: String) throws {
        let outcome = try run(command) { #expect(truncate($0, 4096) == 0) }
        #expect(outcome.status == 3, "\(outcome.errors)")
        #expect(try outcome.error()["code"].string == "io.changed", "\(outcome.errors)")
        #expect(try outcome.error()["file"].string == "large.safetensors")
        #expect(outcome.output == "")
        #expect(try files() == ["Fixtures", "large.safetensors", "same.safetensors"])
    }

    /// There is no fault then: the mapping shows the new bytes.
    @Test(arguments: [
        "convert large.safetensors out.safetensors", "convert large.safetensors out/ --shard-size 100MB",
        "inspect large.safetensors --checksum", "verify large.safetensors",
    ]) func anInputThatIsWrittenTo(_ command: String) throws {
        let outcome = try run(command) { path in
            let file = try FileDescriptor.open(path, .writeOnly)
            _ = try file.closeAfter { try file.writeAll(toAbsoluteOffset: Int64(Self.byteCount / 2), [1]) }
        }
        #expect(outcome.status == 3, "\(outcome.errors)")
        #expect(try outcome.error()["code"].string == "io.changed", "\(outcome.errors)")
        #expect(outcome.output == "")
        #expect(try files() == ["Fixtures", "large.safetensors", "same.safetensors"])
    }

    /// The mapping keeps the old file.
    @Test func anInputThatIsReplacedDoesNotMatter() throws {
        let outcome = try run("convert large.safetensors out.safetensors --no-sync") { path in
            try "another file".write(toFile: path, atomically: true, encoding: .utf8)
        }
        #expect(outcome.status == 0, "\(outcome.errors)")
        let size = try FileManager.default.attributesOfItem(atPath: tool.folder.file("out.safetensors").string)[.size]
        #expect(try #require(size as? Int) > Self.byteCount)
    }

    /// Not of a mapped file: the process ends as it would without us.
    @Test func anotherBusErrorIsNoMatterOfInputs() throws {
        let process = try start("convert large.safetensors out.safetensors")
        kill(process.processIdentifier, SIGBUS)
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal)
        #expect(process.terminationStatus == SIGBUS)
    }

    /// Runs a command, and changes its input at a moment when it is mapped.
    private func run(_ command: String, _ change: (String) throws -> Void) throws -> Tool.Outcome {
        let process = try start(command)
        kill(process.processIdentifier, SIGSTOP)
        try change(tool.folder.file("large.safetensors").string)
        kill(process.processIdentifier, SIGCONT)
        process.waitUntilExit()
        return Tool.Outcome(status: process.terminationStatus, output: try text(".output"), errors: try text(".errors"))
    }

    /// Starts a command, and returns when it has mapped its input for good: its beginning is looked at before, for less than a moment.
    private func start(_ command: String) throws -> Process {
        let process = Process()
        process.executableURL = Tool.binary
        process.arguments = command.split(separator: " ").map(String.init) + ["--threads", "2", "--quiet", "--json"]
        process.currentDirectoryURL = URL(fileURLWithPath: tool.folder.path.string)
        for name in [".output", ".errors"] { _ = try tool.folder.write([], to: name) }
        process.standardOutput = FileHandle(forWritingAtPath: tool.folder.file(".output").string)
        process.standardError = FileHandle(forWritingAtPath: tool.folder.file(".errors").string)
        try process.run()
        let maps = "/proc/\(process.processIdentifier)/maps"
        var sightings = 0
        while process.isRunning, sightings < 4 {
            let isMapped = (try? String(contentsOfFile: maps, encoding: .utf8))?.contains("/large.safetensors") == true
            sightings = isMapped ? sightings + 1 : 0
            usleep(sightings == 0 ? 200 : 5000)
        }
        return process
    }

    private func text(_ name: String) throws -> String {
        try String(contentsOfFile: tool.folder.file(name).string, encoding: .utf8)
    }

    /// What lies in the folder, hidden files of the tool among it. An error may leave the folder that was made for an output, if
    /// nothing is in it.
    private func files() throws -> [String] {
        let manager = FileManager.default
        let inside = (try? manager.contentsOfDirectory(atPath: tool.folder.file("out").string)) ?? []
        return try manager.contentsOfDirectory(atPath: tool.folder.path.string)
            .filter { ![".output", ".errors", "out"].contains($0) }.sorted() + inside
    }
}
