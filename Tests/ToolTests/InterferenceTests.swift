import Testing

@Suite struct InterferenceTests {
    private let everything = ["interference"] + TinySuite.experts() + TinySuite.heads() + ["--quiet"]

    /// Interference and accuracy are those that PyTorch measured: `reference.json`, λ 0.3.
    @Test func measuresAMerge() throws {
        let outcome = try Tool().run(
            everything + TinySuite.data() + ["--method", "task_arithmetic", "--set", "lambda=0.3", "--json"])
        #expect(outcome.status == 0)
        let document = try outcome.json()
        #expect(document.keys == ["distance", "total", "tasks"])
        #expect(document["distance"].string == "kl")
        #expect(abs((document["total"].double ?? 0) - 1.67286) < 1e-3)
        for (task, expected) in zip(document["tasks"].items, [0.361771, 0.392248, 0.495154, 0.423687]) {
            #expect(task.keys == ["name", "interference", "samples", "accuracy_expert", "accuracy_merged"])
            #expect(abs((task["interference"].double ?? 0) - expected) < 1e-3)
        }
        #expect(document["tasks"].items.map { $0["accuracy_expert"].double } == [0.732, 0.928, 0.668, 0.664])
    }

    @Test func measuresACheckpointWithoutLabels() throws {
        let tool = try Tool()
        #expect(
            try tool.run("convert", "\(TinySuite.folder)/test_digits.npz", "images.npz", "--only", "images").status == 0
        )
        let outcome = try tool.run(
            everything + ["--data", "digits=images.npz", "--merged", TinySuite.expert("digits"), "--json"])
        #expect(outcome.status == 0)
        let task = try outcome.json()["tasks"][0]
        #expect(task.keys == ["name", "interference", "samples"])
        // The merged model is the expert itself.
        #expect(task["interference"].double == 0)
        #expect(try outcome.json()["total"].double == 0)
    }

    @Test func addsTheMatrix() throws {
        let outcome = try Tool().run(
            everything + TinySuite.data() + ["--merged", TinySuite.base, "--matrix", "--distance", "mse", "--json"])
        let document = try outcome.json()
        #expect(document.keys == ["distance", "total", "tasks", "matrix"])
        #expect(document["distance"].string == "mse")
        let matrix = document["matrix"]
        #expect(matrix.keys == ["rows", "columns", "values"])
        #expect(matrix["rows"].items.map(\.string) == TinySuite.tasks)
        #expect(matrix["columns"].items.map(\.string) == TinySuite.tasks)
        for i in 0..<4 { for j in 0..<4 { #expect((matrix["values"][i][j].double == 0) == (i == j)) } }
    }

    @Test(
        arguments: [
            ([], 2, "usage"), (TinySuite.data(), 2, "usage"),
            (TinySuite.data() + ["--method", "ties", "--merged", TinySuite.base], 2, "usage"),
            (["--method", "ties"], 2, "usage"),
            (TinySuite.data(["digits"]) + ["--method", "ties", "--matrix"], 2, "usage"),
            (TinySuite.data() + ["--method", "tie"], 2, "merge.unknown_method"),
            (TinySuite.data() + ["--method", "ties", "--set", "density=2"], 2, "merge.bad_parameter"),
            (TinySuite.data() + ["--method", "ties", "--set", "densty=0.2"], 2, "merge.unknown_parameter"),
            (TinySuite.data() + ["--data", "x=\(TinySuite.base)", "--method", "ties"], 2, "usage"),
            (TinySuite.data() + ["--merged", "none.safetensors"], 3, "io.not_found"),
            (
                TinySuite.data() + ["--merged", "\(TinySuite.folder)/heads_digits.safetensors"], 3,
                "input.missing_tensor"
            ),
        ] as [([String], Int32, String)]) func refuses(arguments: [String], status: Int32, code: String) throws
    {
        let outcome = try Tool().run(everything + ["--json"] + arguments)
        #expect(outcome.status == status)
        #expect(outcome.output == "")
        #expect(try outcome.error()["code"].string == code)
    }

    @Test func needsTheHeadOfATaskThatIsMeasured() throws {
        let outcome = try Tool().run(
            ["interference"] + TinySuite.experts() + TinySuite.heads(["digits"]) + TinySuite.data(["latin_lower"])
                + ["--method", "average", "--json"])
        #expect(outcome.status == 2)
        #expect(try outcome.error()["hint"].string == "add --head latin_lower=FILE")
    }
}
