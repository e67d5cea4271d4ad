import Recipes
import TensorCore
import Testing
import TestSupport

/// The line and column of what is wrong, and what people are told to do.
@Suite struct RecipePlaceTests {
    struct Fault: Sendable, CustomTestStringConvertible {
        let text: String
        let code: String
        let position: TextPosition
        /// Parts of message and hint.
        let says: [String]
        var testDescription: String { says.first ?? code }

        init(_ text: String, _ code: String = "recipe.syntax", at line: Int, _ column: Int, says: String...) {
            (self.text, self.code, self.says) = (text, code, says)
            position = TextPosition(line: line, column: column)
        }
    }

    private static let linear = "merge_method: linear\nmodels:\n  - model: a\n"

    static let errors = [
        // Where libyaml says that a text is no YAML, and where what it was reading begins.
        Fault(
            "a: [b, c\n", at: 2, 1,
            says: "did not find expected ',' or ']' while parsing a flow sequence that begins on line 1, column 4",
            "] at its end"),
        Fault("a: [b, c", at: 1, 9, says: "did not find expected ',' or ']'"),
        Fault(
            "a: 'b\n", at: 2, 1,
            says: "found unexpected end of stream while scanning a quoted scalar that begins on line 1, column 4",
            "end the text with the quote"),
        Fault(
            "filter: *.mlp\n", at: 1, 10,
            says: "did not find expected alphabetic or numeric character while scanning an alias",
            "begins with * needs quotes"),
        Fault(
            "a:\n  b: 1\n c: 2\n", at: 3, 2,
            says: "did not find expected key while parsing a block mapping that begins on line 1, column 1",
            "begin all keys of a mapping in one column"),
        Fault("name: a: b\n", at: 1, 8, says: "mapping values are not allowed in this context", "into quotes"),
        Fault(
            "name: @b\n", at: 1, 7, says: "found character that cannot start any token", "begins with @ needs quotes"),
        Fault("path: \"C:\\models\"\n", at: 1, 10, says: "found unknown escape character", "or use single quotes"),
        Fault("model: {{ name }}\n", at: 1, 9, says: "a key is not a text", "needs quotes"),
        Fault("name: \"é\u{8}\"\n", at: 1, 9, says: "control characters are not allowed, and here is one: U+0008"),
        Fault(
            "a: 1\nb: 2\n'a': 3\n", at: 3, 1,
            says: "the key \"a\" appears twice in a mapping, for the first time on line 1, column 1"),
        // Tabs.
        Fault("models:\n\t- model: a\n", at: 2, 1, says: "a tab in the indentation, and YAML indents with spaces"),
        Fault(
            "models:\n  - model: a\n  \tname: b\n", at: 3, 3,
            says: "a tab in the indentation, and YAML indents with spaces"),
        Fault("a:\r\n  b: |\r\n\tc\r\n", at: 3, 1, says: "a tab in the indentation, and YAML indents with spaces"),
        Fault("- \tmodel: a\n", at: 1, 3, says: "YAML indents with spaces", "write spaces instead of the tab"),
        Fault("a: [1,\n\t2\n", at: 3, 1, says: "did not find expected ',' or ']'"),
        // Where recipes say something else than they may.
        Fault(
            "\(linear)parameters: { weight: }\n", "recipe.bad_value", at: 4, 15,
            says: "weight has no value: it takes a number", "leave the key out"),
        Fault(
            "\(linear)    parameters:\n      weight:\n  - model: b\n", "recipe.bad_value", at: 5, 7,
            says: "weight has no value: it takes a number"),
        Fault(
            "\(linear)parameters:\n  normalize: ~\n", "recipe.bad_value", at: 5, 3,
            says: "normalize has no value: it takes true or false"),
        Fault(
            "\(linear)parameters:\n  weight: [0.5, null]\n", "recipe.bad_value", at: 5, 17,
            says: "weight takes a number, and here is no value"),
        Fault(
            "\(linear)parameters:\n  weight: [0.5, heavy]\n", "merge.bad_parameter", at: 5, 17,
            says: "parameter \"weight\" takes a number, not \"heavy\""),
        Fault(
            "\(linear)dtype: BFloat16\n", "recipe.bad_value", at: 4, 1, says: "not \"BFloat16\"",
            "did you mean bfloat16?"),
        Fault("\(linear)dtype: torch.FLOAT32\n", "recipe.bad_value", at: 4, 1, says: "did you mean float32?"),
        Fault("\(linear)out_dtype: Half\n", "recipe.bad_value", at: 4, 1, says: "did you mean float16?"),
        Fault("\(linear)  - { name: b }\n", "recipe.missing_key", at: 4, 5, says: "has no \"model\""),
        Fault(
            "\(linear)  - model: ./a\n", "recipe.duplicate_name", at: 4, 5, says: "listed twice",
            "the first time on line 3, column 5"),
        Fault(
            "merge_method: linear\nmodels: &m\n  - model: a\nresolve: *m\n", "recipe.bad_value", at: 2, 9,
            says: "resolve must be"),
    ]

    @Test(arguments: errors) func tellsLineAndColumn(fault: Fault) throws {
        var failure: RecipeError?
        do throws(RecipeError) { _ = try RecipeFile.parse(fault.text, path: "r.yaml") } catch { failure = error }
        let error = try #require(failure)
        #expect(error.code == fault.code)
        #expect(error.position == fault.position, "\(error.position as Any)")
        #expect(error.line == fault.position.line && error.message.hasPrefix("line \(fault.position.line): "))
        for part in fault.says { #expect("\(error.message) \(error.hint ?? "")".contains(part), "\(error)") }
    }

    static let warnings = [
        Fault("\(linear)    parameters: { weight: 1, wieght: 2 }\n", at: 4, 30, says: "no parameter \"wieght\""),
        Fault("\(linear)weight: 0.5\n", at: 4, 1, says: "weight has no effect in the recipe itself"),
        Fault("\(linear)    layer_range: [0, 4]\n", at: 4, 5, says: "layer_range has no effect"),
        Fault("\(linear)    parameters: { weight: [] }\n", at: 4, 27, says: "weight is an empty list"),
        Fault("\(linear)base_model: b\n", at: 4, 13, says: "base_model has no effect"),
        Fault("\(linear)    parameters: { weight: 1 }\n  - model: b\n", at: 5, 5, says: "no weight is given for b"),
    ]

    @Test(arguments: warnings) func tellsWhereWarningsAre(fault: Fault) throws {
        let recipe = try RecipeFile.parse(fault.text, path: "r.yaml")
        let warning = try #require(recipe.warnings.first { $0.text.contains(fault.says[0]) })
        #expect(warning.position == fault.position)
        #expect(warning.file == "r.yaml")
        // As an error it stands in the same place.
        let error = try #require(throws: RecipeError.self) {
            _ = try RecipeFile.parse(fault.text, path: "r.yaml", strict: true)
        }
        #expect(error.code == "recipe.unknown_key" && error.position == recipe.warnings.first?.position)
    }

    /// Bytes are counted from 0, a byte order mark among them; lines and columns without it.
    @Test func tellsTheByteThatIsNoUTF8() throws {
        let folder = TemporaryFolder()
        for (mark, offset) in [([], 13), ([0xEF, 0xBB, 0xBF], 16)] as [([UInt8], UInt64)] {
            let path = try folder.write(mark + Array("a: 1\nname: é".utf8) + [0xE9, 0x0A], to: "r.yaml")
            let error = try #require(throws: RecipeError.self) { _ = try RecipeFile.load(path) }
            #expect(error.code == "recipe.syntax" && error.byteOffset == offset)
            #expect(error.position == TextPosition(line: 2, column: 8))
        }
        let wide = try folder.write(
            [0xFF, 0xFE] + Array("a".utf16).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }, to: "w.yaml")
        #expect(code { _ = try RecipeFile.load(wide) } == "recipe.syntax")
    }

    /// Anchors hold from one document to the next, so that those of a file can share parameters.
    @Test func sharesAnchorsBetweenDocuments() throws {
        let book = try RecipeBook.parse(
            "name: one\nmerge_method: linear\nmodels: [{ model: a, parameters: &p { weight: 0.25 } }]\n---\n"
                + "merge_method: linear\nmodels: [{ model: one, parameters: *p }]\n", path: "r.yaml")
        #expect(book.final.slices[0].experts[0].parameters == ["weight": .value(.number(0.25))])
    }
}
