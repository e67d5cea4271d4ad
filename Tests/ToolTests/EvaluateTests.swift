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
        for task in document["tasks"].items { #expect(task.keys == ["name", "accuracy", "samples", "interval"]) }
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

    /// A final norm of 3e38, finite itself, makes every logit overflow.
    @Test func accuraciesOfLogitsThatOverflowAreNaN() throws {
        let tool = try Tool()
        let scale = Array(repeating: Float(3e38), count: 64)
        try tool.replace("norm.weight", of: TinySuite.base, by: scale, in: "broken.safetensors")
        let arguments =
            ["evaluate", "broken.safetensors", "--config", "\(TinySuite.folder)/config.json", "--quiet"]
            + TinySuite.heads(["digits"]) + TinySuite.data(["digits"])
        let document = try tool.run(arguments + ["--json"]).json()
        #expect(document["tasks"][0]["accuracy"].string == "nan" && document["mean_accuracy"].string == "nan")
        let table = try tool.run(arguments)
        #expect(table.status == 0 && table.output.contains("digits      250       nan\n"))
        let measured = try tool.run(
            ["interference", "--merged", "broken.safetensors", "--json", "--quiet"] + TinySuite.experts(["digits"])
                + TinySuite.heads(["digits"]) + TinySuite.data(["digits"])
        ).json()
        #expect(measured["total"].string == "nan" && measured["tasks"][0]["interference"].string == "nan")
        #expect(measured["tasks"][0]["accuracy_merged"].string == "nan")
        #expect(measured["tasks"][0]["accuracy_expert"].double == 0.928)
    }

    @Test func refusesWeightsWithNaNAndSaysHowMany() throws {
        let tool = try Tool()
        var values = Array(repeating: Float(1), count: 64)
        (values[3], values[4], values[60]) = (.nan, .infinity, .nan)
        try tool.replace("norm.weight", of: TinySuite.base, by: values, in: "broken.safetensors")
        let message = "\"norm.weight\" holds 2 NaN and 1 infinity, the first at position 3"
        let config = ["--config", "\(TinySuite.folder)/config.json", "--quiet", "--json"]
        let heads = TinySuite.heads(["digits"])
        let data = TinySuite.data(["digits"])
        let broken = ["--base", "broken.safetensors", "--expert", "digits=\(TinySuite.expert("digits"))"]
        let expert = ["--base", TinySuite.base, "--expert", "digits=broken.safetensors"]
        for arguments in [
            ["evaluate", "broken.safetensors"] + data,
            ["interference", "--matrix", "--merged", TinySuite.base] + broken + data,
            ["interference", "--merged", TinySuite.base] + expert + data,
            ["interference", "--merged", "broken.safetensors"] + TinySuite.experts(["digits"]) + data,
            ["resolve", "--auxiliary", "noise", "--steps", "1", "--output", "out"] + broken,
            ["resolve", "--auxiliary", "noise", "--steps", "1", "--output", "out"] + expert,
        ] {
            let outcome = try tool.run(arguments + heads + config)
            #expect(outcome.status == 3 && outcome.output == "")
            let error = try outcome.error()
            #expect(error["code"].string == "input.bad_value" && error["message"].string == message)
            #expect(error["file"].string == "broken.safetensors" && error["tensor"].string == "norm.weight")
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
