import Foundation
import Testing

/// The sentences and pictures of `compare`, against the figures of its document.
@Suite struct CompareSummaryTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    private func percent(_ share: Double) -> String { String(format: "%.1f %%", 100 * share) }
    private func figure(_ number: Double) -> String { String(format: "%.3f", number) }

    private let resolve =
        "{ auxiliary: \(TinySuite.folder)/aux_mixed.npz, steps: 20, batch_size: 32, learning_rate: 1e-4 }"

    private func write(_ name: String, _ more: String, tasks: [String] = ["digits", "latin_lower"]) throws {
        _ = try tool.folder.write(Array(TinySuite.recipe(more, tasks: tasks).utf8), to: name)
    }

    /// Compares, and gives the document, the words of the terminal, and Markdown.
    private func compare(_ arguments: String...) throws -> (document: JSONValue, output: String, markdown: String) {
        let document = try tool.run(["compare", "--quiet", "--json"] + arguments)
        #expect(document.status == 0, "\(document.errors)")
        let outcome = try tool.run(["compare", "--quiet", "--force", "--report", "r.md"] + arguments)
        #expect(outcome.status == 0, "\(outcome.errors)")
        return (
            try document.json(), outcome.output, String(decoding: try tool.data("r.md"), as: UTF8.self)
        )
    }

    @Test func everySentenceIsAboutAFigure() throws {
        try write(
            "c.yaml",
            "merge_method: [ties, task_arithmetic]\nparameters: { lambda: [0.3, 0.6] }\nresolve: [none, \(resolve)]")
        let (document, output, markdown) = try compare("c.yaml")
        let rows = document["rows"].items
        let best = rows[0]
        let tied = rows.dropFirst().count { $0["tied_with_best"].bool == true }
        let others =
            tied == 0
            ? "it can be told from all others"
            : tied == 1 ? "one other cannot be told from it" : "\(tied) others cannot be told from it"
        let (low, high) = (try #require(best["interval"][0].double), try #require(best["interval"][1].double))
        let accuracy = try #require(best["mean_accuracy"].double)
        var sentences = [
            "\(try #require(best["name"].string)) is best: \(percent(accuracy)) (\(percent(low)) to \(percent(high))); \(others)."
        ]
        // Four pairs of rows that differ in nothing but whether experts were resolved.
        let gains = try rows.filter { $0["resolved"].bool == true }.map { row in
            let partner = try #require(
                rows.first {
                    $0["resolved"].bool == false && $0["method"].string == row["method"].string
                        && $0["parameters"]["lambda"].string == row["parameters"]["lambda"].string
                })
            return try #require(row["mean_accuracy"].double) - #require(partner["mean_accuracy"].double)
        }
        #expect(gains.count == 4)
        let listed = document["gains"].items
        #expect(
            try listed.map { try #require($0["gain"].double) }.sorted().elementsEqual(gains.sorted()) {
                abs($0 - $1) < 1e-12
            })
        // Beyond the noise are those whose interval is on one side of zero.
        let sides = try listed.map { gain in
            let (low, high) = (try #require(gain["interval"][0].double), try #require(gain["interval"][1].double))
            return low > 0 ? 1 : high < 0 ? -1 : 0
        }
        let (mean, helped, harmed) = (gains.reduce(0, +) / 4, sides.count { $0 > 0 }, sides.count { $0 < 0 })
        sentences.append(
            "RI helps \(helped == 4 ? "all 4" : helped == 0 ? "none of 4" : "\(helped) of 4") merges by more than the noise"
                + "\(harmed == 0 ? "" : ", harms \(harmed)"), and \(mean < 0 ? "costs" : "gains") "
                + "\(String(format: "%.1f", 100 * abs(mean))) points on average.")
        #expect(output.hasPrefix(sentences.joined(separator: "\n") + "\n\nmerge  "), "\(output)")
        // The tables and nothing else.
        #expect(output.split(separator: "\n").count == sentences.count + 1 + rows.count + 1 + listed.count)
        func hasRow(_ cells: [String]) -> Bool {
            markdown.contains(
                "\n| \(cells.joined(separator: " | ")) |\n".replacing("_", with: "\\_").replacing("~", with: "\\~"))
        }
        for row in rows {
            let name = try #require(row["name"].string)
            let share = percent(try #require(row["mean_accuracy"].double))
            let ends = try (0...1).map { percent(try #require(row["interval"][$0].double)) }.joined(separator: ", ")
            let interference = figure(try #require(row["interference"].double))
            #expect(hasRow([name, share, ends]), "bars of \(name)")
            #expect(hasRow([name, interference, share, ends]), "scatter of \(name)")
            let tasks = try row["tasks"].items.map { percent(try #require($0["accuracy"].double)) }
            #expect(hasRow([name] + tasks), "accuracies of \(name)")
        }
    }

    /// Interference is better when it is less.
    @Test func sortedByInterferenceItSpeaksOfThat() throws {
        try write("c.yaml", "merge_method: task_arithmetic\nparameters: { lambda: 0.5 }\nresolve: [none, \(resolve)]")
        let (document, output, markdown) = try compare("c.yaml", "--sort", "interference")
        let rows = document["rows"].items
        #expect(rows.map { $0["resolved"].bool } == [true, false])
        let (less, more) = (
            try #require(rows[0]["interference"].double), try #require(rows[1]["interference"].double)
        )
        let (low, high) = (try #require(rows[0]["interval"][0].double), try #require(rows[0]["interval"][1].double))
        let isNoise = rows[1]["tied_with_best"].bool == true
        let others =
            isNoise
            ? "one other cannot be told from it" : "it can be told from all others"
        #expect(
            output.hasPrefix(
                """
                \(try #require(rows[0]["name"].string)) is best: an interference of \(figure(less)) (\(figure(low)) to \
                \(figure(high))); \(others).
                RI removes \(figure(more - less)) of interference\(isNoise ? ", which the noise may be" : "").


                """), "\(output)")
        #expect(markdown.contains("| merge | interference | 95 % |\n"))
    }

    /// Recipes of other experts are no pair, whatever their methods.
    @Test func onlyMergesOfTheSameExpertsAreAPair() throws {
        try write("a.yaml", "merge_method: ties")
        try write("b.yaml", "merge_method: ties\nresolve: \(resolve)")
        try write("c.yaml", "merge_method: ties\nresolve: \(resolve)", tasks: ["digits", "devanagari"])
        #expect(try compare("a.yaml", "b.yaml").output.contains("\nRI "))
        #expect(try !compare("a.yaml", "c.yaml").output.contains("RI "))
    }

    /// Figures of other tasks are no rivals.
    @Test func nothingIsSaidOfMergesWithOtherTasks() throws {
        try write("a.yaml", "merge_method: ties")
        try write("c.yaml", "merge_method: ties", tasks: ["digits", "devanagari"])
        let other = try compare("a.yaml", "c.yaml")
        #expect(!other.output.contains("is best") && !other.output.contains("told"), "\(other.output)")
        #expect(other.document["rows"].items.count == 2)
    }

    /// Nothing to compare with, nothing to say.
    @Test func oneMergeIsNotTheBest() throws {
        try write("c.yaml", "merge_method: ties")
        #expect(try compare("c.yaml").output.hasPrefix("merge  "))
    }
}
