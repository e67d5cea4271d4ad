import Testing

@Suite struct InterferenceTests {
    private let everything = ["interference"] + TinySuite.experts() + TinySuite.heads() + ["--quiet"]

    /// Interference and accuracy are those that PyTorch measured: `reference.json`, λ 0.3.
    @Test func measuresAMerge() throws {
        let outcome = try Tool().run(
            everything + TinySuite.data() + ["--method", "task_arithmetic", "--set", "lambda=0.3", "--json"])
        #expect(outcome.status == 0)
        let document = try outcome.json()
        #expect(
            document.keys == [
                "distance", "total", "interval", "mean_agreement", "mean_agreement_interval", "mean_accuracy_expert",
                "mean_accuracy_expert_interval", "mean_accuracy_merged", "mean_accuracy_merged_interval", "tasks",
            ])
        #expect(document["distance"].string == "kl")
        #expect(abs((document["total"].double ?? 0) - 1.67286) < 1e-3)
        for (task, expected) in zip(document["tasks"].items, [0.361771, 0.392248, 0.495154, 0.423687]) {
            #expect(
                task.keys == [
                    "name", "interference", "interval", "samples", "agreement", "agreement_interval", "cka",
                    "cka_interval",
                    "accuracy_expert", "accuracy_expert_interval", "accuracy_merged", "accuracy_merged_interval",
                ])
            for (key, interval) in [
                ("interference", "interval"), ("agreement", "agreement_interval"), ("cka", "cka_interval"),
                ("accuracy_expert", "accuracy_expert_interval"), ("accuracy_merged", "accuracy_merged_interval"),
            ] {
                let ends = task[interval].items.compactMap(\.double)
                #expect(
                    ends.count == 2 && ends[0] < task[key].double ?? .nan && task[key].double ?? .nan < ends[1],
                    "\(key)")
            }
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
        #expect(
            task.keys == [
                "name", "interference", "interval", "samples", "agreement", "agreement_interval", "cka", "cka_interval",
            ])
        #expect(task["agreement"].double == 1)
        // The merged model is the expert itself.
        #expect(task["interference"].double == 0)
        #expect(try outcome.json()["total"].double == 0)
    }

    @Test func addsTheMatrix() throws {
        let outcome = try Tool().run(
            everything + TinySuite.data() + ["--merged", TinySuite.base, "--matrix", "--distance", "mse", "--json"])
        let document = try outcome.json()
        #expect(document.keys.isSuperset(of: ["distance", "total", "tasks", "matrix"]))
        #expect(document["distance"].string == "mse")
        let matrix = document["matrix"]
        #expect(matrix.keys == ["rows", "columns", "values", "intervals"])
        #expect(matrix["rows"].items.map(\.string) == TinySuite.tasks)
        #expect(matrix["columns"].items.map(\.string) == TinySuite.tasks)
        for i in 0..<4 {
            for j in 0..<4 {
                let value = try #require(matrix["values"][i][j].double)
                let ends = matrix["intervals"][i][j].items.compactMap(\.double)
                #expect((value == 0) == (i == j))
                #expect(ends.count == 2 && ends[0] <= value && value <= ends[1])
            }
        }
    }

    /// Five merges of eight experts, as the independent implementation in PyTorch measured them: within 3 %, its `reference.json` says.
    @Test(
        arguments: [
            ("average", "average", []), ("task_arithmetic", "task_arithmetic", ["lambda=0.3"]),
            ("ties", "ties", ["density=0.2", "trim_scope=model"]), ("tsv_m", "tsvm", []), ("iso_c", "iso_c", []),
        ] as [(String, String, [String])]) func equalsTheReferenceOnEightTasks(
            method: String, key: String, parameters: [String]
        ) throws
    {
        let folder = "Fixtures/suites/eight-tasks"
        let tool = try Tool()
        let reference = try JSONValue(
            parsing: String(decoding: try tool.data("\(folder)/reference.json"), as: UTF8.self))
        let expected = reference["main"]["without_ri"][key]["fixed"]
        let tasks = reference["main"]["tasks"].items.compactMap(\.string)
        try #require(tasks.count == 8)
        let outcome = try tool.run(
            ["interference", "--base", "\(folder)/base.safetensors", "--method", method, "--quiet", "--json"]
                + tasks.flatMap { task in
                    [
                        "--expert", "\(task)=\(folder)/expert_\(task).safetensors", "--head",
                        "\(task)=\(folder)/heads_\(task).safetensors", "--data", "\(task)=\(folder)/test_\(task).npz",
                    ]
                } + parameters.flatMap { ["--set", $0] })
        #expect(outcome.status == 0, "\(outcome.errors)")
        let document = try outcome.json()
        func ratio(_ a: JSONValue, _ b: JSONValue) -> Double { (a.double ?? .nan) / (b.double ?? .nan) }
        #expect(abs(ratio(document["total"], expected["sum_xi"]) - 1) < 0.03)
        for (place, task) in document["tasks"].items.enumerated() {
            #expect(abs(ratio(task["interference"], expected["xi"][place]) - 1) < 0.03, "\(tasks[place])")
            #expect(abs((task["accuracy_merged"].double ?? .nan) - (expected["acc"][place].double ?? 0)) < 0.011)
        }
    }

    @Test func hasSeveralDistancesOfOnePass() throws {
        let merge = ["--method", "task_arithmetic", "--set", "lambda=0.3", "--json", "--matrix"]
        func document(_ distances: [String]) throws -> JSONValue {
            let outcome = try Tool().run(
                everything + TinySuite.data() + merge + distances.flatMap { ["--distance", $0] })
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try outcome.json()
        }
        let all = try document(["mse", "kl", "reverse_kl", "cross_entropy"])
        #expect(all["distance"].string == "mse")
        #expect(all["distances"].items.map { $0["distance"].string } == ["mse", "kl", "reverse_kl", "cross_entropy"])
        #expect(all["distances"][0].keys == ["distance", "total", "interval", "tasks", "matrix"])
        #expect(all["distances"][0]["total"].double == all["total"].double)
        let alone = try document(["kl"])
        #expect(alone["distances"].items.isEmpty)
        #expect(all["distances"][1]["total"].double == alone["total"].double)
        for i in 0..<4 {
            #expect(all["distances"][1]["tasks"][i]["interference"].double == alone["tasks"][i]["interference"].double)
            #expect(
                all["distances"][1]["matrix"]["values"][i][(i + 1) % 4].double
                    == alone["matrix"]["values"][i][(i + 1) % 4].double)
        }
    }

    /// Of the merged model that is the expert `digits`: its own direction is counted once, in the same signs.
    @Test func estimatesFromWeights() throws {
        let outcome = try Tool().run(
            everything + TinySuite.data() + ["--merged", TinySuite.expert("digits"), "--estimates", "--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let estimates = try outcome.json()["estimates"]
        #expect(estimates.keys == ["pairs", "experts", "merge"])
        #expect(estimates["pairs"].items.count == 6)
        #expect(
            estimates["pairs"][0].keys == [
                "a", "b", "cosine", "sign_conflict", "subspace_overlap", "svc", "counted_twice",
            ])
        #expect(estimates["experts"].items.map { $0["name"].string } == TinySuite.tasks)
        let own = estimates["experts"][1]
        #expect(abs((own["cosine"].double ?? 0) - 1) < 1e-6)
        #expect(own["sign_conflict"].double == 0)
        #expect(abs((own["subspace_overlap"].double ?? 0) - 1) < 1e-4)
        #expect(abs((own["svc"].double ?? 0) - 1) < 1e-4)
        // Those of numpy.linalg.svd, in float64, of the sum of the task vectors of fashion_tops and digits.
        #expect(abs((estimates["pairs"][0]["svc"].double ?? 0) - 1.2917229842968043) < 1e-4)
        #expect(abs((estimates["pairs"][0]["counted_twice"].double ?? 0) - 0.2143290533655321) < 1e-4)
    }

    @Test func isTheSameForAnyThreads() throws {
        let outputs = try [1, 2, 5].map { threads in
            try Tool().run(
                everything + TinySuite.data() + [
                    "--method", "tsv_m", "--matrix", "--estimates", "--distance", "kl", "--distance", "mse", "--json",
                    "--threads", "\(threads)",
                ]
            ).output
        }
        #expect(outputs[0].count > 1000)
        #expect(outputs[0] == outputs[1] && outputs[0] == outputs[2])
    }

    /// Each sentence tells a figure that a table below has.
    @Test func beginsWithWhatIsWorthKnowing() throws {
        let outcome = try Tool().run(
            everything + TinySuite.data() + ["--method", "task_arithmetic", "--set", "lambda=0.3", "--matrix"])
        #expect(outcome.status == 0)
        let lines = outcome.output.split(separator: "\n").map(String.init)
        #expect(lines[0].hasPrefix("latin_lower suffers most: 0.495 ("))
        #expect(lines[0].contains(" of an interference of 1.673 ("))
        #expect(
            lines[1].contains("chooses as its experts do on 73.3 % (")
                && lines[1].hasSuffix("least on latin_lower (66.8 %)."))
        #expect(lines[2].hasPrefix("The mean accuracy of the experts is 74.8 % ("))
        #expect(lines[3].hasPrefix("Of single experts, devanagari does most to another's task: 0.933 ("))
        #expect(lines.contains { $0.hasPrefix("latin_lower") && $0.contains(" 0.4952 ") && $0.contains(" 66.8 %") })
        #expect(lines.contains { $0.hasPrefix("digits ") && $0.hasSuffix(" 0.9326") })
    }

    @Test func drawsWhatItMeasured() throws {
        let tool = try Tool()
        let outcome = try tool.run(
            everything + TinySuite.data() + ["--method", "average", "--matrix", "--estimates", "--report", "r.md"])
        #expect(outcome.status == 0)
        let page = String(decoding: try tool.data("r.md"), as: UTF8.self)
        #expect(page.contains("| task | kl | 95 % |"))
        #expect(page.contains("| task | expert | 95 % | merged | 95 % |"))
        #expect(page.contains("| from weights | cosine | sign conflict | overlap | SVC | counted twice |"))
    }

    @Test(
        arguments: [
            ([], 2, "usage"), (TinySuite.data(), 2, "usage"),
            (TinySuite.data() + ["--method", "ties", "--merged", TinySuite.base], 2, "usage"),
            (["--method", "ties"], 2, "usage"),
            (TinySuite.data(["digits"]) + ["--method", "ties", "--matrix"], 2, "usage"),
            (TinySuite.data() + ["--method", "ties", "--distance", "kl", "--distance", "kl"], 2, "usage"),
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
