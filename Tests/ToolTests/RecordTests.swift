import Foundation
import Testing

/// A record is complete before its output appears, so nothing that ends a run in between leaves an output that the next run does not
/// know. A folder in the record's place does what a kill at that moment would: the record cannot be written.
@Suite struct RecordTests {
    private let tool: Tool

    init() throws {
        tool = try Tool()
        let models = ["digits", "latin_lower"].map { task in
            """
              - model: \(TinySuite.expert(task))
                name: \(task)
                head: \(TinySuite.folder)/heads_\(task).safetensors

            """
        }.joined()
        let text = """
            merge_method: ties
            base_model: \(TinySuite.base)
            models:
            \(models)resolve: { auxiliary: \(TinySuite.folder)/aux_mixed.npz, steps: 2, batch_size: 16 }
            output: out/m.safetensors
            """
        _ = try tool.folder.write(Array(text.utf8), to: "r.yaml")
    }

    @Test(arguments: ["out/m.safetensors", "out/m.resolved/digits.safetensors"])
    func withoutItsRecordNoOutputAppears(output: String) throws {
        let record = tool.folder.file(output + ".signature").string
        try FileManager.default.createDirectory(atPath: record, withIntermediateDirectories: true)
        let stopped = try tool.run("run", "r.yaml", "--quiet", "--no-sync")
        #expect(stopped.status == 4)
        #expect(!tool.exists(output))
        try FileManager.default.removeItem(atPath: record)
        let outcome = try tool.run("run", "r.yaml", "--quiet", "--no-sync")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try tool.run("run", "r.yaml", "--quiet", "--json").json()["skipped"].items.count == 2)
    }

    /// The other order, as a kill after the record leaves it: a record of nothing.
    @Test func aRecordWithoutItsOutputIsNothing() throws {
        #expect(try tool.run("run", "r.yaml", "--quiet", "--no-sync").status == 0)
        let before = try tool.data("out/m.safetensors")
        for output in ["out/m.safetensors", "out/m.resolved/digits.safetensors"] {
            try FileManager.default.removeItem(atPath: tool.folder.file(output).string)
        }
        let outcome = try tool.run("run", "r.yaml", "--quiet", "--no-sync")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try tool.data("out/m.safetensors") == before)
    }
}
