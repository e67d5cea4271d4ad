import Testing

/// `interference --per-input`.
@Suite struct PerInputTests {
    private let measured =
        ["interference", "--merged", TinySuite.expert("digits"), "--quiet"] + TinySuite.experts() + TinySuite.heads()

    /// Means of the columns are the figures of the report, which other tests compare with PyTorch's.
    @Test func meansOfColumnsAreTheFigures() throws {
        let tool = try Tool()
        let outcome = try tool.run(
            measured + TinySuite.data() + [
                "--distance", "kl", "--distance", "mse", "--per-input", "inputs.csv", "--json",
            ])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = try String(contentsOfFile: tool.folder.file("inputs.csv").string, encoding: .utf8)
            .split(separator: "\n").map { $0.split(separator: ",", omittingEmptySubsequences: false) }
        #expect(lines[0] == ["task", "input", "kl", "mse", "agreement", "accuracy_expert", "accuracy_merged"])
        #expect(lines.count == 1 + 4 * 250)
        let document = try outcome.json()
        for (place, task) in TinySuite.tasks.enumerated() {
            let rows = lines.filter { $0[0] == task }
            #expect(rows.map { Int($0[1]) } == Array(0..<250))
            func mean(_ column: Int) -> Double { rows.reduce(0) { $0 + (Double($1[column]) ?? .nan) } / 250 }
            let figures = document["tasks"][place]
            for (column, expected) in [
                (2, figures["interference"]), (3, document["distances"][1]["tasks"][place]["interference"]),
                (4, figures["agreement"]), (5, figures["accuracy_expert"]), (6, figures["accuracy_merged"]),
            ] {
                #expect(abs(mean(column) - (expected.double ?? .nan)) < 1e-9, "\(task), column \(column)")
            }
        }
    }

    @Test func columnsWithoutLabelsAreEmpty() throws {
        let tool = try Tool()
        #expect(
            try tool.run("convert", "\(TinySuite.folder)/test_digits.npz", "images.npz", "--only", "images").status == 0
        )
        #expect(try tool.run(measured + ["--data", "digits=images.npz", "--per-input", "inputs.csv"]).status == 0)
        let lines = try String(contentsOfFile: tool.folder.file("inputs.csv").string, encoding: .utf8)
            .split(separator: "\n")
        // The merged model is the expert itself.
        #expect(lines[1] == "digits,0,0.0,1.0,,")
    }

    @Test func refusesPlacesThatAreTaken() throws {
        let tool = try Tool()
        let data = TinySuite.data(["digits"])
        let twice = try tool.run(measured + data + ["--per-input", "a.csv", "--report", "./a.csv"])
        #expect(twice.status == 2)
        #expect(try tool.run(measured + data + ["--per-input", "a.csv"]).status == 0)
        let again = try tool.run(measured + data + ["--per-input", "a.csv", "--json"])
        #expect(again.status != 0)
        #expect(try again.error()["code"].string == "io.exists")
        #expect(try tool.run(measured + data + ["--per-input", "a.csv", "--force"]).status == 0)
    }
}
