import Checkpoints
import Foundation
import SystemPackage
import Testing

/// Several recipes merged in one sweep, with the built tool.
@Suite struct SeveralRecipesTests {
    private let tool: Tool
    private static let names = ["average", "sum", "signs", "spectra"]

    init() throws {
        tool = try Tool()
        let methods = [
            "linear", "task_arithmetic\nparameters: { lambda: 0.3 }",
            "ties\nparameters: { density: 0.3, trim_scope: model }", "tsv_m",
        ]
        for (name, method) in zip(Self.names, methods) { try write(recipe(method), to: "\(name).yml") }
    }

    private func write(_ text: String, to name: String) throws { _ = try tool.folder.write(Array(text.utf8), to: name) }

    private func recipe(_ method: String, _ experts: [String] = ["digits", "latin_lower", "devanagari"]) -> String {
        let suite = "Fixtures/suites/tiny"
        let base = method == "linear" ? "" : "base_model: \(suite)/base.safetensors\n"
        return base + "models:\n" + experts.map { "  - model: \(suite)/expert_\($0).safetensors\n" }.joined()
            + "merge_method: \(method)\n"
    }

    private func files(in folder: String) throws -> [String: Data] {
        let names = try tool.names(in: folder)
        return Dictionary(uniqueKeysWithValues: try names.map { ($0, Data(try tool.data("\(folder)/\($0)"))) })
    }

    @Test func eachResultIsThatOfItsRecipe() throws {
        let recipes = Self.names.map { "\($0).yml" }
        let outcome = try tool.run(["merge"] + recipes + ["--output", "all/", "--no-sync", "--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let merges = try outcome.json()["merges"].items
        #expect(merges.map { $0["output"].string } == Self.names.map { "all/\($0)/" })
        #expect(merges.map { $0["method"].string } == ["linear", "task_arithmetic", "ties", "tsv_m"])
        #expect(try tool.names(in: "all") == Self.names.sorted())
        for name in Self.names {
            let alone = try tool.run(["merge", "\(name).yml", "alone/\(name)/", "--no-sync"])
            #expect(alone.status == 0, "\(alone.errors)")
            #expect(try files(in: "all/\(name)") == files(in: "alone/\(name)"))
        }
        // With one thread, in little memory, and in other company.
        let other = try tool.run([
            "merge", "signs.yml", "sum.yml", "--output", "two/", "--no-sync", "--threads", "1", "--memory", "64M",
        ])
        #expect(other.status == 0, "\(other.errors)")
        for name in ["signs", "sum"] { #expect(try files(in: "two/\(name)") == files(in: "all/\(name)")) }
    }

    @Test func documentsThatNobodyNeedsAreResults() throws {
        let mean = "name: mean\n" + recipe("linear", ["digits", "latin_lower"])
        let sum =
            "name: sum\nmerge_method: linear\n"
            + "models: [{ model: mean }, { model: Fixtures/suites/tiny/expert_devanagari.safetensors }]\n"
        let other = "name: other\n" + recipe("task_arithmetic")
        try write([mean, sum, other].joined(separator: "---\n"), to: "book.yml")
        let two = try tool.run(["merge", "sum.yml", "signs.yml", "--dry-run"])
        #expect(two.output.contains("sum: Plan of task_arithmetic"), "\(two.output) \(two.errors)")
        let plan = try tool.run(["merge", "book.yml", "--dry-run", "--json"])
        #expect(plan.status == 0, "\(plan.errors)")
        #expect(try plan.json()["merges"].items.map { $0["method"].string } == ["linear", "task_arithmetic"])
        #expect(!tool.exists("out"))
        let outcome = try tool.run(["merge", "book.yml", "out/", "--no-sync"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try tool.names(in: "out") == ["other", "sum", "sum.intermediate"])
        try write([mean, sum].joined(separator: "---\n"), to: "sum.yml")
        try write(other, to: "other.yml")
        #expect(try tool.run(["merge", "sum.yml", "alone/sum/", "--no-sync"]).status == 0)
        #expect(try tool.run(["merge", "other.yml", "alone/other/", "--no-sync"]).status == 0)
        for name in ["sum", "other"] {
            let weights = "\(name)/model.safetensors"
            #expect(try tool.data("out/\(weights)") == tool.data("alone/\(weights)"))
        }
        // A comparison has no folder of results, and a run has one.
        #expect(try tool.run(["run", "book.yml"]).status == 3)
    }

    @Test(arguments: [
        (["sum.yml", "signs.yml", "spectra.yml"], Int32(2), "several recipes need --output FOLDER/"),
        (["sum.yml", "signs.yml"], 2, "several recipes need --output FOLDER/"),
        (["sum.yml", "signs.yml", "--output", "all.safetensors"], 2, "2 results need a folder"),
        (["sum.yml", "./sum.yml", "--output", "all/"], 2, "two results would be called \"sum\""),
        (["sum.yml", "signs.yml", "--output", "all/", "--shard-size", "100K", "--part", "1/2"], 2, "cut into parts"),
        (["clash.yml", "all/"], 2, "\"outer.intermediate\" would be a result, and the folder"),
        (["sum.yml", "gone.yml", "--output", "all/"], 3, "gone.yml"),
        (["sum.yml", "bad.yml", "--output", "all/"], 3, "bad.yml"),
        (["sum.yml", "signs.yml", "--output", "all/", "--memory", "1K"], 4, "share of --memory"),
    ]) func refuses(arguments: [String], status: Int32, message: String) throws {
        try write("merge_method: ties\nmodels: []\n", to: "bad.yml")
        let inner = "name: inner\n" + recipe("linear")
        let outer = "name: outer\nmerge_method: linear\nmodels: [{ model: inner }]\n"
        let clash = "name: outer.intermediate\n" + recipe("linear")
        try write([inner, outer, clash].joined(separator: "---\n"), to: "clash.yml")
        let outcome = try tool.run(["merge"] + arguments + ["--no-sync"])
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(outcome.errors.contains(message), "\(outcome.errors)")
        #expect(!tool.exists("all") && !tool.exists("all.safetensors"))
    }

    /// Nothing of the others appears when one cannot be written.
    @Test func allOrNothing() throws {
        _ = try tool.shell("mkdir -p all/signs; echo x > all/signs/config.json; echo y > all/signs/model.safetensors")
        let outcome = try tool.run(["merge", "sum.yml", "signs.yml", "--output", "all/", "--no-sync", "--json"])
        #expect(outcome.status == 4)
        #expect(try outcome.error()["code"].string == "io.exists")
        #expect(!tool.exists("all/sum"))
        let forced = try tool.run(["merge", "sum.yml", "signs.yml", "--output", "all/", "--no-sync", "--force"])
        #expect(forced.status == 0, "\(forced.errors)")
    }
}
