import Checkpoints
import Experts
import Interference
import Merging
import Networks
import Recipes
import SystemPackage
import TensorCore
import Work
import Testing
import TestSupport
import Workflow

@Suite struct RecipeFileTests {
    /// Two experts and a base under a method.
    private static func recipe(_ method: String = "task_arithmetic", _ more: String = "", models: String = "") -> String
    {
        """
        merge_method: \(method)
        base_model: base.safetensors
        models:
          - model: a.safetensors
          - model: sub/b.safetensors
        \(models)\(more)
        """
    }

    private func parse(_ text: String, strict: Bool = false) throws(RecipeError) -> Recipe {
        try RecipeFile.parse(text, path: "some/folder/recipe.yaml", strict: strict)
    }

    private func failure(of text: String, strict: Bool = false) -> RecipeError? {
        do throws(RecipeError) {
            _ = try parse(text, strict: strict)
            return nil
        } catch { return error }
    }

    @Test func readsEveryKey() throws {
        let recipe = try parse(
            """
            merge_method: ties
            base_model: /abs/base.safetensors
            name: ignored by design
            models:
              - model: experts/digits.safetensors
                name: d
                head: heads/d.safetensors
                data: ../test/d.npz
                parameters: { weight: 0.5, density: 1e-1 }
              - model: experts/letters
            parameters:
              lambda: 0.25
              density: 0.2
              trim_scope: model
              normalize: false
            dtype: bfloat16
            out_dtype: float32
            resolve:
              auxiliary: aux.npz
              steps: 7
              batch_size: 3
              learning_rate: 1e-5
              weight_decay: 0.5
              alpha: 2
              distance: mse
              schedule: cosine
              shuffle: yes
              seed: 11
              output: adapted
            output: out/merged.npz
            report: [out/report.html, /abs/r.md]
            """)
        #expect(recipe.mergeMethod == "ties")
        #expect(recipe.baseModel?.path == "/abs/base.safetensors")
        #expect(
            recipe.experts.map(\.path) == ["some/folder/experts/digits.safetensors", "some/folder/experts/letters"])
        #expect(recipe.experts.map(\.name) == ["d", "letters"])
        #expect(recipe.experts[0].head == "some/folder/heads/d.safetensors")
        #expect(recipe.experts[0].data == "some/test/d.npz")
        #expect(recipe.experts[1].head == nil)
        #expect(
            recipe.parameters
                == [
                    "lambda": .value(.number(0.25)), "density": .value(.number(0.2)),
                    "trim_scope": .value(.text("model")), "normalize": .value(.flag(false)),
                ])
        #expect(
            recipe.slices.map { $0.experts.map(\.parameters) } == [
                [["weight": .value(.number(0.5)), "density": .value(.number(0.1))], [:]]
            ])
        #expect(recipe.outputDType == .f32)
        let resolve = try #require(recipe.resolve)
        #expect(resolve.auxiliary == .file("some/folder/aux.npz"))
        #expect(
            resolve.options
                == ResolverOptions(
                    steps: 7, batchSize: 3, learningRate: 1e-5, weightDecay: 0.5, alpha: 2, distance: .mse,
                    schedule: .cosine, shuffle: true, seed: 11))
        #expect(resolve.output == "some/folder/adapted")
        #expect(recipe.output?.path == "some/folder/out/merged.npz")
        #expect(recipe.output?.isFolder == false)
        #expect(recipe.reports == ["some/folder/out/report.html", "/abs/r.md"])
        #expect(
            recipe.warnings.map(\.text) == [
                "line 10: no weight is given for experts/letters, and 1 is taken where none applies; mergekit refuses this"
            ])
    }

    @Test func keepBaseIsAPatternOrAList() throws {
        #expect(try parse(Self.recipe()).keepBase == [])
        #expect(try parse(Self.recipe("ties", "keep_base: 'tower.*'")).keepBase == ["tower.*"])
        #expect(
            try parse(Self.recipe("ties", "keep_base: ['tower.*', conv_in.weight]")).keepBase == [
                "tower.*", "conv_in.weight",
            ])
        #expect(try parse(Self.recipe("ties", "keep_base:")).keepBase == [])
        for text in ["keep_base: { a: b }", "keep_base: [[a]]", "keep_base: [a, ~]"] {
            let error = failure(of: Self.recipe("ties", text))
            #expect(error?.code == "recipe.bad_value" && error?.line == 6)
        }
        #expect(
            failure(of: Self.recipe("ties", "keepbase: a"), strict: true)?.message.contains("did you mean keep_base?")
                == true)
    }

    @Test func noiseAndPresetAndFolders() throws {
        let recipe = try parse(
            Self.recipe(
                "tsv_m",
                """
                resolve: { auxiliary: noise, auxiliary_count: 64, seed: 3, preset: paper, steps: 9 }
                output: merged/
                """))
        let resolve = try #require(recipe.resolve)
        #expect(resolve.auxiliary == AuxiliarySource("noise", count: 64, seed: 3))
        var options = ResolverPreset.paper.options
        options.steps = 9
        options.seed = 3
        #expect(resolve.options == options && options.batchSize == 128 && options.learningRate == 1e-6)
        #expect(recipe.output?.isFolder == true)
    }

    /// Keys of a mapping go before those under `<<`, and of these the first.
    @Test func takesInMappings() throws {
        let recipe = try parse(
            """
            x-one: &one { weight: 0.25, density: 0.5 }
            x-two: &two { weight: 0.75, density: 0.125 }
            merge_method: ties
            base_model: base.safetensors
            models:
              - model: a.safetensors
                parameters: { <<: *one, weight: 1 }
              - model: b.safetensors
                parameters: { <<: [*two, *one] }
              - { <<: { model: c.safetensors } }
            """)
        #expect(
            recipe.slices[0].experts.map(\.parameters) == [
                ["weight": .value(.number(1)), "density": .value(.number(0.5))],
                ["weight": .value(.number(0.75)), "density": .value(.number(0.125))], [:],
            ])
        #expect(recipe.experts.map(\.name) == ["a", "b", "c"])
    }

    @Test func takesAliasesOfTextsAsKeys() throws {
        let recipe = try parse(
            """
            x-key: &key weight  # *key
            x-name: &name "*key"
            merge_method: linear
            models:
              - { model: a.safetensors, name: *name, parameters: { *key : 0.5 } }
              - model: b.safetensors
                parameters:
                  *key : 2
            """)
        #expect(recipe.slices[0].experts.map { $0.parameters["weight"] } == [.value(.number(0.5)), .value(.number(2))])
        #expect(recipe.experts[0].name == "*key")
    }

    /// However a model is written, it is one; of two revisions each is a model of its own.
    @Test func namesEachModelOnce() throws {
        let recipe = try parse(
            """
            merge_method: task_arithmetic
            base_model: org/base
            slices:
              - sources:
                  - { model: ./org/a, layer_range: [0, 2] }
                  - { model: org/base, layer_range: [0, 2] }
              - sources:
                  - { model: { model: { path: org/a, revision: new } }, layer_range: [0, 2] }
                  - { model: org/a, layer_range: [0, 2] }
                  - { model: ./org/base, layer_range: [0, 2] }
            tokenizer_source: org/tokens
            """)
        #expect(recipe.models.map(\.reference.text) == ["org/base", "./org/a", "org/a", "org/tokens"])
        #expect(recipe.models.map(\.reference.revision) == [nil, nil, "new", nil])
        #expect(recipe.basePlace == 0)
        #expect(recipe.tokenizer == .model(3))
        #expect(recipe.slices.map { $0.base?.model } == [0, 0])
        #expect(recipe.slices.map { $0.experts.map(\.model) } == [[1], [2, 1]])
        #expect(recipe.expertPlaces == [1, 2])
        #expect(recipe.sourcePlaces == [0, 1, 2])
    }

    /// mergekit's recipes list the base among the models, where it is no expert.
    @Test func takesTheBaseOutOfTheModels() throws {
        let models = "  - model: ./base.safetensors\n"
        #expect(try parse(Self.recipe(models: models)).experts.map(\.name) == ["a", "b"])
        let linear = try parse(Self.recipe("linear", models: models))
        #expect(linear.experts.map(\.name) == ["a", "b", "base"])
        #expect(linear.warnings == [])
    }

    @Test func keepsTheBaseOfAMethodThatNeedsNone() throws {
        let plain = try parse(Self.recipe("linear"))
        #expect(plain.warnings.map(\.text) == ["line 2: base_model has no effect under linear"])
        let resolved = try parse(Self.recipe("average", "resolve: { auxiliary: noise }"))
        #expect(resolved.baseModel?.path == "some/folder/base.safetensors")
        #expect(resolved.warnings == [])
    }

    @Test func warnsAboutMergekitsKeysAndRefusesOurs() throws {
        let recipe = try parse(
            Self.recipe(
                "task_arithmetic",
                """
                base_modl: x
                parameters:
                  int8_mask: true
                  lamda: 0.3
                  lambda: 0.5
                """))
        #expect(
            recipe.warnings.map(\.text) == [
                "line 6: unknown key \"base_modl\" in the recipe, ignored (did you mean base_model?)",
                "line 8: method task_arithmetic has no parameter \"int8_mask\", ignored",
                "line 9: method task_arithmetic has no parameter \"lamda\", ignored (did you mean lambda?)",
            ])
        #expect(recipe.parameters == ["lambda": .value(.number(0.5))])

        let strict = failure(of: Self.recipe("task_arithmetic", "base_modl: x"), strict: true)
        #expect(strict?.code == "recipe.unknown_key")
        let refused = failure(of: Self.recipe("ties", "resolve:\n  auxiliary: noise\n  step: 3"))
        let own = try #require(refused)
        #expect(own.code == "recipe.unknown_key")
        #expect(own.line == 8)
        #expect(own.hint == "did you mean steps?")
    }

    /// PyYAML reads these words as booleans, so public recipes have them.
    @Test(arguments: ["True", "TRUE", "yes", "on", "1"]) func knowsPythonsWordsForTrue(word: String) throws {
        let recipe = try parse(Self.recipe("task_arithmetic", "parameters: { normalize: \(word) }"))
        let value = try #require(recipe.parameters["normalize"])
        #expect(value == .value(.flag(true)))
    }

    @Test(
        arguments: [
            ("", "recipe.syntax", 1), ("# nothing\n", "recipe.syntax", 1), ("- a\n", "recipe.bad_value", 1),
            ("a: [b\n", "recipe.syntax", 2), ("a: 1\na: 2\n", "recipe.syntax", 2),
            ("{ a: 1, a: 2 }\n", "recipe.syntax", 1),
            ("b:\n  - c: 1\n    a:\n      a: 1\n  # a: 3\n\n    \"a\" : 2\n", "recipe.syntax", 7),
            ("a: 1\n---\nb: 2\n", "recipe.syntax", 3),
            (String(repeating: "[", count: 100_000), "recipe.syntax", 1),
            ("merge_method: ties\n", "recipe.missing_key", nil),
            ("merge_method: ties\nmodels: []\n", "recipe.missing_key", 2),
            ("models:\n  - model: a\n", "recipe.missing_key", 1),
            ("merge_method: [ties]\nmodels:\n  - model: a\n", "recipe.bad_value", 1),
            ("merge_method: ties\nmodels:\n  - a\n", "recipe.bad_value", 3),
            ("merge_method: ties\nmodels:\n  - name: a\n", "recipe.missing_key", 3),
            ("merge_method: ties\nmodels:\n  - model:\n", "recipe.missing_key", 3),
            ("merge_method: ties\nmodels:\n  - model: \"\"\n", "recipe.bad_value", 3),
            ("merge_method: ties\nmodels:\n  - model: \"a\\0b\"\n", "recipe.bad_value", 3),
            (
                "merge_method: average\nmodels:\n  - model: x/a.npz\n  - model: y/a.npz\nresolve: { auxiliary: noise }\n",
                "recipe.duplicate_name", 4
            ),
            (
                "merge_method: average\nmodels:\n  - model: a\n    name: b\n  - model: b\n", "recipe.duplicate_name",
                5
            ),
            ("merge_method: average\nmodels:\n  - model: a\n  - model: ./a\n", "recipe.duplicate_name", 4),
            ("merge_method: linear\nmodels:\n  - model: a\ndtype: int8\n", "recipe.bad_value", 4),
            ("merge_method: linear\nmodels:\n  - model: a\nparameters: 3\n", "recipe.bad_value", 4),
            ("merge_method: linear\nmodels:\n  - model: a\noutput: x.npz\nreport: x.npz\n", "recipe.bad_value", 5),
            (
                "merge_method: linear\nmodels:\n  - model: a\noutput: x.npz\nreport: [r.md, x.npz]\n",
                "recipe.bad_value",
                5
            ), ("merge_method: linear\nmodels:\n  - model: a\nreport: [r.md, { a: b }]\n", "recipe.bad_value", 4),
            ("merge_method: linear\nmodels:\n  - model: a\n? [k]\n: v\n", "recipe.syntax", 4),
        ] as [(String, String, Int?)])
    func namesTheLineAtFault(text: String, code: String, line: Int?) throws {
        let failure = failure(of: text)
        let error = try #require(failure)
        #expect(error.code == code)
        #expect(error.line == line)
        #expect(error.file == "some/folder/recipe.yaml")
        #expect(error.severity == .badInput)
        if let line { #expect(error.message.hasPrefix("line \(line): ")) }
    }

    @Test(arguments: [
        ("resolve:", "recipe.missing_key"), ("resolve: { steps: 3 }", "recipe.missing_key"),
        ("resolve: noise", "recipe.bad_value"), ("resolve: { auxiliary: noise, steps: 0 }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, steps: 2.5 }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, batch_size: -1 }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, learning_rate: .nan }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, learning_rate: -1 }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, alpha: inf }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, weight_decay: x }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, distance: KL }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, schedule: cos }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, shuffle: maybe }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, seed: -1 }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, preset: fast }", "recipe.bad_value"),
        ("resolve: { auxiliary: noise, auxiliary_count: 0 }", "recipe.bad_value"),
        ("resolve: { auxiliary: \"\" }", "recipe.bad_value"),
    ]) func checksTheResolveSection(section: String, code: String) throws {
        let failure = failure(of: Self.recipe("ties", section))
        let error = try #require(failure)
        #expect(error.code == code)
        #expect(error.line == 6)
    }

    /// A key without a value is no key, as in recipes that mergekit has written anew.
    @Test func takesNullForAbsent() throws {
        let sources = "[{ sources: [{ model: a, layer_range: [0, 2] }], residual_weight: null }]"
        for form in [
            "slices: null\nmodels: [{ model: a }]", "models: ~\nslices: \(sources)",
            "models:\nslices:\nmodules: { default: { slices: null, models: [{ model: a }], parameters: null } }",
            "modules: { default: { slices: \(sources), models: null } }",
        ] {
            let recipe = try parse("merge_method: passthrough\nbase_model: null\n\(form)\n")
            #expect(recipe.experts.map(\.name) == ["a"], "\(form)")
            #expect(recipe.isStacked == form.contains("sources"), "\(form)")
            #expect(recipe.warnings.isEmpty, "\(recipe.warnings)")
        }
    }

    @Test func readsFilesWithAByteOrderMarkAndRefusesOtherEncodings() throws {
        let folder = TemporaryFolder()
        let text = Array(Self.recipe().utf8)
        let marked = try folder.write([0xEF, 0xBB, 0xBF] + text, to: "marked.yaml")
        #expect(try RecipeFile.load(marked).experts.count == 2)
        let latin = try folder.write(text + [0x0A, 0x23, 0xE9], to: "latin.yaml")
        #expect(code { _ = try RecipeFile.load(latin) } == "recipe.syntax")
        #expect(code { _ = try RecipeFile.load(folder.file("none.yaml")) } == "io.not_found")
    }

    @Test func readsTheExampleOfTheDocumentation() throws {
        let page = Fixtures.folder.removingLastComponent().appending("docs/recipes.md")
        let text = String(decoding: try contents(page), as: UTF8.self)
        let block = try #require(text.split(separator: "```yaml\n").dropFirst().first?.split(separator: "```").first)
        let recipe = try RecipeFile.parse(String(block), path: Fixtures.path("example.yaml"), strict: true)
        #expect(recipe.experts.map(\.name) == ["digits", "greek"])
        let named = recipe.experts.flatMap { [$0.path, $0.head, $0.data] } + [recipe.baseModel?.path]
        for path in named { #expect(fileExists(try #require(path))) }
        #expect(recipe.resolve?.options == ResolverOptions())
    }

    /// Per-model parameters go before those of the whole merge: 2 + 0.5·(3 − 2) with λ 1, worked out by hand.
    @Test func perModelParametersGoFirst() throws {
        let folder = TemporaryFolder()
        for (name, value) in [("base", 2), ("a", 3), ("b", 2)] as [(String, Float)] {
            try folder.checkpoint("\(name).safetensors", [TestTensor("x", [1], [value])])
        }
        try folder.write(
            """
            merge_method: task_arithmetic
            base_model: base.safetensors
            models:
              - { model: a.safetensors, parameters: { weight: 0.5 } }
              - { model: b.safetensors }
            parameters: { weight: 100 }
            output: out/
            """, to: "r.yaml")
        let recipe = try RecipeFile.load(folder.file("r.yaml"))
        let report = try RunJob(recipe, write: WriteOptions(sync: false)).run(in: testContext)
        #expect(report.written != nil)
        let merged = try tensors(of: folder.file("out/model.safetensors"))
        #expect(merged.map(\.bytes) == [([2.5] as [Float]).withUnsafeBytes(Array.init)])
    }
}
