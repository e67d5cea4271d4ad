import Recipes
import TensorCore
import Testing
import TestSupport

/// Mistakes that recipes often have, and what people are told.
@Suite struct RecipeMessageTests {
    struct Mistake: Sendable, CustomTestStringConvertible {
        let text: String
        let code: String
        let line: Int?
        /// Parts of message and hint.
        let says: [String]
        var testDescription: String { says.first ?? code }

        init(_ text: String, _ code: String, line: Int?, says: String...) {
            (self.text, self.code, self.line, self.says) = (text, code, line, says)
        }
    }

    private static let two = "models:\n  - model: a\n  - model: b\n"
    private static let base = "base_model: base\n"

    /// Forty lines that name 2⁴⁰ values.
    private static let bomb =
        "b0: &b0 [x, x]\n" + (1..<40).map { "b\($0): &b\($0) [*b\($0 - 1), *b\($0 - 1)]\n" }.joined()

    static let errors = [
        Mistake(
            "merge_methd: linear\n\(two)", "recipe.missing_key", line: 1, says: "merge_method is missing",
            "there is no key \"merge_methd\": did you mean merge_method?"),
        Mistake(
            "merge_method: linear\nmodles:\n  - model: a\n", "recipe.missing_key", line: 2,
            says: "models is missing or empty", "did you mean models?"),
        Mistake(
            "base_model: a\ngate_mode: hidden\nexperts: []\n", "recipe.unsupported", line: 2, says: "mixture of experts"
        ),
        Mistake(
            "merge_method: slerp\n\(two)", "recipe.missing_key", line: 1,
            says: "base_model is missing: method slerp goes from base_model", "base_model: a"),
        Mistake(
            "\(two)merge_method: ties\n", "recipe.missing_key", line: 4,
            says: "base_model is missing: method ties needs base_model"),
        Mistake(
            "merge_method: dare\n\(base)\(two)", "merge.unknown_method", line: 1,
            says: "there is no merge method \"dare\"", "dare_ties or dare_linear"),
        Mistake("merge_method: tie\n\(two)", "merge.unknown_method", line: 1, says: "did you mean \"ties\"?"),
        Mistake(
            "merge_method: slerp\n\(base)models:\n  - model: a\n  - model: b\n", "merge.too_many_experts", line: 3,
            says: "exactly 1 expert beside the base, but 2 are given"),
        Mistake(
            "merge_method: linear\n\(two)slices:\n  - sources: []\n", "recipe.bad_value", line: 5,
            says: "models and slices are given"),
        Mistake(
            "merge_method: linear\n\(two)dtype: fp16\n", "recipe.bad_value", line: 5, says: "not \"fp16\"",
            "did you mean float16?"),
        Mistake(
            "merge_method: linear\n\(two)out_dtype: bfloat\n", "recipe.bad_value", line: 5, says: "out_dtype must be",
            "did you mean bfloat16?"),
        Mistake(
            "merge_method: linear\nslices:\n  - sources:\n    - { model: a, layer_range: [0, 4] }\n"
                + "    - { model: b, layer_range: [0, 5] }\n", "recipe.bad_value", line: 5,
            says: "layer_range of b has 5 layers, that of a 4"),
        Mistake(
            "merge_method: passthrough\nslices:\n  - sources:\n    - { model: a }\n", "recipe.missing_key", line: 4,
            says: "a source has no layer_range"),
        Mistake(
            "merge_method: passthrough\nslices:\n  - sources:\n    - { model: a, layer_range: [4, 4] }\n",
            "recipe.bad_value", line: 4, says: "layer_range must be two whole numbers"),
        Mistake(
            "merge_method: slerp\n\(base)slices:\n  - sources:\n    - { model: a, layer_range: [0, 4] }\n",
            "recipe.missing_key", line: 4, says: "base_model base is not among the sources"),
        Mistake(
            "merge_method: passthrough\n\(two)", "merge.too_many_experts", line: 2, says: "exactly 1 expert"),
        Mistake(
            "merge_method: linear\n\(two)tokenizer_source: base\ntokenizer: { source: base }\n", "recipe.bad_value",
            line: 6, says: "say the same thing"),
        Mistake(
            "merge_method: linear\n\(two)tokenizer:\n  source: base\n  pad_to_multiple_of: 8\n", "recipe.unsupported",
            line: 7, says: "pad_to_multiple_of would change the vocabulary"),
        Mistake(
            "merge_method: linear\n\(two)chat_template: chatlm\n", "recipe.bad_value", line: 5,
            says: "did you mean \"chatml\"?"),
        Mistake(
            "merge_method: linear\nmodules:\n  text: { models: [] }\n  vision: { models: [] }\n", "recipe.unsupported",
            line: 2, says: "modules with a recipe each"),
        Mistake(
            "merge_method: linear\nmodels:\n  - model: a\n    parameters:\n      weight: heavy\n",
            "merge.bad_parameter",
            line: 5, says: "parameter \"weight\" takes a number, not \"heavy\""),
        Mistake(
            "merge_method: linear\nmodels:\n  - model: a\n    parameters:\n      weight:\n      - 1\n      - heavy\n",
            "merge.bad_parameter", line: 7, says: "not \"heavy\""),
        Mistake(
            "merge_method: ties\n\(base)\(two)parameters:\n  density:\n  - { filter: mlp, value: 2 }\n",
            "merge.bad_parameter", line: 8, says: "not 2"),
        Mistake(
            "merge_method: ties\n\(base)\(two)parameters:\n  density:\n  - { filter: mlp }\n", "recipe.missing_key",
            line: 8, says: "a case of density has no value"),
        Mistake(
            "merge_method: ties\n\(base)\(two)parameters:\n  density:\n  - { filter: mlp, value: 1 }\n  - 0.5\n",
            "recipe.bad_value", line: 9, says: "mixes values with cases"),
        Mistake(
            "merge_method: task_arithmetic\n\(base)slices:\n  - sources: &s\n    - { model: base, layer_range: [0, 1] }\n"
                + "    - { model: a, layer_range: [0, 1] }\n  - sources: *s\nparameters:\n  lines_beta: 0.5\n",
            "recipe.unsupported", line: 9, says: "lines_alpha and lines_beta"),
        Mistake(
            "merge_method: passthrough\nslices:\n  - sources:\n    - { model: a, layer_range: [0, 1] }\n"
                + "resolve: { auxiliary: noise }\n", "recipe.unsupported", line: 5, says: "resolve takes whole models"),
        Mistake(two, "recipe.missing_key", line: 1, says: "merge_method is missing"),
        Mistake("# nothing\n", "recipe.syntax", line: 1, says: "the recipe is empty"),
        Mistake("merge_method: linear\nname: a\u{7}b\n\(two)", "recipe.syntax", line: 2, says: "control characters"),
        Mistake(
            "merge_method: linear\nmodels: [a, b]\n", "recipe.bad_value", line: 2, says: "an entry of models",
            "- model: PATH"),
        Mistake(
            "merge_method: linear\nmodules:\n  text: ~\n", "recipe.missing_key", line: 3, says: "module text is empty"),
        Mistake(
            "merge_method: linear\n\(two)tokenizer: base\n", "recipe.bad_value", line: 5,
            says: "tokenizer must be a mapping", "tokenizer_source: base"),
        Mistake(
            "merge_method: linear\n\(two)<<: [x]\n", "recipe.bad_value", line: 5,
            says: "<< in the recipe takes a mapping"),
        Mistake(
            "a0: &a0 {x: 1}\n"
                + (1..<8).map { "a\($0): &a\($0) { <<: [*a\($0 - 1), *a\($0 - 1), *a\($0 - 1)] }\n" }.joined()
                + "merge_method: linear\n\(two)<<: *a7\n",
            "recipe.bad_value", line: 1, says: "more than 1000 mappings"),
        Mistake(bomb + "*b39: 1\n", "recipe.syntax", line: 15, says: "stand for more than 100000 values"),
        Mistake(bomb + "--- {[*b39]: 1}\n", "recipe.syntax", line: 15, says: "stand for more than 100000 values"),
        Mistake("a: &a [x]\n*a : 1\n", "recipe.syntax", line: 2, says: "a key is not a text"),
        Mistake("a: &a [x]\nb: {? [*a] : 1}\n", "recipe.syntax", line: 2, says: "a key is not a text"),
        Mistake("a: &a [x]\nb: {*a:1}\n", "recipe.syntax", line: 2, says: "a key is not a text"),
        Mistake("a: 1\nb: &b {*b : 1}\n", "recipe.syntax", line: 2, says: "undefined alias"),
        Mistake("&a {*a : *a}\n", "recipe.syntax", line: 1, says: "undefined alias"),
        Mistake("a: &a x\nb: {*a : 1, *a : 2}\n", "recipe.syntax", line: 2, says: "the key \"*a\" appears twice"),
        Mistake(
            "merge_method: ties\n\(base)slices:\n  - sources: &s\n    - { model: base, layer_range: [0, 1] }\n"
                + "    - { model: a, layer_range: [0, 1] }\n    parameters: { lines_alpha: 0.5 }\n  - sources: *s\n",
            "recipe.unsupported", line: 7, says: "lines_alpha and lines_beta"),
    ]

    /// Lines are counted in bytes that are no text, too.
    @Test func tellsTheLineThatIsNoUTF8() throws {
        let folder = TemporaryFolder()
        let path = try folder.write(
            Array("merge_method: linear\n".utf8) + Array("name: ".utf8) + [0xE9, 0x0A], to: "r.yaml")
        let error = try #require(throws: RecipeError.self) { _ = try RecipeFile.load(path) }
        #expect(error.code == "recipe.syntax" && error.line == 2)
    }

    @Test(arguments: errors) func refuses(mistake: Mistake) throws {
        var failure: RecipeError?
        do throws(RecipeError) { _ = try RecipeFile.parse(mistake.text, path: "r.yaml") } catch { failure = error }
        let error = try #require(failure)
        #expect(error.code == mistake.code)
        #expect(error.line == mistake.line)
        for part in mistake.says { #expect("\(error.message) \(error.hint ?? "")".contains(part)) }
    }

    static let warnings = [
        Mistake(
            "merge_method: linear\nmodels:\n  - { model: a, parameters: { weight: 1 } }\n  - model: b\n"
                + "    parameters:\n      weight: []\n", "", line: 6,
            says: "weight is an empty list, which says nothing"),
        Mistake(
            "merge_method: ties\n\(base)models:\n  - model: a\n    density: 0.5\n", "", line: 5,
            says: "density has no effect in an entry of models itself", "write it under parameters:"),
        Mistake(
            "merge_method: linear\n\(two)weight: 0.5\n", "", line: 5, says: "weight has no effect in the recipe itself"),
        Mistake(
            "merge_method: linear\nmodels:\n  - model: a\n    layer_range: [0, 4]\n", "", line: 4,
            says: "write slices: instead of models:"),
        Mistake(
            "merge_method: slerp\nbase_model: a\nmodels:\n  - model: a\n  - model: b\n    parameters:\n      t: 0.3\n"
                + "parameters: { t: 0.5 }\n", "", line: 7, says: "t holds for all models and has no effect under one"),
        Mistake(
            "merge_method: linear\nmodels:\n  - model: a\n    parameters: { weight: 1 }\n  - model: b\n", "", line: 5,
            says: "no weight is given for b", "mergekit refuses this"),
        Mistake(
            "merge_method: linear\nmodels:\n  - model: a\n    parameters: { weight: [{ filter: mlp, value: 2 }] }\n",
            "",
            line: 3, says: "weight has no value without a filter for a"),
        Mistake(
            "merge_method: slerp\nbase_model: a\nmodels:\n  - model: b\n", "", line: 3,
            says: "no t is given, and 0.5 is taken"),
        Mistake(
            "merge_method: linear\n\(base)\(two)parameters: { weight: 1 }\n", "", line: 2,
            says: "base_model is merged like the models"),
        Mistake(
            "merge_method: ties\n\(base)models:\n  - model: base\n    parameters: { weight: 1 }\n  - model: a\n", "",
            line: 5,
            says: "weight has no effect under the base model"),
        Mistake("merge_method: karcher\n\(base)\(two)", "", line: 2, says: "base_model is merged like the models"),
        Mistake(
            "merge_method: passthrough\nslices:\n  - sources:\n    - { model: a, layer_range: [0, 4] }\n"
                + "    residual_weight: 0.5\n", "", line: 5, says: "residual_weight has no effect"),
        Mistake(
            "merge_method: ties\n\(base)\(two)parameters:\n  density: { filtr: mlp, value: 1 }\n", "", line: 7,
            says: "unknown key \"filtr\"", "did you mean filter?"),
    ]

    @Test(arguments: warnings) func warns(mistake: Mistake) throws {
        let warnings = try RecipeFile.parse(mistake.text, path: "r.yaml").warnings.map(\.text)
        let found = warnings.filter { warning in mistake.says.allSatisfy(warning.contains) }
        #expect(found.count == 1, "\(warnings)")
        if let line = mistake.line { #expect(found.first?.hasPrefix("line \(line): ") == true, "\(warnings)") }
        #expect(throws: RecipeError.self) { _ = try RecipeFile.parse(mistake.text, path: "r.yaml", strict: true) }
    }

    /// What is right is not warned of.
    @Test func saysNothingOfRecipesInOrder() throws {
        let recipe = try RecipeFile.parse(
            """
            merge_method: linear
            models:
              - model: org/One-v0.1
                parameters: { weight: [0, 1e-1] }
              - model: other/One-v0.1
            parameters: { weight: 0.5 }
            dtype: torch.bfloat16
            tokenizer: { source: org/One-v0.1 }
            chat_template: "{{ messages }}"
            """, path: "r.yaml", strict: true)
        #expect(recipe.warnings.isEmpty)
        #expect(recipe.experts.map(\.name) == ["org/One-v0.1", "other/One-v0.1"])
        #expect(recipe.outputDType == .bf16)
        #expect(recipe.tokenizerModel?.reference.text == "org/One-v0.1")
        #expect(recipe.tokenizer == .model(0))
        #expect(recipe.chatTemplate == .text("{{ messages }}"))
        #expect(recipe.slices[0].experts[0].parameters == ["weight": .gradient([.number(0), .number(0.1)])])
        let plain = try RecipeFile.parse(
            "merge_method: average\nmodels: [{ model: mistralai/Mistral-7B-v0.1 }, { model: x/b.safetensors }]\n",
            path: "r.yaml", strict: true)
        #expect(plain.experts.map(\.name) == ["Mistral-7B-v0.1", "b"])
    }
}
