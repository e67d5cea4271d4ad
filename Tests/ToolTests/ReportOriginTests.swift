import Foundation
import Testing

/// Where the figures of a page come from: what was typed, the recipe, versions, and digests of what was read.
@Suite struct ReportOriginTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    private func text(_ name: String) throws -> String { String(decoding: try tool.data(name), as: UTF8.self) }

    /// The part of a report in Markdown about its origin.
    private func origin(_ name: String) throws -> String {
        let parts = try text(name).components(separatedBy: "\n## Where the figures come from\n\n")
        #expect(parts.count == 2)
        return parts.last ?? ""
    }

    /// The rows of the table of inputs as names and digests, as they are without Markdown's backslashes.
    private func inputs(_ name: String) throws -> [[String]] {
        let rows = try origin(name).split(separator: "\n").map { row in
            row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces).replacing("\\", with: "") }
        }
        return rows.filter { $0.count == 3 && !$0[1].isEmpty && $0[1].allSatisfy { $0.isNumber || $0 == "," } }
    }

    /// Makes sure that these are the inputs, with the sizes and digests that other programs find.
    private func expect(_ names: [String], in report: String) throws {
        let rows = try inputs(report)
        #expect(rows.map { $0[0] } == names)
        for row in rows {
            let lines = try tool.shell("sha256sum '\(row[0])' | cut -c -64; stat -Lc %s '\(row[0])'").output
                .split(separator: "\n")
            #expect(["sha256:\(lines[0])", String(lines[1])] == [row[2], row[1].replacing(",", with: "")])
        }
    }

    private let digits = [
        "--head", "a b=\(TinySuite.folder)/heads_digits.safetensors", "--data",
        "a b=\(TinySuite.folder)/test_digits.npz",
    ]

    @Test func aPageTellsWhatWasTypedAndRead() throws {
        let arguments = ["evaluate", TinySuite.base] + digits + ["--force", "--report", "r.html", "--report", "r.md"]
        #expect(try tool.run(arguments).status == 0)
        let origin = try origin("r.md")
        #expect(
            origin.hasPrefix(
                "    untangle evaluate Fixtures/suites/tiny/base.safetensors --head "
                    + "'a b=Fixtures/suites/tiny/heads_digits.safetensors' --data 'a b=Fixtures/suites/tiny/test_digits.npz' "
                    + "--force --report r.html --report r.md\n\n"))
        try expect(
            ["heads_digits.safetensors", "test_digits.npz", "base.safetensors", "config.json"].map {
                "\(TinySuite.folder)/\($0)"
            }, in: "r.md")
        #expect(origin.contains("\n| Untangle | 0.1.0 |\n| Swift | "))
        // What was typed can be typed again, and gives the same bytes.
        let pages = try ["r.md", "r.html"].map(tool.data)
        let command = String(origin.prefix { $0 != "\n" })
        #expect(try tool.shell(command).status == 0)
        #expect(try ["r.md", "r.html"].map(tool.data) == pages)
        #expect(try !text("r.md").contains(tool.folder.path.string))
    }

    @Test func documentsAreTheValuesAlone() throws {
        let outcome = try tool.run(
            ["evaluate", TinySuite.base] + digits + ["--json", "--quiet", "--report", "r.json", "--report", "r.csv"])
        #expect(try outcome.json().keys == ["tasks", "mean_accuracy"])
        #expect(try text("r.json") == outcome.output)
        #expect(try !text("r.csv").contains("sha256"))
    }

    @Test func aRunTellsItsRecipe() throws {
        let recipe = """
            merge_method: average # with | and ``` and <b>
            base_model: ../\(TinySuite.base)
            models:
              - model: ../\(TinySuite.expert("digits"))
                name: digits
                head: ../\(TinySuite.folder)/heads_digits.safetensors
                data: ../\(TinySuite.folder)/test_digits.npz

            resolve: { auxiliary: ../\(TinySuite.folder)/aux_mixed.npz, steps: 2, batch_size: 8 }
            report: r.md

            """
        try FileManager.default.createDirectory(
            atPath: tool.folder.file("work").string, withIntermediateDirectories: true)
        _ = try tool.folder.write(Array(recipe.utf8), to: "work/r.yaml")
        let outcome = try tool.run("run", "work/r.yaml", "--quiet")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let shown = recipe.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            .map { $0.isEmpty ? "" : "    \($0)" }.joined(separator: "\n")
        #expect(try origin("work/r.md").hasPrefix("    untangle run work/r.yaml --quiet\n\nThe recipe:\n\n\(shown)\n"))
        try expect(
            ["work/r.yaml"]
                + [
                    "base.safetensors", "expert_digits.safetensors", "heads_digits.safetensors", "test_digits.npz",
                    "aux_mixed.npz", "config.json",
                ].map { "\(TinySuite.folder)/\($0)" }, in: "work/r.md")
    }

    @Test func severalRecipesHaveTheirNames() throws {
        for name in ["a", "b"] {
            let recipe = """
                merge_method: \(name == "a" ? "average" : "ties")
                base_model: \(TinySuite.base)
                models:
                  - model: \(TinySuite.expert("digits"))
                    name: digits
                    head: \(TinySuite.folder)/heads_digits.safetensors
                    data: \(TinySuite.folder)/test_digits.npz

                """
            _ = try tool.folder.write(Array(recipe.utf8), to: "\(name).yaml")
        }
        for _ in 0..<2 {
            #expect(try tool.run("compare", "a.yaml", "b.yaml", "--report", "r.md", "--quiet").status == 0)
        }
        let origin = try origin("r.md")
        #expect(origin.contains("The recipe:\n\n    # a.yaml\n    merge_method: average\n"))
        #expect(origin.contains("\n\n    # b.yaml\n    merge_method: ties\n"))
        #expect(try inputs("r.md").map { $0[0] }.filter { $0.hasSuffix(".yaml") } == ["a.yaml", "b.yaml"])
    }

    /// The digest of what is there now would be that of the result.
    @Test func anInputThatWasReplacedHasNoDigest() throws {
        try tool.write("a.safetensors", [StoredTensor("x", [2], [1, 2])])
        let outcome = try tool.run(
            "convert", "a.safetensors", "a.safetensors", "--dtype", "F16", "--force", "--report", "r.md", "--no-sync")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try inputs("r.md").map { [$0[0], $0[2]] } == [["a.safetensors", "changed since it was read"]])
    }

    /// Where a model of the hub lies is nobody's business.
    @Test func modelsOfTheHubHaveTheirNames() throws {
        for name in ["a", "b"] {
            try FileManager.default.createDirectory(
                atPath: tool.folder.file("hub/org/\(name)").string, withIntermediateDirectories: true)
            try tool.write("hub/org/\(name)/model.safetensors", [StoredTensor("x", [2], [1, 2])])
        }
        let recipe = "merge_method: linear\nparameters: { weight: 1 }\nmodels: [{ model: org/a }, { model: org/b }]\n"
        _ = try tool.folder.write(Array(recipe.utf8), to: "r.yaml")
        let folder = tool.folder.file("hub").string
        let fromRecipe = try tool.shell(
            "D=\(folder); untangle merge r.yaml m.safetensors --models-dir $D --report r.md --no-sync --quiet")
        #expect(fromRecipe.status == 0, "\(fromRecipe.errors)")
        let names = ["org/a/model.safetensors", "org/b/model.safetensors"]
        #expect(try inputs("r.md").map { $0[0] } == ["r.yaml"] + names)
        let typed = try tool.run(
            "merge", "--method", "average", "org/a", "org/b", "--output", "n.safetensors", "--models-dir", "hub",
            "--report", "s.md", "--no-sync", "--quiet")
        #expect(typed.status == 0, "\(typed.errors)")
        #expect(try inputs("s.md").map { $0[0] } == names)
    }

    /// The libraries are those that pkg-config knows; Debian's file of utf8proc has another number than the library.
    @Test func versionsAreADocument() throws {
        let document = try tool.run("--version", "--json").json()
        #expect(document.keys == ["version", "revision", "swift", "libraries", "cpu"])
        #expect(document["version"].string == "0.1.0")
        #expect(document["swift"].string?.wholeMatch(of: /6(\.\d+)+/) != nil)
        let libraries = document["libraries"]
        for (name, package) in [
            ("libarchive", "libarchive"), ("libcrypto", "libcrypto"), ("libxxhash", "libxxhash"),
            ("libzstd", "libzstd"),
            ("libyaml", "yaml-0.1"), ("Oniguruma", "oniguruma"),
        ] {
            let version = try tool.shell("pkg-config --modversion \(package)").output.trimmingCharacters(in: .newlines)
            #expect(libraries[name].string == version, "\(name)")
        }
        // Its pkg-config file has a number of its own.
        #expect(libraries["utf8proc"].string?.wholeMatch(of: /2(\.\d+)+/) != nil)
        let blas = try tool.shell("pkg-config --modversion openblas").output.trimmingCharacters(in: .newlines)
        #expect(libraries["OpenBLAS"].string?.hasPrefix(blas) == true, "\(libraries)")
        for feature in document["cpu"].items {
            #expect(try tool.shell("grep -qw \(feature.string ?? "") /proc/cpuinfo").status == 0)
        }
    }
}
