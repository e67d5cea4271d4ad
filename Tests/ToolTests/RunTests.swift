import Foundation
import Testing

@Suite struct RunTests {
    private let tool: Tool

    init() throws {
        tool = try Tool()
        try FileManager.default.createDirectory(
            atPath: tool.folder.file("work/here").string, withIntermediateDirectories: true)
    }

    /// A recipe in `work`, whose paths count from there.
    private func write(_ more: String, method: String = "task_arithmetic") throws {
        let models = ["digits", "latin_lower"].map { task in
            """
              - model: ../\(TinySuite.expert(task))
                name: \(task)
                head: ../\(TinySuite.folder)/heads_\(task).safetensors
                data: ../\(TinySuite.folder)/test_\(task).npz

            """
        }.joined()
        let text = "merge_method: \(method)\nbase_model: ../\(TinySuite.base)\nmodels:\n\(models)\(more)\n"
        _ = try tool.folder.write(Array(text.utf8), to: "work/recipe.yaml")
    }

    private let resolve = "resolve: { auxiliary: ../\(TinySuite.folder)/aux_mixed.npz, steps: 2, batch_size: 16 }\n"

    @Test func countsPathsFromTheRecipe() throws {
        try write(resolve + "output: out/m.safetensors\nreport: out/r.json")
        let outcome = try tool.shell("cd work/here && untangle run ../recipe.yaml --quiet --no-sync --json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try tool.names(in: "work/here") == [])
        #expect(try tool.names(in: "work/out") == ["m.resolved", "m.safetensors", "m.safetensors.signature", "r.json"])
        #expect(
            try tool.names(in: "work/out/m.resolved") == [
                "digits.safetensors", "digits.safetensors.signature", "latin_lower.safetensors",
                "latin_lower.safetensors.signature",
            ])
        let document = try outcome.json()
        #expect(document["skipped"].items.isEmpty)
        #expect(document["tasks"].items.map { $0["name"].string } == ["digits", "latin_lower"])
        #expect(document["tasks"][0]["accuracy"]["expert"].double == 0.928)
        // Every mean has an interval, narrower than the widest of the tasks.
        func width(_ ends: JSONValue) throws -> Double { try #require(ends[1].double) - #require(ends[0].double) }
        for key in ["base", "expert", "merged", "merged_resolved"] {
            let mean = try #require(document["mean_accuracy"][key].double)
            let ends = document["interval"]["mean_accuracy"][key]
            #expect(try #require(ends[0].double) < mean && mean < #require(ends[1].double), "\(key)")
            let widest = try document["tasks"].items.map { try width($0["interval"]["accuracy"][key]) }.max()
            #expect(try width(ends) < #require(widest), "\(key)")
        }
        let report = try JSONValue(parsing: String(decoding: try tool.data("work/out/r.json"), as: UTF8.self))
        #expect(report.keys == document.keys)

        // Again from elsewhere: the same inputs, so nothing is left to do.
        let second = try tool.run("run", "work/recipe.yaml", "--quiet", "--json").json()
        #expect(second["skipped"].items.map(\.string) == ["resolve", "merge"])
        #expect(
            second["mean_accuracy"]["merged_resolved"].double == document["mean_accuracy"]["merged_resolved"].double)
    }

    /// What a kill leaves between the link to the output's name and the removal of the hidden one.
    @Test(arguments: ["m.safetensors", "m/"]) func aMergeThatIsDoneLeavesNothingOfAKill(output: String) throws {
        try write("output: out/\(output)")
        #expect(try tool.run("run", "work/recipe.yaml", "--quiet", "--no-sync").status == 0)
        let names = try tool.names(in: "work/out")
        let line =
            output == "m/"
            ? "mkdir .m.tmp-1-0; touch .m.tmp-1-0/.lock"
            : "ln m.safetensors .m.safetensors.tmp-1-0; touch .m.safetensors.signature.tmp-1-0"
        #expect(try tool.shell("set -e; cd work/out; \(line)").status == 0)
        let again = try tool.run("run", "work/recipe.yaml", "--quiet", "--no-sync", "--json").json()
        #expect(again["skipped"].items.map(\.string) == ["merge"])
        #expect(try tool.names(in: "work/out") == names)
    }

    @Test func printsATable() throws {
        try write("")
        let outcome = try tool.run("run", "work/recipe.yaml", "--quiet")
        #expect(outcome.status == 0)
        let lines = outcome.output.split(separator: "\n").drop { !$0.hasPrefix("task ") }.map(String.init)
        #expect(lines[0] == "task            base  expert  merged  interference")
        #expect(lines[1].hasPrefix("digits        78.8 %  92.8 %"))
        #expect(lines[3].hasPrefix("mean / total  63.8 %  79.8 %"))
        #expect(try tool.names(in: "work") == ["here", "recipe.yaml"])
    }

    @Test func strictTurnsWarningsIntoErrors() throws {
        try write("parameters: { int8_mask: true }")
        let lenient = try tool.run("run", "work/recipe.yaml", "--quiet")
        #expect(lenient.status == 0)
        #expect(
            lenient.errors.contains("warning: line 12: method task_arithmetic has no parameter \"int8_mask\", ignored"))
        let strict = try tool.run("run", "work/recipe.yaml", "--quiet", "--strict", "--json")
        #expect(strict.status == 3)
        #expect(try strict.error()["code"].string == "recipe.unknown_key")
    }

    @Test(
        arguments: [
            ("merge_method: x\nmerge_method: y", 3, "recipe.syntax"), ("", 3, "recipe.syntax"),
            ("merge_method: ties\nmodels:\n  - name: x", 3, "recipe.missing_key"),
            (
                "merge_method: ties\nmodels:\n  - model: x.safetensors\nresolve:\n  auxiliary: noise", 3,
                "recipe.missing_key"
            ),
            ("merge_method: tie\nmodels:\n  - model: x.safetensors\noutput: m.npz", 2, "merge.unknown_method"),
            ("merge_method: average\nmodels:\n  - model: x.safetensors\noutput: m.npz", 3, "io.not_found"),
            ("merge_method: average\nmodels:\n  - model: x.safetensors", 3, "io.not_found"),
        ] as [(String, Int32, String)]) func refuses(text: String, status: Int32, code: String) throws
    {
        _ = try tool.folder.write(Array(text.utf8), to: "r.yaml")
        let outcome = try tool.run("run", "r.yaml", "--json")
        #expect(outcome.status == status)
        #expect(outcome.output == "")
        #expect(try outcome.error()["code"].string == code)
        #expect(!tool.exists("m.npz"))
    }
}
