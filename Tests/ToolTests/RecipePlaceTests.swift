import Testing

/// How the built tool shows where in a recipe something is.
@Suite struct RecipePlaceTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    @Test func showsLineAndColumnOfErrors() throws {
        _ = try tool.folder.write(Array("merge_method: linear\nmodels:\n\t- model: a\n".utf8), to: "r.yaml")
        let shown = try tool.run("merge", "r.yaml", "m.npz")
        #expect(shown.status == 3)
        #expect(
            shown.errors == """
                error: line 3: a tab in the indentation, and YAML indents with spaces: found character that cannot start any token
                  in r.yaml, line 3, column 1   [recipe.syntax]
                  hint: write spaces instead of the tab

                """)
        let error = try tool.run("merge", "r.yaml", "m.npz", "--json").error()
        #expect(error.keys == ["code", "message", "file", "tensor", "offset", "hint", "line", "column"])
        #expect(error["line"].int == 3 && error["column"].int == 1)
    }

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
