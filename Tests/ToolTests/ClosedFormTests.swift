import Foundation
import Testing

@Suite("resolve in closed form and without heads") struct ClosedFormTests {
    private let tool: Tool
    private let tasks = ["digits", "latin_lower"]
    private let auxiliary = ["--auxiliary", "\(TinySuite.folder)/aux_mixed.npz"]

    init() throws { tool = try Tool() }

    private func resolve(_ more: [String], heads: Bool = true) throws -> Tool.Outcome {
        try tool.run(
            ["resolve"] + TinySuite.experts(tasks) + (heads ? TinySuite.heads(tasks) : [])
                + ["--no-sync", "--quiet", "--output", "out", "--json"] + more)
    }

    @Test("gram needs no inputs, takes no steps and is taken as done by --resume")
    func gram() throws {
        let outcome = try resolve(["--solver", "gram", "--resume"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        for expert in try outcome.json()["experts"].items {
            #expect(expert["steps"].int == 0)
            #expect(
                expert.keys == [
                    "name", "output", "steps", "seconds", "loss", "preservation", "interference", "expected_bytes",
                ])
            #expect(expert["loss"].isNull)
        }
        let bytes = try tool.data("out/digits.safetensors")
        #expect(try bytes != tool.data(TinySuite.expert("digits")))
        let again = try resolve(["--solver", "gram", "--resume"])
        #expect(again.status == 0, "\(again.errors)")
        #expect(try again.json()["experts"][0].keys.isDisjoint(with: ["expected_bytes"]))
        // Options of training do not count, those of the closed form do.
        #expect(try resolve(["--solver", "gram", "--resume", "--steps", "9"]).status == 0)
        let other = try resolve(["--solver", "gram", "--resume", "--ridge", "0.2"])
        #expect(other.status != 0)
        #expect(try #require(other.error()["message"].string).contains("ridge"))
    }

    @Test("what a solver looks at has to be given, and what it does not must not")
    func inputs() throws {
        let needless = try resolve(["--solver", "gram"] + auxiliary)
        #expect(needless.status == 2 && needless.errors.contains("leave out --auxiliary"))
        let missing = try resolve(["--solver", "ridge"])
        #expect(missing.status == 2 && missing.errors.contains("--auxiliary"))
        let trace = try resolve(["--solver", "gram", "--trace", "trace.csv"])
        #expect(trace.status == 2 && trace.errors.contains("--trace"))
        #expect(!tool.exists("out"))
        let zero = try resolve(["--solver", "gram", "--ridge", "0"])
        #expect(try zero.error()["code"].string == "interference.bad_option")
        let headless = try resolve(["--solver", "gram"], heads: false)
        #expect(headless.status == 2 && headless.errors.contains("--head"))
    }

    @Test("ridge depends on the inputs") func ridge() throws {
        #expect(try resolve(["--solver", "ridge"] + auxiliary).status == 0)
        let mixed = try tool.data("out/digits.safetensors")
        let noise = try resolve(["--solver", "ridge", "--auxiliary", "noise", "--auxiliary-count", "40", "--force"])
        #expect(noise.status == 0, "\(noise.errors)")
        #expect(try mixed != tool.data("out/digits.safetensors"))
    }

    @Test("features are matched without heads", arguments: [[], ["--solver", "gram"]])
    func features(_ solver: [String]) throws {
        let short = ["--match", "features", "--steps", "3", "--batch-size", "16"] + auxiliary + solver
        let outcome = try resolve(short, heads: false)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let bytes = try tool.data("out/digits.safetensors")
        #expect(try bytes != tool.data(TinySuite.expert("digits")))
        // Heads make no difference, and neither does the distance, which is mse.
        let heads = try resolve(short + ["--force", "--distance", "cross_entropy"])
        #expect(heads.status == 0, "\(heads.errors)")
        #expect(try bytes == tool.data("out/digits.safetensors"))
    }

    @Test("recipes solve without auxiliary inputs, and say when those have no effect") func recipes() throws {
        func run(_ resolve: String) throws -> Tool.Outcome {
            let text = TinySuite.recipe(
                "merge_method: task_arithmetic\nresolve: { \(resolve) }\noutput: run/m.safetensors", tasks: tasks)
            _ = try tool.folder.write(Array(text.utf8), to: "recipe.yaml")
            return try tool.run("run", "recipe.yaml", "--quiet", "--no-sync", "--json", "--force")
        }
        let outcome = try run("solver: gram")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try outcome.json()["resolve"][0]["steps"].int == 0)
        let needless = try run("solver: gram, auxiliary: noise")
        #expect(try needless.error()["code"].string == "recipe.bad_value")
        let missing = try run("solver: ridge")
        #expect(try missing.error()["code"].string == "recipe.missing_key")
    }
}
