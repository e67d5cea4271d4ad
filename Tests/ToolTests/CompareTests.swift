import Foundation
import Testing

@Suite struct CompareTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    private func write(_ name: String, _ more: String, tasks: [String] = ["digits", "latin_lower"]) throws {
        _ = try tool.folder.write(Array(TinySuite.recipe(more, tasks: tasks).utf8), to: name)
    }

    private var resolve: String { "{ auxiliary: \(TinySuite.folder)/aux_mixed.npz, steps: 2, batch_size: 16 }" }

    /// What `run` measures, one recipe after the other, is what every row has.
    @Test func hasTheFiguresOfSeparateRuns() throws {
        try write(
            "c.yaml",
            "merge_method: [ties, task_arithmetic]\nparameters: { lambda: [0.3, 0.6] }\nresolve: [none, \(resolve)]")
        let outcome = try tool.run("compare", "c.yaml", "--quiet", "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let rows = try outcome.json()["rows"].items
        #expect(rows.count == 8)
        for row in rows {
            let method = try #require(row["method"].string)
            let lambda = try #require(row["parameters"]["lambda"].string)
            try write(
                "r.yaml",
                "merge_method: \(method)\nparameters: { lambda: \(lambda) }\n"
                    + (row["resolved"].bool == true ? "resolve: \(resolve)" : ""))
            let run = try tool.run("run", "r.yaml", "--quiet", "--json").json()
            let key = row["resolved"].bool == true ? "merged_resolved" : "merged"
            #expect(row["mean_accuracy"].double == run["mean_accuracy"][key].double, "\(method) \(lambda)")
            #expect(row["interference"].double == run["total_interference"][key].double, "\(method) \(lambda)")
            let (low, high) = (row["interval"][0].double ?? 1, row["interval"][1].double ?? 0)
            #expect(low <= row["mean_accuracy"].double ?? -1 && row["mean_accuracy"].double ?? 2 <= high)
        }
        let accuracies = rows.compactMap { $0["mean_accuracy"].double }
        #expect(accuracies == accuracies.sorted(by: >))
        #expect(try outcome.json()["best"].string == rows[0]["name"].string)
        // One coefficient is chosen for each method with and without resolving.
        #expect(rows.count { $0["chosen"].bool == true } == 4)
        #expect(rows.allSatisfy { ($0["cost"].double ?? 0) >= 0 })
    }

    /// Merges share a sweep, and what is trained afterwards does not get lost in it.
    @Test func distillsWhatIsToBeDistilled() throws {
        let distill = "{ auxiliary: \(TinySuite.folder)/aux_mixed.npz, steps: 2, batch_size: 16 }"
        try write(
            "c.yaml", "merge_method: ties\nparameters: { lambda: [0.3, 0.6] }\ndistill: [\(distill), none]")
        let rows = try tool.run("compare", "c.yaml", "--quiet", "--json").json()["rows"].items
        #expect(rows.count == 4)
        for row in rows {
            let (name, lambda) = (try #require(row["name"].string), try #require(row["parameters"]["lambda"].string))
            let isDistilled = !name.contains("none")
            try write(
                "r.yaml",
                "merge_method: ties\nparameters: { lambda: \(lambda) }\n" + (isDistilled ? "distill: \(distill)" : ""))
            let run = try tool.run("run", "r.yaml", "--quiet", "--json").json()["total_interference"]
            let key = isDistilled ? "merged_distilled" : "merged"
            #expect(row["interference"].double == run[key].double, "\(name)")
        }
    }

    /// Merges share a sweep, or go one by one where their shares of the memory are too small, to the same figures.
    @Test func mergesInOneSweep() throws {
        try write("c.yaml", "merge_method: ties\nparameters: { lambda: [0.3, 0.5, 0.6] }")
        func run(_ options: String...) throws -> (sweepCount: Int, figures: [Double?]) {
            let result = try tool.run(["compare", "c.yaml", "--json", "--progress", "json", "--force"] + options)
            #expect(result.status == 0, "\(result.errors)")
            let sweeps = result.errors.split(separator: "\n").count {
                $0.contains("\"stage\":\"merging\",\"done\":0,")
            }
            return (sweeps, try result.json()["rows"].items.map { $0["interference"].double })
        }
        let together = try run()
        #expect(together.sweepCount == 1 && together.figures.count == 3)
        // A merge needs 104 KiB.
        let alone = try run("--memory", "200K")
        #expect(alone.sweepCount == 3 && alone.figures == together.figures)
    }

    @Test func keepsWhatIsFinished() throws {
        try write("c.yaml", "merge_method: ties\nparameters: { lambda: [0.3, 0.6] }\nresolve: [none, \(resolve)]")
        let first = try tool.run("compare", "c.yaml", "--quiet", "--json")
        #expect(first.status == 0, "\(first.errors)")
        let folder = tool.folder.file("c.compare")
        let names = try tool.names(in: "c.compare")
        #expect(names.count == 3 && names.contains("figures") && names.contains { $0.hasPrefix("teachers-") })
        #expect(try tool.names(in: "c.compare/figures").count == 4)
        let experts = try #require(names.first { $0.hasPrefix("experts-") })
        #expect(try tool.names(in: "c.compare/\(experts)").count == 4)
        // Seconds are those of the run that did the work.
        #expect(try tool.run("compare", "c.yaml", "--quiet", "--json").output == first.output)
        // One row is missing, and comes again; what was measured does not change.
        let figures = try tool.names(in: "c.compare/figures")
        try FileManager.default.removeItem(atPath: folder.string + "/figures/" + figures[0])
        let again = try tool.run("compare", "c.yaml", "--quiet", "--json").json()
        func accuracies(_ document: JSONValue) -> [Double?] {
            document["rows"].items.map { $0["mean_accuracy"].double }
        }
        #expect(accuracies(again) == accuracies(try first.json()))
        // Other settings are other merges.
        try write("c.yaml", "merge_method: ties\nparameters: { lambda: [0.3, 0.7] }\nresolve: [none, \(resolve)]")
        #expect(try tool.run("compare", "c.yaml", "--quiet").status == 0)
        #expect(try tool.names(in: "c.compare/figures").count == 6)
        #expect(try tool.names(in: "c.compare").count == 3)
    }

    /// A merge is no worse than itself: both rows are the best.
    @Test func saysWhatLiesInTheNoise() throws {
        try write("c.yaml", "merge_method: task_arithmetic\nparameters: { lambda: [0.5, 0.500001, 0.0001] }")
        let outcome = try tool.run("compare", "c.yaml", "--quiet")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n").drop { !$0.hasPrefix("merge ") }.map(String.init)
        #expect(lines.count == 4)
        #expect(lines[1].contains("  best"))
        #expect(lines[2].contains("  ~ best"))
        #expect(lines[3].hasPrefix("lambda 0.0001") && !lines[3].contains("best"))
    }

    /// Nobody's list is nobody's parameter.
    @Test func aMisspeltParameterIsToldOf() throws {
        try write("c.yaml", "merge_method: [ties, task_arithmetic]\nparameters: { lamda: [0.3, 0.6], density: [0.2] }")
        let outcome = try tool.run("compare", "c.yaml", "--quiet", "--json")
        #expect(outcome.status == 0)
        #expect(outcome.errors.contains("has no parameter \"lamda\""), "\(outcome.errors)")
        #expect(try outcome.json()["rows"].items.count == 2)
        let strict = try tool.run("compare", "c.yaml", "--quiet", "--strict", "--json")
        #expect(strict.status == 3)
        #expect(try strict.error()["code"].string == "recipe.unknown_key")
    }

    @Test func alikeMergesAreOneRow() throws {
        try write("c.yaml", "merge_method: ties\nparameters: { lambda: [0.2, 0.20, 2e-1] }")
        #expect(try tool.run("compare", "c.yaml", "--quiet", "--json").json()["rows"].items.count == 1)
        let twice = try tool.run("compare", "c.yaml", "c.yaml", "--quiet", "--json")
        #expect(twice.status == 2 && twice.errors.contains("the recipe c.yaml is given twice"))
        // Two files of one name are told apart.
        try FileManager.default.createDirectory(
            atPath: tool.folder.file("d").string, withIntermediateDirectories: true)
        try write("a.yaml", "merge_method: ties")
        let text = String(decoding: try tool.data("a.yaml"), as: UTF8.self).replacing("Fixtures/", with: "../Fixtures/")
        _ = try tool.folder.write(Array(text.utf8), to: "d/a.yaml")
        let rows = try tool.run("compare", "a.yaml", "d/a.yaml", "--quiet", "--json").json()["rows"].items
        #expect(Set(rows.compactMap { $0["name"].string }) == ["a.yaml", "d/a.yaml"])
    }

    @Test func twoMayShareAFolder() throws {
        try write("c.yaml", "merge_method: ties\nparameters: { lambda: [0.3, 0.6] }\nresolve: [none, \(resolve)]")
        let command = "untangle compare c.yaml --quiet --json --no-sync"
        let outcome = try tool.shell("\(command) > a & p=$!; \(command) > b; s=$?; wait $p && exit $s")
        #expect(outcome.status == 0, "\(outcome.errors)")
        func accuracies(_ name: String) throws -> [Double?] {
            try JSONValue(parsing: String(decoding: try tool.data(name), as: UTF8.self))["rows"].items.map {
                $0["mean_accuracy"].double
            }
        }
        #expect(try accuracies("a") == accuracies("b"))
        #expect(try accuracies("a").count == 4)
    }

    /// A folder that something else fills is left alone.
    @Test func keepsOutOfOtherFolders() throws {
        try write("c.yaml", "merge_method: ties")
        try FileManager.default.createDirectory(
            atPath: tool.folder.file("other").string, withIntermediateDirectories: true)
        _ = try tool.folder.write([1], to: "other/precious.txt")
        let outcome = try tool.run("compare", "c.yaml", "--quiet", "--keep", "other", "--json")
        #expect(outcome.status == 4)
        #expect(try outcome.error()["code"].string == "io.exists")
        #expect(try tool.names(in: "other") == ["precious.txt"])
    }

    @Test func sortsByAccuracyOnlyWithLabels() throws {
        try write("c.yaml", "merge_method: ties")
        let text = String(decoding: try tool.data("c.yaml"), as: UTF8.self)
            .replacing("\(TinySuite.folder)/test_digits.npz", with: "\(TinySuite.folder)/aux_mixed.npz")
        _ = try tool.folder.write(Array(text.utf8), to: "c.yaml")
        let outcome = try tool.run("compare", "c.yaml", "--quiet", "--sort", "accuracy", "--json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["message"].string?.contains("labels") == true, "\(outcome.errors)")
        let other = try tool.run("compare", "c.yaml", "--quiet", "--json")
        #expect(try other.json()["sorted_by"].string == "interference")
    }

    @Test func takesSeveralRecipes() throws {
        try write("a.yaml", "merge_method: ties")
        try write("b.yaml", "merge_method: task_arithmetic")
        let rows = try tool.run("compare", "a.yaml", "b.yaml", "--quiet", "--json", "--sort", "interference").json()[
            "rows"
        ]
        .items
        #expect(Set(rows.compactMap { $0["name"].string }) == ["a", "b"])
        let values = rows.compactMap { $0["interference"].double }
        #expect(values == values.sorted())
    }

    @Test func saysWhatIsMissing() throws {
        _ = try tool.folder.write(
            Array(
                "merge_method: ties\nbase_model: \(TinySuite.base)\nmodels: [{ model: \(TinySuite.expert("digits")) }]"
                    .utf8),
            to: "c.yaml")
        let outcome = try tool.run("compare", "c.yaml", "--quiet", "--json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "recipe.missing_key")
        #expect(try tool.names(in: ".").contains("c.compare") == false)
    }

    /// What `run` measures of one recipe is what its row says, whatever is beside it.
    private func expectRowsOfRuns(
        _ name: String, _ recipes: [String], sourceLocation: SourceLocation = #_sourceLocation
    )
        throws
    {
        let rows = try tool.run("compare", name, "--quiet", "--json").json()["rows"].items
        try #require(rows.count == recipes.count, sourceLocation: sourceLocation)
        let found = Set(rows.compactMap { $0["interference"].double })
        for recipe in recipes {
            try write("r.yaml", recipe)
            let total = try tool.run("run", "r.yaml", "--quiet", "--json").json()["total_interference"]
            let value = total["merged_resolved"].double ?? total["merged"].double
            #expect(found.contains(value ?? -1), "\(recipe)", sourceLocation: sourceLocation)
        }
        #expect(found.count == recipes.count, sourceLocation: sourceLocation)
    }

    @Test func noiseSetsRowsApart() throws {
        let sections = ["auxiliary_count: 32", "auxiliary_count: 128", "auxiliary_count: 128, seed: 3"].map {
            "{ auxiliary: noise, steps: 3, batch_size: 16, \($0) }"
        }
        let list = (sections + [resolve]).joined(separator: ", ")
        try write("c.yaml", "merge_method: ties\nresolve: [\(list)]")
        try expectRowsOfRuns("c.yaml", (sections + [resolve]).map { "merge_method: ties\nresolve: \($0)" })
        // Sections that differ in their inputs alone.
        let noise = "{ auxiliary: noise, steps: 2, batch_size: 16 }"
        try write("d.yaml", "merge_method: ties\nresolve: [\(noise), \(resolve)]")
        try expectRowsOfRuns("d.yaml", [noise, resolve].map { "merge_method: ties\nresolve: \($0)" })
        let names = try tool.run("compare", "d.yaml", "--quiet", "--json").json()["rows"].items.map {
            $0["name"].string
        }
        #expect(names.contains("RI: auxiliary noise, steps 2, batch_size 16"), "\(names)")
    }

    /// Figures are those of a network and of how inputs are normalised.
    @Test func anotherConfigurationIsAnotherComparison() throws {
        try FileManager.default.createDirectory(
            atPath: tool.folder.file("base").string, withIntermediateDirectories: true)
        _ = try tool.shell("cp \(TinySuite.folder)/* base/")
        try write("c.yaml", "merge_method: ties")
        let text = String(decoding: try tool.data("c.yaml"), as: UTF8.self)
            .replacing(TinySuite.folder, with: "base")
        _ = try tool.folder.write(Array(text.utf8), to: "c.yaml")
        func interference() throws -> Double? {
            try tool.run("compare", "c.yaml", "--quiet", "--json").json()["rows"][0]["interference"].double
        }
        let first = try interference()
        #expect(first != nil)
        let edit =
            "sed -i -E 's/(\"layer_norm_eps\": *)[0-9.e-]+/\\10.5/' base/config.json && grep -q 0.5 base/config.json"
        #expect(try tool.shell(edit).status == 0)
        let second = try interference()
        #expect(second != first)
        #expect(
            try tool.run("compare", "c.yaml", "--force", "--quiet", "--json").json()["rows"][0]["interference"].double
                == second)
    }

    /// Ties are of inputs that both merges were measured on, in whatever order models are listed.
    @Test func differentTasksAreNoTie() throws {
        try write("a.yaml", "merge_method: ties")
        try write("one.yaml", "merge_method: ties", tasks: ["digits"])
        let outcome = try tool.run("compare", "a.yaml", "one.yaml", "--quiet", "--json")
        #expect(outcome.errors.contains("were measured on different tasks"), "\(outcome.errors)")
        #expect(try outcome.json()["rows"].items.map { $0["tied_with_best"].bool } == [true, false])
        try write("b.yaml", "merge_method: ties", tasks: ["latin_lower", "digits"])
        let swapped = try tool.run("compare", "a.yaml", "b.yaml", "--quiet", "--json")
        #expect(!swapped.errors.contains("different tasks"))
        #expect(try swapped.json()["rows"].items.map { $0["tied_with_best"].bool } == [true, true])
    }

    /// A merge that overflows is the last, and takes nothing from the others.
    @Test func oneDivergingMergeSpoilsNothing() throws {
        try write(
            "c.yaml", "merge_method: task_arithmetic\nparameters: { lambda: [0.3, 0.5, 1e30] }\nresolve: \(resolve)")
        let document = try tool.run("compare", "c.yaml", "--quiet", "--json").json()
        #expect(document["sorted_by"].string == "accuracy")
        let rows = document["rows"].items
        #expect(rows.last?["parameters"]["lambda"].string?.hasPrefix("1e") ?? false)
        // The choice is the least interference on auxiliary inputs, and its cost the distance from the best accuracy.
        let finite = rows.dropLast()
        let least = finite.compactMap { $0["auxiliary_interference"].double }.min()
        let chosen = try #require(rows.first { $0["chosen"].bool == true })
        #expect(chosen["auxiliary_interference"].double == least)
        let best = try #require(finite.compactMap { $0["mean_accuracy"].double }.max())
        #expect(chosen["cost"].double == best - (chosen["mean_accuracy"].double ?? 0))
    }

    @Test func aListOfPatternsIsOneValue() throws {
        try write("c.yaml", "merge_method: tsv_m\nparameters: { matrix_exclude: ['*bias', '*norm*'] }")
        let rows = try tool.run("compare", "c.yaml", "--quiet", "--json").json()["rows"].items
        #expect(rows.count == 1)
        #expect(rows[0]["parameters"]["matrix_exclude"].string == #"["*bias", "*norm*"]"#)
    }

    @Test func aReportIsReplacedByTheNext() throws {
        try write("c.yaml", "merge_method: ties")
        for name in ["r.html", "r.json"] {
            for _ in 0..<2 { #expect(try tool.run("compare", "c.yaml", "--quiet", "--report", name).status == 0) }
        }
        _ = try tool.folder.write([1], to: "other.html")
        #expect(try tool.run("compare", "c.yaml", "--quiet", "--report", "other.html").status == 4)
    }

    /// What is damaged in the folder of a comparison is made again.
    @Test func mendsDamagedExperts() throws {
        try write("c.yaml", "merge_method: ties\nparameters: { lambda: [0.3] }\nresolve: \(resolve)")
        let first = try tool.run("compare", "c.yaml", "--quiet", "--json")
        #expect(first.status == 0, "\(first.errors)")
        let damage =
            "printf X | dd of=$(ls -d c.compare/experts-*)/digits.safetensors bs=1 seek=9000 conv=notrunc 2> dd"
        #expect(
            try tool.shell("cp c.compare/experts-*/digits.safetensors good; rm c.compare/figures/*; \(damage)").status
                == 0)
        let second = try tool.run("compare", "c.yaml", "--quiet", "--json")
        #expect(try second.json()["best"].string == first.json()["best"].string, "\(second.errors)")
        #expect(try tool.shell("cmp good c.compare/experts-*/digits.safetensors").status == 0)
    }

    /// One value is what a list of one value is: left out for methods that lack the parameter.
    @Test func aSingleValueIsLeftOutLikeAList() throws {
        for value in ["0.3", "[0.3]"] {
            try write("c.yaml", "merge_method: [ties, task_arithmetic]\nparameters: { density: \(value) }")
            let outcome = try tool.run("compare", "c.yaml", "--strict", "--quiet", "--json")
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try outcome.json()["rows"].items.count == 2)
        }
    }

    /// By force experts are made again, and for all merges once.
    @Test func forceAdaptsSharedExpertsOnce() throws {
        try write("c.yaml", "merge_method: ties\nparameters: { lambda: [0.3, 0.6] }\nresolve: \(resolve)")
        for _ in 0..<2 {
            let outcome = try tool.run("compare", "c.yaml", "--force", "--progress", "json", "--json")
            let begins = outcome.errors.split(separator: "\n").count {
                $0.contains("\"stage\":\"resolving\",\"done\":0") && $0.hasSuffix("\"seconds\":0.0}")
            }
            #expect(begins == 1, "\(outcome.errors)")
        }
    }

    // MARK: - Entries

    private func rows(_ outcome: Tool.Outcome) throws -> [[String: String]] {
        try outcome.json()["rows"].items.map { row in
            [
                "name": row["name"].string ?? "", "accuracy": "\(row["mean_accuracy"].double ?? -1)",
                "interference": "\(row["interference"].double ?? -1)",
                "on auxiliary": "\(row["auxiliary_interference"].double ?? -1)",
                "chosen": "\(row["chosen"].bool.map(String.init) ?? "-")",
            ]
        }
    }

    private func job(_ entry: String, _ more: String...) throws -> Tool.Outcome {
        try tool.run(["compare", "c.yaml", "--quiet", "--no-sync", "--job", entry] + more)
    }

    private func expectNotReady(_ entry: String, hint: String) throws {
        let outcome = try job(entry, "--json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "input.not_ready")
        #expect(try outcome.error()["hint"].string == hint)
    }

    @Test func entriesMakeWhatOneProcessMakes() throws {
        try write(
            "c.yaml", "merge_method: ties\nparameters: { lambda: [0.3, 0.6] }\nresolve: [none, \(resolve)]")
        let local = try tool.run("compare", "c.yaml", "--quiet", "--no-sync", "--keep", "local", "--json")
        #expect(local.status == 0, "\(local.errors)")
        // Merges 3 and 4 ask for the same experts, merges 1 and 2 for none.
        try expectNotReady("merge/4", hint: "--job expert/3/digits makes it")
        let digits = try job("expert/4/digits", "--json")
        #expect(try digits.json()["experts"][0]["steps"].int == 2, "\(digits.errors)")
        #expect(try job("expert/3/digits").output.hasSuffix("/digits.safetensors: done before\n"))
        try expectNotReady("merge/4", hint: "--job expert/3/latin_lower makes it")
        #expect(try job("expert/3/latin_lower").status == 0)
        for number in [4, 2, 1] { #expect(try rows(job("merge/\(number)", "--json")).count == 1) }
        try expectNotReady("table", hint: "--job merge/3 makes it")
        #expect(try job("merge/3", "--force").status == 0)
        #expect(try rows(job("table", "--json")) == rows(local))
        // By force the experts of a merge are not made again.
        let experts = try #require(try tool.names(in: "c.compare").first { $0.hasPrefix("experts-") })
        try FileManager.default.removeItem(atPath: tool.folder.file("c.compare/\(experts)").string)
        #expect(try job("merge/3", "--force", "--json").error()["code"].string == "input.not_ready")
        for entry in ["merge/5", "expert/1/digits", "expert/3/greek", "expert/9/digits"] {
            let unknown = try job(entry)
            #expect(unknown.status == 2 && unknown.errors.contains("no entry \(entry)"), "\(unknown.errors)")
        }
        for entry in ["merge/0", "merge", "merge/x", "expert/3", "tables", "table/1"] {
            #expect(try job(entry).errors.contains("give teachers/NUMBER, expert/NUMBER/NAME, merge/NUMBER or table"))
        }
        #expect(try job("table", "--engine", "print").status == 2)
    }

    /// With an `sbatch` that runs the tasks at once, one after the other.
    @Test func theScriptRunsAsItStands() throws {
        try write(
            "c.yaml", "merge_method: ties\nparameters: { lambda: [0.3, 0.6] }\nresolve: [none, \(resolve)]")
        let local = try tool.run("compare", "c.yaml", "--quiet", "--no-sync", "--keep", "local", "--json")
        _ = try tool.folder.write(Array(Self.sbatch.utf8), to: "sbatch")
        let print = "untangle compare c.yaml --engine print --keep 'a b' --no-sync --quiet --json --sort interference"
        func script() throws -> String { try #require(try tool.shell(print).json()["script"].string) }
        _ = try tool.folder.write(Array(script().utf8), to: "submit")
        let outcome = try tool.shell("chmod +x sbatch && PATH=$PWD:$PATH bash submit")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output == "teachers 1\nexpert 2\nmerge 3\ntable 4\n")
        let table = try JSONValue(
            parsing: String(decoding: try tool.data("a b/cluster/table-1.out"), as: UTF8.self))
        #expect(table["sorted_by"].string == "interference")
        #expect(
            Set(table["rows"].items.compactMap { $0["interference"].double })
                == Set(try local.json()["rows"].items.compactMap { $0["interference"].double }))
        // Two experts, once for both merges that ask for them.
        #expect(try tool.names(in: "a b/cluster").filter { $0.hasSuffix(".status") }.count == 1 + 2 + 4 + 1)
        // What is finished is not submitted again, and keeps its number.
        #expect(try tool.shell("rm \"a b/figures/\"*; rm -r \"a b/experts-\"*/latin_lower*").status == 0)
        #expect(
            try script().matches(of: /--array=[0-9,]*/).map(\.output) == ["--array=2", "--array=1,2,3,4", "--array=1"])
    }

    /// Figures that are all there need no cluster.
    @Test func theTableOfFinishedMergesNeedsNoTask() throws {
        try write("c.yaml", "merge_method: ties\nparameters: { lambda: [0.3, 0.6] }")
        let here = try tool.run("compare", "c.yaml", "--quiet", "--json")
        #expect(try tool.run("compare", "c.yaml", "--engine", "slurm", "--quiet", "--json").output == here.output)
    }

    private static let sbatch = """
        #!/usr/bin/env bash
        set -e
        echo call >> calls
        for word in "$@"; do case $word in --array=*) numbers=${word#--array=} ;; esac; done
        for number in ${numbers//,/ }; do SLURM_ARRAY_TASK_ID=$number bash "${@: -1}" 2>> log; done
        wc -l < calls
        """
}
