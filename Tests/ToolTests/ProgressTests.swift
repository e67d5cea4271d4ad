import Testing

/// `--progress json` puts everything on standard error into objects, one a line.
@Suite struct ProgressTests {
    private func events(_ outcome: Tool.Outcome) throws -> [JSONValue] {
        try outcome.errors.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
    }

    @Test func progressAndWarningsAreEvents() throws {
        let tool = try Tool()
        let recipe = """
            merge_method: linear
            models:
              - { model: \(TinySuite.expert("digits")), parameters: { weight: 1, bogus: 2 } }
            """
        _ = try tool.folder.write(Array(recipe.utf8), to: "r.yaml")
        let outcome = try tool.run("merge", "r.yaml", "out.safetensors", "--progress", "json")
        #expect(outcome.status == 0)
        let events = try events(outcome)
        let warning = try #require(events.first)
        #expect(warning.keys == ["event", "code", "message", "file", "line", "column"])
        #expect(warning["event"].string == "warning")
        #expect(warning["code"].string == "recipe.unknown_parameter")
        #expect(warning["message"].string == "line 3: method linear has no parameter \"bogus\", ignored")
        #expect(warning["line"].int == 3)
        let progress = events.filter { $0["event"].string == "progress" }
        #expect(progress.allSatisfy { $0.keys == ["event", "stage", "done", "total", "unit", "seconds"] })
        let merging = progress.filter { $0["stage"].string == "merging" }
        #expect(merging.first?["done"].int == 0)
        #expect(merging.last?["done"].int == merging.last?["total"].int)
        #expect(merging.allSatisfy { $0["unit"].string == "bytes" })
    }

    /// Two tasks of 250 labelled images, on each of which the expert, the merged model and another of the matrix are measured.
    @Test func longWorkKnowsHowMuchThereIs() throws {
        let tool = try Tool()
        var tasks: [String] = []
        for name in ["digits", "latin_lower"] {
            tasks += ["--head", "\(name)=Fixtures/suites/tiny/heads_\(name).safetensors"]
            tasks += ["--data", "\(name)=Fixtures/suites/tiny/test_\(name).npz"]
        }
        func last(_ stage: String, _ arguments: [String]) throws -> JSONValue {
            let outcome = try tool.run(arguments + ["--progress", "json"])
            #expect(outcome.status == 0)
            return try #require(try events(outcome).last { $0["stage"].string == stage })
        }
        let evaluated = try last("evaluating \(TinySuite.base)", ["evaluate", TinySuite.base] + tasks)
        #expect(evaluated["total"].int == 500 && evaluated["done"].int == 500)
        #expect(evaluated["unit"].string == "inputs")
        let experts = ["digits", "latin_lower"].flatMap { ["--expert", "\($0)=\(TinySuite.expert($0))"] }
        let measured = try last(
            "measuring",
            ["interference", "--base", TinySuite.base, "--method", "linear", "--matrix"] + experts + tasks)
        #expect(measured["total"].int == 1500 && measured["done"].int == 1500)
    }

    /// The base and two experts of 278 KiB each.
    @Test func vectorsTellHowMuchIsRead() throws {
        let outcome = try Tool().run(
            "vectors", "--progress", "json", "--save", "tau", "--base", TinySuite.base, TinySuite.expert("digits"),
            TinySuite.expert("latin_lower"))
        for (stage, least) in [("comparing", 800_000), ("writing", 550_000)] {
            let last = try #require(try events(outcome).last { $0["stage"].string == stage })
            let total = try #require(last["total"].int)
            #expect(last["done"].int == total && last["unit"].string == "bytes")
            #expect(total > least && total < least + 100_000)
        }
    }

    @Test(arguments: [["--progress", "json"], ["--progress=json"]]) func errorsAreEvents(option: [String]) throws {
        let outcome = try Tool().run(["inspect", "none.npz"] + option)
        #expect(outcome.status == 3)
        let error = try #require(try events(outcome).last)
        #expect(error["event"].string == "error")
        #expect(error["code"].string == "io.not_found")
        // With --json the document has its own shape as well.
        let both = try Tool().run(["inspect", "none.npz", "--json"] + option)
        #expect(try both.error()["code"].string == "io.not_found")
        #expect(try events(both).last?["event"].string == "error")
    }

    @Test func noneIsQuiet() throws {
        for option in [["--progress", "none"], ["--quiet"], ["-q", "--progress", "none"]] {
            let outcome = try Tool().run(["inspect", TinySuite.base, "--stats"] + option)
            #expect(outcome.errors == "")
        }
        #expect(try Tool().run("inspect", TinySuite.base, "--progress", "loud").status == 2)
        #expect(try Tool().run("inspect", TinySuite.base, "--quiet", "--progress", "json").status == 2)
    }
}
