import Checkpoints
import Kernels
import Merging
import Recipes
import SystemPackage
import TensorCore
import Work
import Testing
import TestSupport
import Workflow

/// Recipes as mergekit's users publish them, run unchanged on toy models with the names that they speak of, and compared with
/// what mergekit makes of them.
@Suite struct RecipeReferenceTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        let isCompared: Bool
        let tensorCount: Int
        let layerCount: Int
        var testDescription: String { name }
        var path: FilePath { Fixtures.path("recipes/configs/\(name).yaml") }
    }

    static let cases = ((try? RecipeToyModels.lines(of: "references.tsv")) ?? []).compactMap { fields -> Case? in
        guard fields.count == 4, let tensors = Int(fields[2]), let layers = Int(fields[3]) else { return nil }
        return Case(name: fields[0], isCompared: fields[1] == "compared", tensorCount: tensors, layerCount: layers)
    }

    @Test func theListIsWhole() {
        #expect(Self.cases.count == 31)
        #expect(Self.cases.filter(\.isCompared).count == 27)
    }

    /// Merges in memory, intermediate documents first.
    private func merge(_ test: Case) throws -> TensorStore {
        let models = try #require(RecipeToyModels.folder)
        let book = try RecipeBook.load(test.path).located(modelsFolder: models.path, intermediateFolder: "none")
        var finished: [FilePath: TensorStore] = [:]
        func stage(_ recipe: Recipe) throws -> MergeJob {
            // mergekit rounds inputs to `dtype`; its references are of F32, so that what is compared is the merge.
            try MergeJob(
                recipe, stores: try recipe.stores(warn: { _ in }) { try finished[$0] ?? TensorStore(opening: $0) },
                outputDType: .f32,
                in: testContext)
        }
        for recipe in book.intermediates {
            finished[try #require(recipe.output?.path)] = try stage(recipe).merged().store
        }
        return try stage(book.final).merged().store
    }

    @Test(arguments: cases) func mergesAsMergekitDoes(test: Case) throws {
        let merged = try merge(test)
        #expect(merged.descriptors.count == test.tensorCount)
        #expect(LayerStack.all(in: merged.descriptors).map(\.count) == [test.layerCount])
        guard test.isCompared else { return }
        let expected = try TensorStore(opening: Fixtures.path("recipes/references/\(test.name).safetensors"))
        #expect(expected.descriptors.count >= 6 * 9 + 3)
        for descriptor in expected.descriptors {
            let ours = try floats(merged, descriptor.name)
            let theirs = try floats(expected, descriptor.name)
            #expect(ours.count == theirs.count)
            // Entries are up to 0.06 and roundings of F32 are 2^-29 of that; angles of SLERP and Karcher means amplify them.
            let difference = zip(ours, theirs).map { abs($0 - $1) }.max() ?? 0
            #expect(difference <= 0x1p-24, "\(descriptor.name): \(difference)")
        }
    }

    private func floats(_ store: TensorStore, _ name: TensorName) throws -> [Float] {
        try #require(try store.bytes(of: name)).withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    /// Types of the result: `out_dtype` before `dtype`.
    @Test func writesTheTypesThatAreAskedFor() throws {
        let models = try #require(RecipeToyModels.folder)
        for (name, dtype) in [("13_linear_out_dtype", DType.bf16), ("06_linear", .f16)] {
            let recipe = try RecipeFile.load(Fixtures.path("recipes/configs/\(name).yaml"))
            let located = try ModelLocator(modelsFolder: models.path).locate(recipe)
            let stage = try MergeJob(
                located, stores: located.stores(warn: { _ in }) { try TensorStore(opening: $0) }, in: testContext)
            #expect(Set(stage.plan.outputs.map(\.dtype)) == [dtype])
        }
    }

    /// What the public recipes are warned of, and nothing else.
    @Test func warnsOfWhatHasNoEffect() throws {
        var warned: [String: [String]] = [:]
        for test in Self.cases {
            let book = try RecipeBook.load(test.path)
            if !book.warnings.isEmpty { warned[test.name] = book.warnings.map(\.text) }
        }
        #expect(
            warned.mapValues(\.count) == [
                "02_ties_gradients": 1, "03_dare_ties_base_listed": 1, "10_dare_linear": 1, "11_breadcrumbs_ties": 1,
                "16_sce": 3, "18_ties_union": 1, "25_linear_base_joins": 1,
            ])
        #expect(warned["10_dare_linear"] == ["line 13: unknown key \"random_seed\" in the recipe, ignored"])
    }
}
