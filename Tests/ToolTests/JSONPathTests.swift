import Foundation
import Testing

/// Paths in JSON are usable from the folder in which the command ran, wherever recipe and files lie.
@Suite struct JSONPathTests {
    private let tool: Tool
    private let suite = "../../\(TinySuite.folder)"

    init() throws {
        tool = try Tool()
        try FileManager.default.createDirectory(
            atPath: tool.folder.file("work/here").string, withIntermediateDirectories: true)
        try FileManager.default.createDirectory(
            atPath: tool.folder.file("work/recipes").string, withIntermediateDirectories: true)
    }

    /// Runs a command in `work/here` and gives its result.
    private func run(_ line: String) throws -> JSONValue {
        let outcome = try tool.shell("cd work/here && untangle \(line) --json --quiet")
        #expect(outcome.status == 0, "\(line): \(outcome.errors)")
        return try outcome.json()
    }

    private func isThere(_ path: JSONValue) -> Bool {
        guard let path = path.string else { return false }
        return tool.exists("work/here/\(path)")
    }

    @Test func ofConversions() throws {
        let one = try run("convert \(suite)/base.safetensors ../one.npz --no-sync")
        #expect(one["output"].string == "../one.npz" && one["files"][0].string == "../one.npz")
        let split = try run("convert \(suite)/base.safetensors ../split/ --shard-size 100kB --no-sync")
        #expect(split["files"].items.count > 2)
        #expect(isThere(split["output"]))
        #expect(split["files"].items.allSatisfy(isThere))
        let listed = try run("inspect ../split")
        #expect(isThere(listed["path"]))
        #expect(listed["files"].items.allSatisfy(isThere))
    }

    @Test func ofResolving() throws {
        let document = try run(
            "resolve --base \(suite)/base.safetensors --expert digits=\(suite)/expert_digits.safetensors "
                + "--head digits=\(suite)/heads_digits.safetensors --auxiliary noise --auxiliary-count 8 --steps 1 "
                + "--output ../adapted --no-sync")
        #expect(document["experts"][0]["output"].string == "../adapted/digits.safetensors")
        #expect(isThere(document["experts"][0]["output"]))
    }

    /// Paths of a recipe count from the recipe, and those of its results from the current folder.
    @Test func ofRecipes() throws {
        let recipe = """
            merge_method: average
            base_model: ../../\(TinySuite.base)
            models:
              - model: ../../\(TinySuite.expert("digits"))
                name: digits
                head: ../../\(TinySuite.folder)/heads_digits.safetensors
            resolve: { auxiliary: noise, auxiliary_count: 8, steps: 1 }
            output: out/merged.safetensors
            """
        _ = try tool.folder.write(Array(recipe.utf8), to: "work/recipes/r.yaml")
        let ran = try run("run ../recipes/r.yaml --no-sync")
        #expect(ran["output"].string == "../recipes/out/merged.safetensors")
        #expect(isThere(ran["output"]))
        #expect(isThere(ran["recipe"]))
        #expect(ran["resolve"].count == 1)
        #expect(isThere(ran["resolve"][0]["output"]))
        for target in ["../folder/", "../one.skein"] {
            let merged = try run("merge ../recipes/r.yaml \(target) --no-sync")
            #expect(isThere(merged["output"]))
            #expect(merged["files"].items.count >= 1)
            #expect(merged["files"].items.allSatisfy(isThere), "\(target)")
        }
    }

    /// The file that an error names is there, or would be.
    @Test func ofErrors() throws {
        #expect(try tool.shell("head -c 1000 \(TinySuite.base) > work/cut.safetensors").status == 0)
        let recipe = "merge_method: average\nmodels:\n  - model: ../cut.safetensors\noutput: x.npz\n"
        _ = try tool.folder.write(Array(recipe.utf8), to: "work/recipes/cut.yaml")
        for (line, file) in [
            ("inspect ../cut.safetensors", "../cut.safetensors"),
            ("run ../recipes/cut.yaml", "../cut.safetensors"),
            (
                "resolve --base ../cut.safetensors --expert a=x.npz --head a=x.npz --auxiliary noise --output o",
                "../cut.safetensors"
            ),
            ("inspect ../recipes", "../recipes"),
        ] {
            let outcome = try tool.shell("cd work/here && untangle \(line) --json")
            #expect(outcome.status == 3)
            #expect(try outcome.error()["file"].string == file, "\(line)")
            #expect(try isThere(outcome.error()["file"]))
        }
    }
}
