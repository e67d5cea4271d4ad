import Testing

/// How the built tool shows where in a recipe something is.
@Suite struct RecipePlaceTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    /// JSON has the line that a warning begins with; people get the column, too.
    @Test func showsLineAndColumnOfWarnings() throws {
        let text = "merge_method: linear\nmodels: [{ model: a }]\nparameters: { weight: 1, int8_mask: true }\n"
        _ = try tool.folder.write(Array(text.utf8), to: "r.yaml")
        let warning = "line 3: method linear has no parameter \"int8_mask\", ignored"
        let shown = try tool.run("merge", "r.yaml", "m.npz")
        #expect(shown.errors.contains("warning: \(warning)\n  in r.yaml, line 3, column 26\n"), "\(shown.errors)")
        let strict = try tool.run("merge", "r.yaml", "m.npz", "--strict", "--json").error()
        #expect(strict["message"].string == warning && strict["column"].int == 26)
    }
}
