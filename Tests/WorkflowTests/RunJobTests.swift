import Checkpoints
import Experts
import Glibc
import Interference
import Recipes
import SystemPackage
import TensorCore
import Testing
import Work
import TestSupport
import Workflow

@Suite struct RunJobTests {
    private let folder = TemporaryFolder()
    private let suite: PipelineSuite

    init() throws { suite = try PipelineSuite("tiny") }

    /// A recipe over the suite, in the temporary folder.
    ///
    /// - Parameter elsewhere: experts that lie outside of the suite, by task.
    private func recipe(
        _ method: String = "task_arithmetic", _ more: String = "", tasks: [String]? = nil,
        elsewhere: [String: FilePath] = [:]
    ) throws -> Recipe {
        let models = (tasks ?? suite.tasks).map { task in
            let files = suite.files(task)
            return """
                  - model: \(elsewhere[task] ?? files.checkpoint)
                    name: \(task)
                    head: \(files.head ?? "")
                    data: \(files.data ?? "")

                """
        }.joined()
        let text = "merge_method: \(method)\nbase_model: \(suite.base)\nmodels:\n\(models)\(more)\n"
        return try RecipeFile.load(try folder.write(text, to: "recipe.yaml"))
    }

    private func run(_ recipe: Recipe, force: Bool = false) throws -> RunReport {
        try RunJob(recipe, write: WriteOptions(force: force, sync: false)).run(in: testContext)
    }

    private var resolve: String { "resolve: { auxiliary: \(suite.path("aux_mixed.npz")), steps: 2, batch_size: 8 }\n" }

    /// Against what the PyTorch reference measured.
    @Test(arguments: [("task_arithmetic", "parameters: { lambda: 0.3 }"), ("average", "")])
    func measuresWhatTheReferenceMeasured(method: String, parameters: String) throws {
        let report = try run(try recipe(method, parameters))
        let reference = try SuiteFixture("tiny").json("reference.json")["main"]
        let fixed = reference?["without_ri"]?[method]?["fixed"]
        func series(_ value: JSONValue?) throws -> [Double] { try #require(value?.array).compactMap(\.double) }
        #expect(report.tasks.map(\.name) == suite.tasks)
        #expect(report.tasks.compactMap(\.baseAccuracy) == (try series(reference?["base_acc"])))
        #expect(report.tasks.compactMap(\.expertAccuracy) == (try series(reference?["expert_acc"])))
        let merged = try #require(report.merged)
        // One image of 250 may lie on the edge between two classes.
        for (task, expected) in zip(merged.tasks, try series(fixed?["acc"])) {
            #expect(abs((task.mergedAccuracy ?? 0) - expected) < 0.0041, "\(task.name)")
        }
        for (task, expected) in zip(merged.tasks, try series(fixed?["xi"])) {
            #expect(abs(task.interference - expected) < 1e-3 * expected, "\(task.name)")
        }
        #expect(report.mergedResolved == nil)
    }

    @Test func measuresDataWithoutLabels() throws {
        let labelled = try tensors(of: suite.path("test_digits.npz"))
        let path = try folder.checkpoint("unlabelled.npz", labelled.filter { $0.name == "images" })
        var recipe = try recipe()
        recipe.models[2].data = path
        recipe.models[3].data = nil
        let report = try run(recipe)
        #expect(report.tasks.map(\.name) == [suite.tasks[0], suite.tasks[1], suite.tasks[3]])
        #expect(report.tasks[1].baseAccuracy == nil)
        #expect(report.tasks[1].expertAccuracy == nil)
        #expect((report.merged?.tasks[1].interference ?? 0) > 0)
        let document = try JSONDocument.parse(Array(report.report.json.rendered().utf8), file: "report")
        #expect(document["tasks"]?.array?.map { $0["accuracy"]?["expert"]?.isNull } == [false, true, false])
        #expect(report.report.text.contains(" - "))
    }

    @Test func reportHasItsKeys() throws {
        let report = try run(try recipe("ties", resolve))
        let document = try JSONDocument.parse(Array(report.report.json.rendered().utf8), file: "report")
        func keys(_ value: JSONValue?) -> Set<String> { Set(value?.object.map { $0.map(\.key) } ?? []) }
        #expect(
            keys(document) == [
                "recipe", "merge_method", "tasks", "mean_accuracy", "total_interference", "interval", "resolve",
                "output", "skipped", "warnings", "seconds",
            ])
        let task = document["tasks"]?.array?.first { _ in true }
        #expect(keys(task) == ["name", "samples", "accuracy", "interference", "interval"])
        for value in [task?["accuracy"], document["mean_accuracy"]] {
            #expect(keys(value) == ["base", "expert", "merged", "merged_resolved"])
        }
        for value in [task?["interference"], document["total_interference"]] {
            #expect(keys(value) == ["merged", "merged_resolved"])
        }
        let adapted = document["resolve"]?.array?.first { _ in true }
        #expect(
            keys(adapted) == [
                "name", "output", "steps", "seconds", "loss", "preservation", "interference", "learning_rate",
                "expected_bytes",
                "expected_seconds",
            ])
        // Without an output everything stays in memory.
        #expect(adapted?["output"]?.isNull == true)
        #expect(document["output"]?.isNull == true)
        #expect(report.mergedResolved?.tasks.count == suite.tasks.count)
    }

    @Test(arguments: ["merged.safetensors", "merged.npz", "merged/"])
    func keepsRecordsStages(output: String) throws {
        let recipe = try recipe("task_arithmetic", resolve + "output: out/\(output)")
        let first = try run(recipe)
        #expect(first.written != nil)
        #expect(first.adapted.allSatisfy { $0.training != nil })
        let file = folder.file(output == "merged/" ? "out/merged/model.safetensors" : "out/\(output)")
        let bytes = try contents(file)
        #expect(fileExists(folder.file("out/merged.resolved/digits.safetensors")))

        let second = try run(recipe)
        #expect(second.written == nil)
        #expect(second.mergeWasDone)
        #expect(second.adapted.allSatisfy { $0.training == nil })
        #expect(second.merged == first.merged)
        #expect(second.mergedResolved == first.mergedResolved)
        #expect(try contents(file) == bytes)
    }

    @Test func worksAgainWhenAnInputHasChanged() throws {
        let copy = try folder.write(try contents(suite.path("expert_digits.safetensors")), to: "expert.safetensors")
        var recipe = try recipe("task_arithmetic", "output: merged.safetensors", elsewhere: [suite.tasks[1]: copy])
        _ = try run(recipe)
        let before = try contents(folder.file("merged.safetensors"))
        _ = try folder.write(try contents(suite.path("expert_latin_lower.safetensors")), to: "expert.safetensors")
        // What is there is not what the recipe makes now, and is not replaced unasked.
        #expect(code { _ = try run(recipe) } == "io.exists")
        #expect(try contents(folder.file("merged.safetensors")) == before)
        #expect(try run(recipe, force: true).written != nil)
        #expect(try contents(folder.file("merged.safetensors")) != before)
        #expect(try run(recipe).mergeWasDone)
        // So is a parameter.
        recipe.parameters["lambda"] = .value(.number(0.5))
        #expect(try !run(recipe, force: true).mergeWasDone)
    }

    /// Merged are the same tensors, with the metadata of another model.
    @Test func worksAgainForAnotherDonor() throws {
        for (name, value) in [("a", 3), ("b", 4)] as [(String, Float)] {
            try folder.checkpoint("\(name).safetensors", [TestTensor("w", [1], [value])], metadata: ["from": name])
        }
        func recipe(_ base: String) throws -> Recipe {
            let models = "models: [{ model: a.safetensors }, { model: b.safetensors }]"
            let text = "merge_method: linear\nbase_model: \(base).safetensors\n\(models)\noutput: m.safetensors\n"
            return try RecipeFile.load(try folder.write(text, to: "r.yaml"))
        }
        func donor() throws -> String? { try TensorStore(opening: folder.file("m.safetensors")).metadata["from"] }
        _ = try run(try recipe("a"))
        #expect(try donor() == "a")
        #expect(try run(try recipe("a")).mergeWasDone)
        #expect(code { _ = try run(try recipe("b")) } == "io.exists")
        _ = try run(try recipe("b"), force: true)
        #expect(try donor() == "b")
    }

    /// Of heads that are the embeddings, a file has one copy or two, as the configuration of the donor says.
    @Test func worksAgainWhenTheHeadIsNoLongerTied() throws {
        try folder.makeFolder("a")
        try folder.checkpoint(
            "a/model.safetensors",
            [TestTensor("embed_tokens.weight", [1, 1], [3]), TestTensor("lm_head.weight", [1, 1], [3])])
        func recipe(tied: Bool) throws -> Recipe {
            try folder.write("{\"tie_word_embeddings\": \(tied)}", to: "a/config.json")
            let text = "merge_method: average\nmodels: [{ model: a }]\noutput: m.safetensors\n"
            return try RecipeFile.load(try folder.write(text, to: "r.yaml"))
        }
        func count() throws -> Int { try TensorStore(opening: folder.file("m.safetensors")).descriptors.count }
        _ = try run(try recipe(tied: true))
        #expect(try count() == 1)
        #expect(code { _ = try run(try recipe(tied: false)) } == "io.exists")
        _ = try run(try recipe(tied: false), force: true)
        #expect(try count() == 2)
    }

    /// A folder is finished with all that was written into it; what others put there does not matter.
    @Test func worksAgainWhenAFileOfTheFolderHasChanged() throws {
        for (name, value) in [("a", 3), ("b", 4)] as [(String, Float)] {
            try folder.makeFolder(name)
            try folder.checkpoint("\(name)/model.safetensors", [TestTensor("w", [1], [value])])
            try folder.write("{\"vocab_size\": 2}", to: "\(name)/config.json")
            try folder.write("{}", to: "\(name)/tokenizer.json")
        }
        let text = "merge_method: average\nmodels: [{ model: a }, { model: b }]\noutput: m/\n"
        let recipe = try RecipeFile.load(try folder.write(text, to: "r.yaml"))
        let files = try #require(try run(recipe).written).files
        let names = files.compactMap { $0.lastComponent?.string }
        #expect(
            Set(names) == [
                "model.safetensors", "config.json", "tokenizer.json", "README.md", "mergekit_config.yml",
            ])
        try folder.write("mine", to: "m/notes.txt")
        #expect(try run(recipe).mergeWasDone)
        for (file, name) in zip(files, names) {
            let bytes = try contents(file)
            _ = try folder.write(bytes + [0x20], to: "m/\(name)")
            #expect(code { _ = try run(recipe) } != nil, "\(name) was changed")
            unlink(file.string)
            #expect(try code { _ = try run(recipe) } != nil || !run(recipe).mergeWasDone, "\(name) was deleted")
            _ = try folder.write(bytes, to: "m/\(name)")
            #expect(try run(recipe).mergeWasDone, "\(name) is back")
        }
        unlink(folder.file("m/config.json").string)
        #expect(code { _ = try run(recipe) } == "io.exists")
        #expect(try run(recipe, force: true).written != nil)
        #expect(try run(recipe).mergeWasDone)
    }

    /// Everything that goes into a folder counts, and nothing of the models that does not.
    @Test func worksAgainWhenTheFolderWouldDiffer() throws {
        for (name, value) in [("a", 3), ("b", 4)] as [(String, Float)] {
            try folder.makeFolder(name)
            try folder.checkpoint("\(name)/model.safetensors", [TestTensor("w", [1], [value])])
            for file in ["config", "tokenizer", "tokenizer_config", "generation_config"] {
                try folder.write("{\"chat_template\": \"{{ messages }}\"}", to: "\(name)/\(file).json")
            }
        }
        func isFinished(_ more: String = "") throws -> Bool {
            let text = """
                merge_method: average
                models: [{ model: a }, { model: b }]
                tokenizer_source: b
                output: m/
                \(more)
                """
            let recipe = try RecipeFile.load(try folder.write(text, to: "r.yaml"))
            do { return try run(recipe).mergeWasDone } catch let error as IOError where error.kind == .exists {
                return false
            }
        }
        #expect(try !isFinished())
        #expect(try isFinished())
        for more in ["chat_template: chatml", "chat_template: auto", "# a remark"] {
            #expect(try !isFinished(more), "\(more)")
        }
        let changed = "{\"changed\": true}"
        for file in ["a/config.json", "a/generation_config.json", "b/tokenizer.json", "b/tokenizer_config.json"] {
            let before = try contents(folder.file(file))
            try folder.write(changed, to: file)
            #expect(try !isFinished(), "\(file) was changed")
            _ = try folder.write(before, to: file)
            #expect(try isFinished(), "\(file) is back")
        }
        for file in ["b/config.json", "b/generation_config.json", "a/tokenizer.json", "a/tokenizer_config.json"] {
            try folder.write(changed, to: file)
            #expect(try isFinished(), "\(file) was changed")
        }
        try folder.write("", to: "a/LICENSE")
        #expect(try !isFinished())
    }

    /// `auto` looks at the templates of all models.
    @Test func worksAgainWhenMostModelsHaveAnotherTemplate() throws {
        for (name, value) in [("a", 3), ("b", 4), ("c", 5)] as [(String, Float)] {
            try folder.makeFolder(name)
            try folder.checkpoint("\(name)/model.safetensors", [TestTensor("w", [1], [value])])
            try folder.write("{{ \(name == "a" ? "one" : "two") }}", to: "\(name)/chat_template.jinja")
        }
        let models = "models: [{ model: a }, { model: b }, { model: c }]"
        let text = "merge_method: average\n\(models)\nchat_template: auto\noutput: m/\n"
        let recipe = try RecipeFile.load(try folder.write(text, to: "r.yaml"))
        _ = try run(recipe)
        #expect(try contents(folder.file("m/chat_template.jinja")) == Array("{{ two }}".utf8))
        #expect(try run(recipe).mergeWasDone)
        try folder.write("{{ one }}", to: "c/chat_template.jinja")
        #expect(code { _ = try run(recipe) } == "io.exists")
        _ = try run(recipe, force: true)
        #expect(try contents(folder.file("m/chat_template.jinja")) == Array("{{ one }}".utf8))
    }

    /// Files that parameters name are inputs, too.
    @Test func worksAgainWhenStatisticsHaveChanged() throws {
        let experts = suite.tasks.prefix(2).map { suite.path("expert_\($0).safetensors") }
        let statistics = try folder.write(try contents(experts[0]), to: "statistics.safetensors")
        let text = """
            merge_method: fisher
            models:
              - { model: \(experts[0]), parameters: { statistics: \(statistics) } }
              - { model: \(experts[1]), parameters: { statistics: \(experts[1]) } }
            output: merged.safetensors
            """
        let recipe = try RecipeFile.load(try folder.write(text, to: "recipe.yaml"))
        _ = try run(recipe)
        #expect(try run(recipe).mergeWasDone)
        _ = try folder.write(try contents(suite.base), to: "statistics.safetensors")
        #expect(code { _ = try run(recipe) } == "io.exists")
    }

    /// Neither names nor places of such files count; which expert they are given for does.
    @Test func statisticsCountByTheirContents() throws {
        let experts = suite.tasks.prefix(2).map { suite.path("expert_\($0).safetensors") }
        func merge(_ first: String, _ second: String) throws -> RunReport {
            let text = """
                merge_method: fisher
                models:
                  - { model: \(experts[0]), parameters: { statistics: \(first) } }
                  - { model: \(experts[1]), parameters: { statistics: \(second) } }
                output: merged.safetensors
                """
            return try run(try RecipeFile.load(try folder.write(text, to: "recipe.yaml")))
        }
        for (name, expert) in zip(["a", "b"], experts) {
            _ = try folder.write(try contents(expert), to: "\(name).safetensors")
        }
        #expect(try !merge("a.safetensors", "b.safetensors").mergeWasDone)
        try folder.makeFolder("elsewhere")
        #expect(rename(folder.file("a.safetensors").string, folder.file("elsewhere/c.safetensors").string) == 0)
        #expect(try merge("elsewhere/c.safetensors", "b.safetensors").mergeWasDone)
        #expect(code { _ = try merge("b.safetensors", "elsewhere/c.safetensors") } == "io.exists")
    }

    /// Nothing is resolved for a recipe that cannot be finished.
    @Test(arguments: [
        ("task_arithmetik", "output: out/m.safetensors", "merge.unknown_method"),
        ("ties", "parameters: { density: 7 }\noutput: out/m.safetensors", "merge.bad_parameter"),
        ("ties", "output: out/m.unknown", "usage.output_format"),
        ("ties", "output: out/m.pt", "usage.output_format"),
        ("ties", "output: out/m.safetensors\nreport: precious.json", "io.exists"),
        ("ties", "output: out/m.safetensors\nreport: r.txt", "usage.report_format"),
        ("ties", "output: out/m.safetensors\nreport: [r.md, r.txt]", "usage.report_format"),
        ("ties", "output: out/m.safetensors\nreport: [r.md, ./r.md]", "usage.same_report"),
        ("ties", "output: precious.txt/m.safetensors", "io.exists"),
        ("ties", "output: precious.safetensors", "io.exists"),
    ]) func findsOutBeforeTheWork(method: String, more: String, expected: String) throws {
        for name in ["precious.txt", "precious.json"] { try folder.write("precious", to: name) }
        let other = try folder.write(try contents(suite.base), to: "precious.safetensors")
        #expect(code { _ = try run(try recipe(method, resolve + more)) } == expected)
        #expect(!fileExists(folder.file("out/m.resolved")))
        #expect(!fileExists(folder.file("precious.resolved")))
        for name in ["precious.txt", "precious.json"] {
            #expect(try contents(folder.file(name)) == Array("precious".utf8))
        }
        #expect(try contents(other) == contents(suite.base))
    }

    @Test func replacesAnEarlierReportOnly() throws {
        for name in ["r.json", "r.html", "r.csv", "r.md"] {
            let report = try run(try recipe("task_arithmetic", "report: \(name)")).report
            func write(force: Bool = false) throws {
                let options = WriteOptions(force: force, sync: false)
                try report.write(to: ReportTarget(folder.file(name), replacing: report.mark, options: options))
            }
            try write()
            try write()
            try folder.write("precious", to: name)
            #expect(code { try write() } == "io.exists")
            #expect(try contents(folder.file(name)) == Array("precious".utf8))
            try write(force: true)
        }
        let page = String(decoding: try contents(folder.file("r.html")), as: UTF8.self)
        #expect(page.hasPrefix("<!doctype html>"))
        let document = try JSONDocument.parse(try contents(folder.file("r.json")), file: "r.json")
        #expect(document["merge_method"]?.string == "task_arithmetic")
    }

    @Test func saysWhatIsMissing() throws {
        var nothing = try recipe()
        for index in nothing.models.indices { (nothing.models[index].head, nothing.models[index].data) = (nil, nil) }
        #expect(code { _ = try run(nothing) } == "recipe.missing_key")
        var baseless = try recipe("average")
        baseless.basePlace = nil
        #expect(code { _ = try run(baseless) } == "recipe.missing_key")
        var headless = try recipe()
        headless.models[1].head = nil
        #expect(code { _ = try run(headless) } == "input.missing_head")
        let lost = try recipe(elsewhere: [suite.tasks[0]: folder.file("none.safetensors")])
        #expect(code { _ = try run(lost) } == "io.not_found")
    }

    /// Without heads and data nobody asks for a config.json.
    @Test func mergesAnyCheckpoints() throws {
        for (name, value) in [("base", 1), ("a", 3), ("b", 4)] as [(String, Float)] {
            try folder.checkpoint("\(name).npz", [TestTensor("w", [1], [value]), TestTensor("n", .i8, [1], [9])])
        }
        let text = "merge_method: average\nmodels: [{ model: a.npz }, { model: b.npz }]\noutput: deep/er/m.npz\n"
        let report = try run(try RecipeFile.load(try folder.write(text, to: "r.yaml")))
        #expect(report.tasks.isEmpty)
        #expect(try tensors(of: folder.file("deep/er/m.npz")).map(\.bytes) == [[0, 0, 96, 64], [9]])
        #expect(report.report.text.hasPrefix("average of 2 experts"))
    }

    @Test func aMatrixNeedsDataForEveryTask() throws {
        var files = suite.tasks.map(suite.files)
        let set = try ExpertSet(base: suite.base, experts: files)
        let matrix = try TaskMeasurement(set, budget: testBudget).matrices(of: set)[0].entries.map { $0.map(\.value) }
        #expect(matrix.count == 4)
        for i in matrix.indices { for j in matrix.indices { #expect((matrix[i][j] == 0) == (i == j)) } }
        // Entry (i, j) is what a merge of experts i and j alone does to task i.
        let pair = try recipe(tasks: [suite.tasks[0], suite.tasks[3]])
        let merged = try #require(try run(pair).merged)
        #expect(abs(merged.tasks[0].interference - matrix[0][3]) < 1e-5)
        #expect(abs(merged.tasks[1].interference - matrix[3][0]) < 1e-5)

        files[2].data = nil
        let partial = try ExpertSet(base: suite.base, experts: files)
        let stage = try TaskMeasurement(partial, budget: testBudget)
        #expect(code { _ = try stage.matrices(of: partial) } == "input.missing_data")
        for index in files.indices { files[index].data = nil }
        let none = try ExpertSet(base: suite.base, experts: files)
        #expect(code { _ = try TaskMeasurement(none, budget: testBudget) } == "input.missing_data")
    }
}
