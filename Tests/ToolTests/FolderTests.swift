import Foundation
import Glibc
import TestSupport
import Testing

/// Merges into folders, by the built tool.
@Suite struct FolderTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    private func model(_ name: String, rows: Int) throws {
        let header =
            #"{"lm_head.weight":{"dtype":"F32","shape":[\#(rows),1],"data_offsets":[0,\#(4 * rows)]}}"#
        try FileManager.default.createDirectory(
            atPath: tool.folder.file(name).string, withIntermediateDirectories: false)
        let start = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8)
        _ = try tool.folder.write(start + [UInt8](repeating: 0, count: 4 * rows), to: "\(name)/model.safetensors")
        _ = try tool.folder.write(Array(#"{"vocab_size":\#(rows)}"#.utf8), to: "\(name)/config.json")
    }

    @Test func aTableOfDifferencesGoesBeforeTheError() throws {
        try model("a", rows: 2)
        try model("b", rows: 3)
        let arguments = ["merge", "--method", "average", "a", "b", "--output", "out/"]
        let outcome = try tool.run(arguments)
        #expect(outcome.status == 3)
        let lines = outcome.errors.split(separator: "\n")
        #expect(lines.count == 5)
        #expect(lines[0].hasPrefix("tensor"))
        #expect(lines[1].hasPrefix("lm_head.weight          vocabulary  [2, 1] in a, [3, 1] in b"))
        #expect(lines[2].hasPrefix("config.json vocab_size  config      2 in a; 3 in b"))
        #expect(lines[3].hasPrefix("error: "))
        #expect(try tool.names(in: ".") == ["Fixtures", "a", "b"])
        let details = try tool.run(arguments + ["--json"]).error()["details"]
        #expect(details.items.map { $0["problem"].string } == ["vocabulary", "config"])
        // The same before a dry run.
        #expect(try tool.run(arguments + ["--dry-run"]).status == 3)
    }

    @Test func tellsWhatWentIntoAFolder() throws {
        try model("a", rows: 2)
        _ = try tool.folder.write(Array("{}".utf8), to: "a/tokenizer.json")
        let arguments = ["merge", "--method", "average", "a", "a", "--no-sync", "--output"]
        let outcome = try tool.run(arguments + ["out/"])
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("copied from a: tokenizer.json\n"))
        // A dry run says what the run would stop at.
        for output in ["out/", "out", "a/model.safetensors"] {
            let plan = try tool.run(arguments + [output, "--dry-run", "--json"])
            let file = output.hasPrefix("out") ? "out/model.safetensors" : output
            #expect(try plan.json()["warnings"].items.map(\.string) == ["\(file) exists already; --force replaces it"])
            #expect(try tool.run(arguments + [output, "--dry-run", "--force"]).errors.isEmpty)
        }
        let folder = try tool.run(arguments + ["out", "--force", "--json", "--shard-size", "5GB"]).json()["folder"]
        #expect(folder.keys == ["donor", "copied", "left_out", "config_changes", "sanity"])
        #expect(folder["sanity"].keys == ["nan", "inf", "overflows", "underflows", "norm", "inputs", "least", "most"])
        #expect(
            try tool.names(in: "out") == [
                "README.md", "config.json", "mergekit_config.yml", "model.safetensors", "tokenizer.json",
            ])
    }

    /// By force or not, and before any work: neither the first document's result nor a file of the folder is there.
    @Test func neverReplacesAPipe() throws {
        try model("a", rows: 2)
        _ = try tool.folder.write(
            Array(
                """
                name: half
                merge_method: linear
                models: [{ model: a, parameters: { weight: 1 } }]
                ---
                merge_method: linear
                models: [{ model: half, parameters: { weight: 1 } }]
                report: out/README.md
                output: pipe.safetensors
                """.utf8), to: "r.yml")
        #expect(try tool.shell("mkfifo pipe.safetensors pipe.html && mkdir out && mkfifo out/README.md").status == 0)
        for line in [
            "merge r.yml pipe.safetensors", "merge r.yml pipe.safetensors --dry-run", "run r.yml",
            "convert a pipe.safetensors", "merge --method average a --output out/",
            "vectors --base a a --report pipe.html",
        ] {
            let outcome = try tool.run(line.split(separator: " ").map(String.init) + ["--force", "--json"])
            #expect(outcome.status == 4, "\(line)")
            #expect(try outcome.error()["code"].string == "io.not_a_file", "\(line)")
        }
        #expect(
            try tool.names(in: ".").filter { !$0.hasPrefix(".") } == [
                "Fixtures", "a", "out", "pipe.html", "pipe.safetensors", "r.yml",
            ])
        #expect(try tool.names(in: "out") == ["README.md"])
        #expect(try tool.shell("test -p pipe.safetensors && test -p out/README.md").status == 0)
    }

    /// A merge of 1 GiB is killed as soon as it has begun to write.
    @Test(arguments: ["out/", "existing/", "out.safetensors"])
    func afterAKillNothingIsThereAndTheNextRunCleansUp(output: String) throws {
        try InterruptionTests.writeSparseCheckpoint(
            byteCount: 1 << 30, dtype: "F16", to: tool.folder.file("large.safetensors").string)
        let name = output.hasSuffix("/") ? String(output.dropLast()) : output
        let before = ["Fixtures", "existing", "large.safetensors"]
        try model("existing", rows: 2)
        let existing = try tool.data("existing/model.safetensors")
        for signal in [SIGKILL, SIGINT] {
            let process = Process()
            process.executableURL = Tool.binary
            process.arguments = [
                "merge", "--method", "average", "large.safetensors", "--output", output, "--quiet", "--force",
                "--threads", "1",
            ]
            process.currentDirectoryURL = URL(fileURLWithPath: tool.folder.path.string)
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            func leftovers() throws -> [String] {
                try tool.names(in: ".").filter { $0.hasPrefix(".\(name).tmp-\(process.processIdentifier)-") }
            }
            while process.isRunning, try leftovers().isEmpty { usleep(1000) }
            kill(process.processIdentifier, signal)
            process.waitUntilExit()
            #expect(try leftovers().count == (signal == SIGKILL ? 1 : 0))
            #expect(try tool.names(in: ".").filter { !$0.hasPrefix(".") } == before)
            #expect(try tool.names(in: "existing") == ["config.json", "model.safetensors"])
            #expect(try tool.data("existing/model.safetensors") == existing)
        }
        // The run that was interrupted has already removed what the killed one left.
        #expect(try tool.names(in: ".") == before)
    }

    /// A limit on the size of files ends the merge with an error instead of the signal that it raises.
    @Test func aLimitOnFileSizesIsAnErrorLikeAFullDisk() throws {
        try InterruptionTests.writeSparseCheckpoint(
            byteCount: 8 << 20, dtype: "F16", to: tool.folder.file("large.safetensors").string)
        let errors = Pipe()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = [
            "-c", #"ulimit -f 1000 && exec "$0" merge --method average large.safetensors --output out/ --quiet"#,
            Tool.binary.path,
        ]
        process.currentDirectoryURL = URL(fileURLWithPath: tool.folder.path.string)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 4)
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(text.hasPrefix("error: ") && text.split(separator: "\n").count <= 3)
        // The folder that was asked for, not the hidden one.
        #expect(text.contains("out/model.safetensors") && !text.contains(".tmp-"))
        #expect(try tool.names(in: ".") == ["Fixtures", "large.safetensors"])
    }
}
