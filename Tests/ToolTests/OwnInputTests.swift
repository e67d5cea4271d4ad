import Foundation
import Testing

/// Outputs that are inputs, by whatever name.
@Suite struct OwnInputTests {
    private let tool: Tool

    init() throws {
        tool = try Tool()
        let files = FileManager.default
        try files.copyItem(
            atPath: tool.folder.file("Fixtures/suites/tiny/base.safetensors").string,
            toPath: tool.folder.file("a.safetensors").string)
        try files.linkItem(
            atPath: tool.folder.file("a.safetensors").string, toPath: tool.folder.file("hard.safetensors").string)
        try files.createSymbolicLink(
            atPath: tool.folder.file("symbolic.safetensors").string, withDestinationPath: "a.safetensors")
        try files.createSymbolicLink(atPath: tool.folder.file("here").string, withDestinationPath: ".")
    }

    private static let convert = ["convert", "a.safetensors"]
    private static let merge = ["merge", "--method", "linear", "a.safetensors", "a.safetensors", "--output"]

    private func input() throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: tool.folder.file("a.safetensors").string))
    }

    @Test(
        arguments: [convert, merge],
        ["a.safetensors", "hard.safetensors", "symbolic.safetensors", "here/a.safetensors"])
    func giveWayOnlyByForce(_ command: [String], _ output: String) throws {
        let before = try input()
        let outcome = try tool.run(command + [output, "--json"])
        #expect(outcome.status == 4)
        #expect(try outcome.error()["code"].string == "io.exists")
        #expect(try input() == before)
    }

    /// The name gets a file of its own; the input keeps its bytes.
    @Test(arguments: [convert + ["--dtype", "f16"], merge], ["hard.safetensors", "symbolic.safetensors"])
    func areNotWrittenThrough(_ command: [String], _ output: String) throws {
        let before = try input()
        let arguments = command[0] == "merge" ? command + [output] : [command[0], command[1], output] + command[2...]
        #expect(try tool.run(arguments + ["--force"]).status == 0)
        #expect(try input() == before)
        #expect(try tool.run("verify", output).status == 0)
    }

    /// The other shards would be nothing without it.
    @Test(arguments: ["m/model-00002-of-00003.safetensors", "here/m/model-00001-of-00003.safetensors"])
    func areNeverOnePartOfAnInput(_ output: String) throws {
        #expect(try tool.run("convert", "a.safetensors", "m/", "--shard-size", "120KB").status == 0)
        for command in [["convert", "m"], ["merge", "--method", "linear", "m", "a.safetensors", "--output"]] {
            let outcome = try tool.run(command + [output, "--force", "--json"])
            #expect(outcome.status == 4)
            #expect(try outcome.error()["code"].string == "io.exists")
            #expect(try outcome.error()["file"].string == output)
        }
        #expect(try tool.run("diff", "a.safetensors", "m").status == 0)
        // All of it may be written anew.
        #expect(try tool.run("convert", "m", "m/", "--force", "--shard-size", "180KB").status == 0)
        #expect(try tool.run("diff", "a.safetensors", "m").status == 0)
    }
}
