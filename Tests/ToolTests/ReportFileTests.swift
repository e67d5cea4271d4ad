import Testing

/// `--report` writes the values of `--json`.
@Suite struct ReportFileTests {
    private let everything =
        ["interference"] + TinySuite.experts() + TinySuite.heads() + TinySuite.data() + ["--quiet", "--matrix"]

    @Test func everyFormatHasTheValuesOfJSON() throws {
        let tool = try Tool()
        let reports = ["r.json", "r.csv", "new/r.html", "r.MD"].flatMap { ["--report", $0] }
        let outcome = try tool.run(everything + ["--merged", TinySuite.base, "--json"] + reports)
        #expect(outcome.status == 0, "\(outcome.errors)")
        func text(_ name: String) throws -> String { String(decoding: try tool.data(name), as: UTF8.self) }
        #expect(try text("r.json") == outcome.output)
        let document = try outcome.json()
        let csv = try text("r.csv")
        #expect(csv.hasPrefix("facts\nkey,value\ndistance,kl\ntotal,"))
        #expect(
            csv.contains(
                "\n\ntasks\nname,interference,interval,samples,agreement,agreement_interval,cka,cka_interval,accuracy_expert,"
                    + "accuracy_expert_interval,accuracy_merged,accuracy_merged_interval\n"))
        let lines = csv.split(separator: "\n").map { $0.split(separator: ",").map(String.init) }
        for task in document["tasks"].items {
            let row = try #require(lines.first { $0[0] == task["name"].string && $0.count == 12 && $0[3] == "250" })
            for (place, key) in [
                (1, "interference"), (4, "agreement"), (8, "accuracy_expert"), (10, "accuracy_merged"),
            ] {
                let expected = try #require(task[key].double)
                // Foundation reads some numbers of JSON to the last digit but one.
                #expect(abs((Double(row[place]) ?? .nan) - expected) <= 1e-14 * abs(expected), "\(row)")
            }
        }
        #expect(csv.contains("\nmatrix\n,\(TinySuite.tasks.joined(separator: ","))\n\(TinySuite.tasks[0]),0.0,"))
        #expect(try text("new/r.html").contains("<td>total, mean</td>\n<td class=\"right\"></td>"))
        #expect(
            try text("r.MD").contains(
                "| task | samples | interference | 95 % | agreement | 95 % | CKA | 95 % |\n| --- | --: |"))
        // Only a run replaces its reports.
        let again = try tool.run(everything + ["--merged", TinySuite.base, "--json", "--report", "r.csv"])
        #expect(again.status == 4)
        #expect(try again.error()["code"].string == "io.exists")
    }

    @Test func curvesOfLossesStandInAPage() throws {
        let tool = try Tool()
        let outcome = try tool.run(
            ["resolve"] + TinySuite.experts() + TinySuite.heads() + [
                "--auxiliary", "\(TinySuite.folder)/aux_mixed.npz", "--steps", "2", "--batch-size", "8",
                "--output", "out", "--report", "r.html", "--quiet",
            ])
        #expect(outcome.status == 0, "\(outcome.errors)")
        // A chart of the loss and of each of its two terms, with a curve for each expert.
        #expect(try tool.shell("grep -c '<svg' r.html; grep -c 'class=\"curve\"' r.html").output == "3\n12\n")
    }

    @Test(arguments: ["r", "r.txt", "r.html.gz"]) func refusesOtherNamesBeforeTheWork(name: String) throws {
        let tool = try Tool()
        let outcome = try tool.run(everything + ["--merged", "none.safetensors", "--json", "--report", name])
        #expect(outcome.status == 2)
        #expect(try outcome.error()["code"].string == "usage.report_format")
    }

    @Test func aRunWritesFurtherReports() throws {
        let tool = try Tool()
        let task = TinySuite.tasks[0]
        let recipe = """
            merge_method: average
            base_model: \(TinySuite.base)
            models:
              - { model: \(TinySuite.expert(task)), name: \(task), head: \(TinySuite.folder)/heads_\(task).safetensors,
                  data: \(TinySuite.folder)/test_\(task).npz }
            report: r.md
            """
        _ = try tool.folder.write(Array(recipe.utf8), to: "r.yaml")
        for _ in 1...2 {
            #expect(try tool.run("run", "r.yaml", "--quiet", "--report", "r.csv").status == 0)
        }
        #expect(try tool.names(in: ".").filter { $0.hasPrefix("r.") } == ["r.csv", "r.md", "r.yaml"])
        #expect(String(decoding: try tool.data("r.csv"), as: UTF8.self).contains("total_interference.merged,0.0\n"))
    }
}
