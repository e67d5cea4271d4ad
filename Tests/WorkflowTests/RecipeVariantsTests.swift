import Recipes
import TensorCore
import Testing

@Suite struct RecipeVariantsTests {
    private func variants(_ text: String) throws -> [RecipeVariant] {
        try RecipeVariants.parse("base_model: b\nmodels: [{ model: x }, { model: y }]\n" + text, path: "r.yaml")
    }

    private func summaries(_ text: String) throws -> [String] {
        try variants(text).map { $0.choices.map { "\($0.key)=\($0.value)" }.joined(separator: " ") }
    }

    private func code(_ text: String) -> String? {
        do {
            _ = try variants(text)
            return nil
        } catch { return (error as? any Diagnostic)?.code }
    }

    @Test func takesEveryCombinationInTheOrderOfTheFile() throws {
        let text = "merge_method: [ties, task_arithmetic]\nparameters: { lambda: [0.2, 0.3] }"
        #expect(
            try summaries(text) == [
                "merge_method=ties lambda=0.2", "merge_method=ties lambda=0.3",
                "merge_method=task_arithmetic lambda=0.2", "merge_method=task_arithmetic lambda=0.3",
            ])
        let recipes = try variants(text).map(\.recipe)
        #expect(recipes.map(\.mergeMethod) == ["ties", "ties", "task_arithmetic", "task_arithmetic"])
        #expect(recipes.map { $0.parameters["lambda"] } == [0.2, 0.3, 0.2, 0.3].map { .value(.number($0)) })
    }

    @Test func aRecipeWithoutListsIsOne() throws {
        let variants = try variants("merge_method: ties\nparameters: { density: 0.5 }")
        #expect(variants.count == 1)
        #expect(variants[0].choices.isEmpty)
    }

    /// `density` belongs to TIES alone, so task arithmetic is one merge and not two.
    @Test func leavesOutParametersOfOtherMethods() throws {
        let text = "merge_method: [ties, task_arithmetic]\nparameters: { density: [0.2, 0.5] }"
        #expect(
            try summaries(text) == [
                "merge_method=ties density=0.2", "merge_method=ties density=0.5", "merge_method=task_arithmetic",
            ])
        #expect(try variants(text).flatMap(\.recipe.warnings).isEmpty)
    }

    @Test func resolvesOrNot() throws {
        let variants = try variants(
            "merge_method: ties\nresolve:\n  - none\n  - { auxiliary: noise, steps: 7 }\n  - { auxiliary: noise }\n")
        #expect(variants.map { $0.recipe.resolve?.options.steps } == [nil, 7, 250])
        #expect(variants.map { $0.choices.map(\.value) } == [["none"], ["steps 7"], ["RI"]])
    }

    @Test func aGradientIsAnElementOfAList() throws {
        let recipes = try variants("merge_method: ties\nparameters: { density: [0.2, [0.1, 0.9]] }").map(\.recipe)
        #expect(
            recipes.map { $0.parameters["density"] } == [
                .value(.number(0.2)), .gradient([.number(0.1), .number(0.9)]),
            ])
        // Carried out, the same list is a gradient itself.
        let recipe = try RecipeFile.parse(
            "merge_method: ties\nbase_model: b\nmodels: [{ model: x }]\nparameters: { density: [0.2, 0.4] }", path: "r")
        #expect(recipe.parameters["density"] == .gradient([.number(0.2), .number(0.4)]))
    }

    @Test func saysWhatCannotBe() {
        #expect(code("merge_method: []") == "recipe.bad_value")
        #expect(code("merge_method: [ties, tie]") == "merge.unknown_method")
        #expect(code("merge_method: ties\nparameters: { density: [0.2, x] }") != nil)
        let many = "[" + (0..<40).map { "0.\($0)" }.joined(separator: ", ") + "]"
        #expect(code("merge_method: ties\nparameters: { density: \(many), lambda: \(many) }") == "recipe.unsupported")
        #expect(code("merge_method: ties\n---\nmerge_method: ties") == "recipe.unsupported")
    }

    @Test(arguments: ["merge_method: [ties, linear]", "merge_method: ties\nresolve: [none]"])
    func whatIsCarriedOutIsOneRecipe(text: String) {
        let text = "base_model: b\nmodels: [{ model: x }]\n" + text
        let error = #expect(throws: RecipeError.self) { try RecipeFile.parse(text, path: "r.yaml") }
        #expect(error?.code == "recipe.bad_value")
        #expect(error?.hint?.contains("untangle compare") == true)
        #expect((error?.line ?? 0) >= 3)
    }
}
