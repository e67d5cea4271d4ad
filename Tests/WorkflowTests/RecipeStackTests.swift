import Checkpoints
import Merging
import Recipes
import Synchronization
import SystemPackage
import TensorCore
import Work
import Testing
import TestSupport
import Workflow

/// Slices, gradients and filters on models whose results are worked out by hand.
@Suite struct RecipeStackTests {
    private let folder = TemporaryFolder()

    /// Models of one number per tensor: layer `i` of model `a` is 10 + i, of `b` 20 + i; embeddings 1 and 2, norms 3 and 4.
    init() throws {
        for (name, first) in [("a", 0), ("b", 1)] as [(String, Float)] {
            let layers = (0..<4).map { layer in
                TestTensor(TensorName("model.layers.\(layer).w"), [1], [10 + 10 * first + Float(layer)])
            }
            try folder.checkpoint(
                "\(name).safetensors",
                [TestTensor("model.norm.weight", [1], [3 + first])] + layers
                    + [TestTensor("model.embed_tokens.weight", [1], [1 + first])])
        }
    }

    private func stage(_ text: String) throws -> MergeJob {
        let recipe = try RecipeFile.parse(text, path: folder.file("r.yaml"))
        return try MergeJob(
            recipe, stores: try recipe.stores(warn: { _ in }) { try TensorStore(opening: $0) }, in: testContext)
    }

    /// The one number of every tensor.
    private func merged(_ text: String) throws -> [String: Float] {
        let store = try stage(text).merged().store
        var values: [String: Float] = [:]
        for descriptor in store.descriptors {
            values[descriptor.name.text] = try store.bytes(of: descriptor.name)?.withUnsafeBytes {
                $0.loadUnaligned(as: Float.self)
            }
        }
        return values
    }

    /// LiNeS measures the change from the base under methods that take none: with α 0.5 and β 0.5 half of it outside of layers
    /// and in the first, all of it in the last.
    @Test(arguments: ["linear", "average", "passthrough", "karcher"])
    func scalesByDepthUnderMethodsWithoutBase(method: String) throws {
        let lines = "base_model: a.safetensors\nparameters: { lines_alpha: 0.5, lines_beta: 0.5 }\n"
        let expected: [String: Float] = [
            "model.embed_tokens.weight": 1.5, "model.layers.0.w": 15, "model.layers.1.w": 11 + 20 / 3,
            "model.layers.2.w": 12 + 25 / 3, "model.layers.3.w": 23, "model.norm.weight": 3.5,
        ]
        let models = try merged("merge_method: \(method)\n\(lines)models: [{ model: b.safetensors }]\n")
        let slices = try merged(
            "merge_method: \(method)\n\(lines)slices: [{ sources: [{ model: b.safetensors, layer_range: [0, 4] }] }]\n")
        for values in [models, slices] {
            #expect(values.count == expected.count)
            for (name, value) in expected { #expect(abs((values[name] ?? .nan) - value) < 1e-4, "\(name)") }
        }
        #expect(try stage("merge_method: \(method)\n\(lines)models: [{ model: b.safetensors }]\n").warnings.isEmpty)
    }

    /// A base that is listed is merged, too: the mean of both, and half of what it is away from the base.
    @Test func scalesTheChangeOfAListedBase() throws {
        let values = try merged(
            """
            merge_method: linear
            base_model: a.safetensors
            models: [{ model: a.safetensors }, { model: b.safetensors }]
            parameters: { weight: 1, lines_alpha: 0.5 }
            """)
        #expect(values["model.layers.3.w"] == 15.5 && values["model.norm.weight"] == 3.25)
    }

    @Test func tellsTheLineOfWhatThePlanRefuses() throws {
        try folder.checkpoint("c.safetensors", [TestTensor("model.norm.weight", [2], [1, 2])])
        let models = "models: [{ model: a.safetensors }, { model: c.safetensors }]"
        let ties = "merge_method: ties\nbase_model: b.safetensors\nmodels: [{ model: a.safetensors }]\n"
        for (text, code, line) in [
            ("merge_method: linear\n\(models)\n", "merge.incompatible", 2),
            (ties + "dtype: float32\nparameters:\n  trim_scope: [tensor, model]\n", "merge.bad_parameter", 6),
            (ties + "parameters:\n  rescale: true\n  trim_scope: model\n", "merge.bad_parameter", 5),
        ] {
            let error = try #require(throws: RecipeError.self) { _ = try stage(text) }
            #expect(error.code == code && error.line == line, "\(error.message)")
        }
    }

    /// Layers 2 and 3 of a, then 0 to 2 of b: embeddings from the first slice, the norm from the last.
    @Test func stacksLayers() throws {
        let text = """
            merge_method: passthrough
            slices:
              - sources: [{ model: a.safetensors, layer_range: [2, 4] }]
              - sources: [{ model: b.safetensors, layer_range: [0, 3], parameters: { scale: [2, 4] } }]
            """
        #expect(
            try merged(text) == [
                "model.embed_tokens.weight": 1, "model.layers.0.w": 12, "model.layers.1.w": 13,
                // The gradient runs over the slice: 2, 3, 4; the norm has its first value.
                "model.layers.2.w": 40, "model.layers.3.w": 63, "model.layers.4.w": 88, "model.norm.weight": 8,
            ])
        let stage = try stage(text)
        #expect(stage.plan.plans.count == 2)
        #expect(stage.plan.summary.elementwiseCount == 7)
        #expect(stage.plan.summary.outputByteCount == 28)
    }

    /// What is done adds up over the slices to what was announced.
    @Test func countsProgressOverSlices() throws {
        let plan = try stage(
            """
            merge_method: slerp
            base_model: a.safetensors
            parameters: { t: 0.5 }
            slices:
              - sources:
                  - { model: a.safetensors, layer_range: [0, 3] }
                  - { model: b.safetensors, layer_range: [1, 4] }
              - sources:
                  - { model: a.safetensors, layer_range: [0, 1] }
                  - { model: b.safetensors, layer_range: [0, 1] }
            """
        ).plan
        let done = Mutex<[Int]>([])
        let writer = try MemoryCheckpointWriter(declaring: plan.outputs)
        _ = try plan.execute(into: writer) { count in done.withLock { $0.append(count) } }
        let counts = done.withLock { $0 }
        #expect(counts == counts.sorted())
        #expect(counts.last == plan.summary.progressByteCount)
        // A pass to compare and one to merge, over two tensors of each of six names.
        #expect(plan.summary.passCount == 2)
        #expect(plan.summary.progressByteCount == 2 * 6 * 4)
        #expect(plan.summary.inputByteCount == 2 * 6 * 4)
    }

    /// Under the name that it has in the model, once, wherever its copies are in the result.
    @Test func namesLayersWithNaNAsTheirModelDoes() throws {
        let path = try folder.checkpoint(
            "c.safetensors", (0..<2).map { TestTensor(TensorName("model.layers.\($0).w"), [1], [$0 == 1 ? .nan : 1]) })
        let report = try stage(
            """
            merge_method: passthrough
            slices:
              - sources: [{ model: c.safetensors, layer_range: [0, 2] }]
              - sources: [{ model: c.safetensors, layer_range: [1, 2] }]
            """
        ).merged().report
        #expect(report.notFinite.map(\.tensor) == ["model.layers.1.w"])
        #expect(report.notFinite[0].file == path.string && report.notFinite[0].count.nan == 1)
        let named = report.warnings.filter { $0.text.contains("model.layers.1.w") && $0.text.hasSuffix("holds 1 NaN") }
        #expect(named.count == 1)
        #expect(report.warnings.map(\.text).contains("2 numbers of the result are NaN"))
    }

    /// A threshold for the whole model is one for each slice.
    @Test func warnsOfWhatIsMeasuredOverSlices() throws {
        func warnings(_ method: String, _ parameters: String, slices: [String]) throws -> [String] {
            let slices = slices.map {
                "  - sources: [{ model: a.safetensors, layer_range: \($0) }, { model: b.safetensors, layer_range: \($0) }]\n"
            }
            return try stage(
                "merge_method: \(method)\nbase_model: a.safetensors\nparameters: \(parameters)\nslices:\n\(slices.joined())"
            ).plan.summary.warnings.map(\.text)
        }
        let model = "{ density: 0.5, trim_scope: model }"
        let found = try warnings("ties", model, slices: ["[0, 2]", "[2, 4]"])
        #expect(found.count == 1 && found[0].contains("each of the 2 slices is merged on its own"), "\(found)")
        #expect(try warnings("ties", model, slices: ["[0, 4]"]).isEmpty)
        #expect(try warnings("ties", "{ density: 0.5 }", slices: ["[0, 2]", "[2, 4]"]).isEmpty)
        #expect(try warnings("knots_ties", "{ density: 0.5 }", slices: ["[0, 2]", "[2, 4]"]).count == 1)
        #expect(try warnings("knots_ties", "{ density: 1 }", slices: ["[0, 2]", "[2, 4]"]).isEmpty)
    }

    /// Filters of a model go by its own layer numbers, those of the whole slice by the result's.
    @Test func filtersGoByInputAndOutputNames() throws {
        let slices = """
            merge_method: task_arithmetic
            base_model: a.safetensors
            slices:
              - sources:
                  - { model: a.safetensors, layer_range: [0, 1] }
                  - { model: b.safetensors, layer_range: [0, 1] }
              - sources:
                  - { model: a.safetensors, layer_range: [1, 3] }
                  - model: b.safetensors
                    layer_range: [2, 4]
                    parameters:
                      weight: [{ filter: layers.3., value: 2 }, { value: 1 }]
            parameters:
              lambda: [{ filter: layers.1., value: 0 }, { filter: layers, value: 0.5 }, { filter: "*", value: 1 }]

            """
        // Layer 2: 12 + 0.5 · 2 · (23 − 12).
        #expect(
            try merged(slices) == [
                "model.embed_tokens.weight": 2, "model.layers.0.w": 15, "model.layers.1.w": 11, "model.layers.2.w": 23,
                "model.norm.weight": 4,
            ])
    }

    /// Five values over four layers; one value each for what is outside of layers.
    @Test func gradientsRunOverLayers() throws {
        let text = """
            merge_method: linear
            models:
              - { model: a.safetensors, parameters: { weight: [1, 0] } }
              - { model: b.safetensors, parameters: { weight: [0, 1] } }
            """
        let third: Float = 10.0 / 3
        let values = try merged(text)
        for (layer, expected) in [10, 11 + third, 12 + 2 * third, 23].enumerated() {
            #expect(abs((values["model.layers.\(layer).w"] ?? 0) - expected) < 1e-5)
        }
        #expect(values["model.embed_tokens.weight"] == 1)
        #expect(values["model.norm.weight"] == 3)
    }

    /// `--set` goes before everything that the recipe says, also under models.
    @Test func settingsGoFirst() throws {
        let recipe = try RecipeFile.parse(
            "merge_method: linear\nmodels:\n  - { model: a.safetensors, parameters: { weight: [1, 0] } }\n"
                + "  - { model: b.safetensors, parameters: { weight: 9 } }\n", path: folder.file("r.yaml"))
        let store = try MergeJob(
            recipe, stores: try recipe.stores(warn: { _ in }) { try TensorStore(opening: $0) },
            settings: ["weight": .list([.number(0), .number(1)])], in: testContext
        ).merged().store
        #expect(try store.bytes(of: "model.layers.3.w")?.withUnsafeBytes { $0.loadUnaligned(as: Float.self) } == 23)
    }

    @Test(
        arguments: [
            ("a.safetensors, layer_range: [2, 5]", "recipe.bad_value", "beyond the 4 layers"),
            ("flat.safetensors, layer_range: [0, 1]", "recipe.unsupported", "no layers"),
            (
                "towers.safetensors, layer_range: [0, 1]", "recipe.unsupported",
                "2 stacks of layers (text.layers., vision.)"
            ),
        ]) func namesTheLineOfLayersThatAreNotThere(source: String, code: String, problem: String) throws
    {
        try folder.checkpoint("flat.safetensors", [TestTensor("layers.0", [1], [1])])
        try folder.checkpoint(
            "towers.safetensors", [TestTensor("text.layers.0.w", [1], [1]), TestTensor("vision.0.w", [1], [1])])
        let text = "merge_method: passthrough\nslices:\n  - sources:\n    - { model: \(source) }\n"
        var failure: RecipeError?
        do { _ = try stage(text) } catch { failure = error as? RecipeError }
        let error = try #require(failure)
        #expect(error.code == code)
        #expect(error.line == 4)
        #expect(error.message.contains(problem))
    }

    /// Where a method needs one value for all tensors, a gradient would be ignored, so it is refused.
    @Test func refusesGradientsOfWhatHoldsForTheWholeMerge() throws {
        let text = """
            merge_method: nuslerp
            models: [{ model: a.safetensors }, { model: b.safetensors }]
            parameters: { nuslerp_flatten: [true, false] }
            """
        #expect(code { _ = try stage(text) } == "merge.bad_parameter")
    }

    /// Errors that only a tensor brings to light have a line, too.
    @Test func namesTheLineOfWeightsThatCancel() throws {
        let text = """
            merge_method: linear
            models:
              - { model: a.safetensors, parameters: { weight: [1, -1] } }
              - { model: b.safetensors, parameters: { weight: 1 } }
            """
        var failure: RecipeError?
        do { _ = try stage(text) } catch { failure = error as? RecipeError }
        #expect(failure?.code == "merge.bad_parameter")
        #expect(failure?.tensor == "model.layers.3.w")
        // Where the recipe last speaks of a weight.
        #expect(failure?.line == 4)
    }

    @Test func knowsLayersByTheirNames() {
        let name = LayerName("model.layers.17.mlp.experts.3.up.weight")
        #expect(name?.prefix == "model.layers.")
        #expect(name?.number == 17)
        #expect(name?.inLayer(4) == "model.layers.4.mlp.experts.3.up.weight")
        for outside in ["lm_head.weight", "layers.3", "3.weight", "a.1x.b", "a..b", "a.99999999999999999999.b"] {
            #expect(LayerName(TensorName(outside)) == nil, "\(outside)")
        }
        #expect(LayerName("a.99999999999999999999.7.b")?.number == 7)
    }

    /// Different vocabularies cannot be joined; equal ones need not be.
    @Test func joinsVocabulariesThatAreEqual() throws {
        for (model, tokenizer) in [
            ("one", #"{"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 2, "content": "c"}]}"#),
            ("two", #"{"model": {"vocab": {"b": 1, "a": 0, "c": 2}}, "padding": 3}"#),
            ("other", #"{"model": {"vocab": {"a": 1, "b": 0, "c": 2}}}"#), ("none", nil),
        ] {
            try folder.makeFolder(model)
            try folder.checkpoint("\(model)/model.safetensors", [TestTensor("embed.weight", [3, 1], [1, 2, 3])])
            if let tokenizer { try folder.write(tokenizer, to: "\(model)/tokenizer.json") }
        }
        func result(_ models: String..., source: String) -> String? {
            let list = models.map { "{ model: \($0) }" }.joined(separator: ", ")
            return code {
                _ = try stage("merge_method: linear\nmodels: [\(list)]\ntokenizer_source: \(source)\n")
            }
        }
        #expect(result("one", "two", source: "union") == nil)
        #expect(result("one", "two", source: "base") == nil)
        #expect(result("one", "other", source: "union") == "recipe.unsupported")
        #expect(result("one", "other", source: "base") == "recipe.unsupported")
        #expect(result("one", "two", source: "other") == "recipe.unsupported")
        #expect(result("one", "none", source: "union") == "recipe.unsupported")
        #expect(result("one", "none", source: "base") == nil)
    }
}
