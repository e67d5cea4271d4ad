import Testing

@Suite struct EvaluateTests {
    /// Accuracies are those that PyTorch measured: `reference.json`.
    @Test func printsAccuracies() throws {
        let arguments =
            ["evaluate", TinySuite.base] + TinySuite.heads() + TinySuite.data() + ["--quiet", "--threads", "2"]
        let outcome = try Tool().run(arguments + ["--json"])
        #expect(outcome.status == 0)
        let document = try outcome.json()
        #expect(document.keys == ["tasks", "mean_accuracy"])
        for task in document["tasks"].items { #expect(task.keys == ["name", "accuracy", "samples"]) }
        #expect(document["tasks"].items.map { $0["name"].string } == TinySuite.tasks)
        #expect(document["tasks"].items.map { $0["accuracy"].double } == [0.668, 0.788, 0.488, 0.472])
        #expect(document["tasks"].items.allSatisfy { $0["samples"].int == 250 })
        #expect(abs((document["mean_accuracy"].double ?? 0) - 0.604) < 1e-12)
        let table = try Tool().run(arguments)
        #expect(table.output.contains("digits            250    78.8 %"))
        #expect(table.output.contains("mean                     60.4 %"))
    }

    @Test func saysWhichFilesAreSwapped() throws {
        let (head, data) = ("\(TinySuite.folder)/heads_digits.safetensors", "\(TinySuite.folder)/test_digits.npz")
        for (arguments, message) in [
            (
                [TinySuite.base, "--head", "d=\(data)", "--data", "d=\(head)"],
                "\(data) holds images, and a head is needed"
            ),
            (
                [TinySuite.base, "--head", "d=\(TinySuite.base)", "--data", "d=\(data)"],
                "\(TinySuite.base) holds a whole"
            ),
            ([TinySuite.base, "--head", "d=\(head)", "--data", "d=\(head)"], "\(head) holds a head, and data needs"),
            ([head, "--head", "d=\(head)", "--data", "d=\(data)"], "\(head) holds a head, and a model is needed"),
        ] {
            let outcome = try Tool().run(["evaluate", "--json"] + arguments)
            #expect(outcome.status == 3)
            let error = try outcome.error()
            #expect(error["code"].string == "input.missing_tensor")
            #expect(error["message"].string?.hasPrefix(message) == true, "\(error)")
            #expect(error["hint"].string == "perhaps the files of models, heads and data are swapped")
        }
    }

    @Test(
        arguments: [
            (TinySuite.heads(["digits"]), 2, "usage"), (TinySuite.data(["digits"]), 2, "usage"),
            (TinySuite.heads(["digits", "latin_lower"]) + TinySuite.data(["digits"]), 2, "usage"),
            (TinySuite.heads(["digits"]) + TinySuite.data(["digits", "latin_lower"]), 2, "usage"),
            (TinySuite.heads(["digits"]) + TinySuite.data(["digits", "digits"]), 2, "usage"),
            (
                TinySuite.heads(["digits"]) + ["--data", "digits=\(TinySuite.folder)/aux_mixed.npz"], 3,
                "input.missing_tensor"
            ),
            (
                // A head of five classes for labels up to nine.
                ["--head", "digits=\(TinySuite.folder)/heads_fashion_tops.safetensors"] + TinySuite.data(["digits"]), 3,
                "input.bad_value"
            ),
            (
                ["--head", "d=\(TinySuite.base)"] + ["--data", "d=\(TinySuite.folder)/test_digits.npz"], 3,
                "input.missing_tensor"
            ),
            (["--head", "d"] + TinySuite.data(["digits"]), 2, "usage"),
        ] as [([String], Int32, String)]) func refuses(arguments: [String], status: Int32, code: String) throws
    {
        let outcome = try Tool().run(["evaluate", TinySuite.base, "--json"] + arguments)
        #expect(outcome.status == status)
        #expect(outcome.output == "")
        #expect(try outcome.error()["code"].string == code)
    }
}
