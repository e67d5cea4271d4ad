import Checkpoints
import Glibc
import Kernels
import Merging
import ModelFolders
import Recipes
import SystemPackage
import TensorCore
import Testing
import TestSupport
import Work
import Workflow

@Suite struct MergedFolderTests {
    private let folder = TemporaryFolder()

    /// A small language model: two layers, a vocabulary of three, width two.
    private func layers(_ value: Float, count: Int = 2, rows: Int = 3, head: Float? = 9) -> [TestTensor] {
        var result = [TestTensor("model.embed_tokens.weight", [rows, 2], .init(repeating: value, count: rows * 2))]
        for layer in 0..<count {
            result.append(TestTensor(TensorName("model.layers.\(layer).mlp.weight"), [2, 2], [value, 1, 2, 3]))
        }
        if let head { result.append(TestTensor("lm_head.weight", [rows, 2], .init(repeating: head, count: rows * 2))) }
        return result
    }

    private func config(tied: String = "false", more: String = "") -> String {
        "{\n  \"model_type\": \"llama\",\n  \"rope_theta\": 1.0e4,\n  \"num_hidden_layers\": 2,\n"
            + "  \"tie_word_embeddings\": \(tied),\n  \"torch_dtype\": \"float32\",\(more)\n  \"vocab_size\": 3\n}\n"
    }

    @discardableResult
    private func model(_ name: String, _ tensors: [TestTensor], config: String? = nil, files: [String: String] = [:])
        throws -> TensorStore
    {
        try folder.makeFolder(name)
        try folder.checkpoint("\(name)/model.safetensors", tensors)
        try folder.write(config ?? self.config(), to: "\(name)/config.json")
        for (file, text) in files { try folder.write(text, to: "\(name)/\(file)") }
        return try TensorStore(opening: folder.file(name))
    }

    private func stage(
        _ experts: [(name: String, store: TensorStore)], base: TensorStore? = nil, dtype: DType? = nil,
        selection: TensorSelection = TensorSelection(), parameters: MergeParameters = MergeParameters()
    ) throws -> MergeJob {
        try MergeJob(
            method: base == nil ? "linear" : "task_arithmetic", base: base, experts: experts, parameters: parameters,
            selection: selection, outputDType: dtype, in: testContext)
    }

    @discardableResult
    private func write(
        _ stage: MergeJob, to name: String = "out", force: Bool = false, shards: Int? = nil,
        recipe: String? = nil, tokenizer: FilePath? = nil, chatTemplate: ChatTemplate? = nil
    ) throws -> (report: MergeReport, written: WrittenCheckpoint, folder: FolderReport?) {
        var stage = stage
        if let recipe { stage.folder.recipe = recipe }
        stage.folder.tokenizer = tokenizer
        stage.folder.chatTemplate = chatTemplate
        return try stage.write(to: try .test(folder.file(name), isFolder: true, force: force, shards: shards))
    }

    private func text(_ name: String) throws -> String {
        String(decoding: try contents(folder.file(name)), as: UTF8.self)
    }

    private func listing(_ name: String) -> [String] {
        guard let stream = opendir(folder.file(name).string) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        return names.filter { $0 != "." && $0 != ".." }.sorted()
    }

    @Test func aFolderHasAllThatMakesItAModel() throws {
        let files = [
            "tokenizer.json": "{}", "tokenizer_config.json": "{}", "generation_config.json": "{}", "vocab.json": "{}",
            "custom.py": "pass", "LICENSE": "free", "README.md": "old", "notes.pdf": "x", "pytorch_model.bin": "x",
            "trainer_state.json": "{}", ".gitattributes": "x",
        ]
        let a = try model("a", layers(1), files: files)
        let b = try model("b", layers(3), files: ["special_tokens_map.json": "{}"])
        let recipe = "# mine\nmerge_method: linear # ```\n"
        let result = try write(try stage([("a", a), ("b", b)]), recipe: recipe)
        let expected = [
            "LICENSE", "README.md", "config.json", "custom.py", "generation_config.json", "mergekit_config.yml",
            "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.json",
        ]
        #expect(listing("out") == expected)
        #expect(Set(result.written.files.compactMap { $0.lastComponent?.string }) == Set(expected))
        #expect(result.written.files.first?.lastComponent == "model.safetensors")
        #expect(result.folder?.leftOut == ["notes.pdf"])
        #expect(result.folder?.copied.contains("custom.py") == true)
        // Nothing differs, so nothing is rewritten: not a byte, and numbers keep their form.
        #expect(try text("out/config.json") == config())
        #expect(result.folder?.configChanges == [])
        #expect(try text("out/mergekit_config.yml") == recipe)
        let card = try text("out/README.md")
        #expect(card.contains("library_name: transformers"))
        #expect(card.contains("https://arxiv.org/abs/2203.05482"))
        // The fence is longer than the one inside.
        #expect(card.contains("````yaml\n# mine\n"))
        let store = try TensorStore(opening: folder.file("out"))
        #expect(store.metadata["format"] == "pt")
        #expect(store.descriptors.count == 4)
        #expect(listing(".") == ["a", "b", "out"])
    }

    /// Hashes by python-xxhash 4.1, norms by NumPy in F64, both of these fixtures.
    @Test func theCardHasHashesAndNormsOfTheInputs() throws {
        let suite = try PipelineSuite("tiny")
        let digits = try TensorStore(opening: suite.path("expert_digits.safetensors"))
        let letters = try TensorStore(opening: suite.path("expert_latin_lower.safetensors"))
        let result = try write(
            try stage([("digits", digits), ("letters", letters)]), shards: 60_000)
        let card = try text("out/README.md")
        #expect(card.contains("`dc37ea8dd3a107db062c791cad598bc0`"))
        #expect(card.contains("| digits | 34.92 |"))
        let sanity = try #require(result.folder?.sanity)
        let norms = try sanity.inputs.map { try #require($0.norm) }
        #expect(abs(norms[0] - 34.924653182342006) < 1e-9)
        #expect(abs(norms[1] - 34.983468351175716) < 1e-9)
        #expect(abs(sanity.norm - 34.91504989870939) < 1e-5)
        #expect((sanity.nanCount, sanity.infinityCount) == (0, 0) && sanity.losses.isZero)
        #expect(listing("out").filter { $0.hasPrefix("model-") }.count > 1)
        // Beside other checkpoints only what is known by name goes along.
        #expect(
            listing("out").filter { !$0.hasPrefix("model") } == ["README.md", "config.json", "mergekit_config.yml"])
    }

    /// In a stack the layers have other numbers than in the models, and every model is measured by what it gave.
    @Test func aStackIsComparedWithWhatItWasStackedFrom() throws {
        try model("a", layers(1))
        // Layer 1 of b is ten times as long as its layer 0.
        var other = layers(1, head: 18)
        other[2] = TestTensor(other[2].name, [2, 2], [10, 10, 20, 30])
        try model("b", other)
        let text = """
            merge_method: passthrough
            slices:
              - sources: [{ model: a, layer_range: [0, 2] }]
              - sources: [{ model: b, layer_range: [1, 2], parameters: { scale: 0.5 } }]
              - sources: [{ model: a, layer_range: [0, 1] }]
            """
        let recipe = try RecipeFile.parse(text, path: folder.file("r.yaml"))
        let stage = try MergeJob(
            recipe, stores: try recipe.stores(warn: { _ in }) { try TensorStore(opening: $0) }, in: testContext)
        let result = try write(stage)
        let sanity = try #require(result.folder?.sanity)
        // a: embeddings 6 times 1, layers 0, 1 and 0 with 1, 1, 4, 9 each, head 6 times 81. b: layer 1, halved.
        let norms = try sanity.inputs.map { try #require($0.norm) }
        #expect(abs(norms[0] * norms[0] - (6 + 3 * 15 + 486)) < 1e-9)
        #expect(sanity.inputs[0].ratio == 1)
        #expect(abs(norms[1] * norms[1] - 1500) < 1e-9)
        #expect(sanity.inputs[1].ratio == 0.5)
        #expect(abs(sanity.norm * sanity.norm - (6 + 3 * 15 + 375 + 486)) < 1e-9)
        #expect(sanity.least?.tensor == "model.layers.2.mlp.weight")
        #expect((sanity.least?.ratio, sanity.most?.ratio) == (0.5, 1))
        #expect(result.folder?.configChanges == ["num_hidden_layers = 4"])
    }

    @Test func oddNumbersOfTheResultAreCounted() throws {
        var odd = layers(1)
        odd[1] = TestTensor(odd[1].name, [2, 2], [.nan, .infinity, 1e6, 1e-9])
        let a = try model("a", odd)
        let result = try write(try stage([("a", a)], dtype: .f16))
        let sanity = try #require(result.folder?.sanity)
        // The number too large for F16 is an infinity of the result, too.
        #expect((sanity.nanCount, sanity.infinityCount) == (1, 2))
        #expect(sanity.losses == CastLosses(overflowCount: 1, underflowCount: 1))
        #expect(try text("out/README.md").contains("| became zero in the output type | 1 |"))
        #expect(try text("out/config.json") == config().replacing("float32", with: "float16"))
        #expect(try text("out/README.md").contains("| a | NaN | NaN |"))
    }

    @Test func layersAndVocabularyOfTheConfigFollowTheTensors() throws {
        let a = try model("a", layers(1), config: config(more: "\n  \"layer_types\": [\"x\", \"y\"],"))
        let fewer = TensorSelection(exclude: ["model.layers.1.*"])
        let result = try write(try stage([("a", a)], selection: fewer))
        #expect(result.folder?.configChanges == ["num_hidden_layers = 1"])
        #expect(try text("out/config.json").contains("\"num_hidden_layers\": 1,"))
        #expect(result.report.warnings.count == 1)
        #expect(result.report.warnings.contains { $0.text.contains("layer_types") })
    }

    @Test func tensorsThatTheModelNeedsAreMissed() throws {
        let a = try model("a", layers(1))
        let result = try write(try stage([("a", a)], selection: TensorSelection(exclude: ["lm_head*"])))
        #expect(
            result.report.warnings.map(\.text) == [
                "the result lacks 1 tensor that a has, such as \"lm_head.weight\": transformers will fill in random numbers, "
                    + "unless --keep-base 'lm_head.*' takes them along"
            ])
    }

    @Test func headsThatAreTheEmbeddingsAreWrittenOnce() throws {
        let tied = config(tied: "true")
        let a = try model("a", layers(1, head: 1), config: tied)
        let b = try model("b", layers(3, head: 3), config: tied)
        let result = try write(try stage([("a", a), ("b", b)]))
        #expect(result.report.warnings.isEmpty)
        let store = try TensorStore(opening: folder.file("out"))
        #expect(store.index(of: "lm_head.weight") == nil)
        #expect(store.descriptors.count == 3)
        #expect(try text("out/config.json") == tied)
    }

    @Test func aMissingHeadIsTakenFromTheEmbeddings() throws {
        let a = try model("a", layers(1, head: nil), config: config(tied: "true"))
        let b = try model("b", layers(3, head: 5))
        let result = try write(try stage([("a", a), ("b", b)]))
        // That one says they are tied and one not is no news: the result says what is true of it.
        #expect(result.report.warnings.count == 1)
        #expect(result.report.warnings.contains { $0.text.contains("a has no \"lm_head.weight\"") })
        let head = try #require(try tensors(of: folder.file("out")).first { $0.name == "lm_head.weight" })
        // (1 + 5) / 2
        #expect(head.bytes == [Float](repeating: 3, count: 6).withUnsafeBytes(Array.init))
        #expect(try text("out/config.json") == config())
    }

    @Test func aHeadThatTheConfigDeniesIsKeptWithAWarning() throws {
        let a = try model("a", layers(1, head: 2), config: config(tied: "true"))
        let result = try write(try stage([("a", a)]))
        #expect(result.report.warnings.contains { $0.text.contains("transformers will ignore") })
        #expect(try TensorStore(opening: folder.file("out")).index(of: "lm_head.weight") != nil)
    }

    @Test func configsThatDifferAreToldOf() throws {
        let a = try model("a", layers(1))
        let b = try model("b", layers(1), config: config().replacing("1.0e4", with: "1000000"))
        #expect(
            try stage([("a", a), ("b", b)]).warnings.map(\.text) == [
                "config.json differs between the models in rope_theta (10000 in a; 1000000 in b); "
                    + "the result has the one of a"
            ])
        let c = try model("c", layers(1, rows: 4), config: config().replacing("size\": 3", with: "size\": 4"))
        let error = #expect(throws: MergeError.self) { try stage([("a", a), ("c", c)]) }
        #expect(
            error?.details?.rows.map { [$0[0], $0[1]] } == [
                ["lm_head.weight", "vocabulary"], ["model.embed_tokens.weight", "vocabulary"],
                ["config.json vocab_size", "config"],
            ])
    }

    @Test func modelsOfOtherDepthAreToldToUseSlices() throws {
        let (a, b) = (try model("a", layers(1)), try model("b", layers(1, count: 1)))
        var c = layers(1)
        c.remove(at: 1)
        let gap = try model("c", c)
        func remedies(_ other: TensorStore) -> [[String]]? {
            let error = #expect(throws: MergeError.self) { try stage([("a", a), ("other", other)]) }
            return error?.details?.rows.map { [$0[0], $0[3]] }
        }
        #expect(
            remedies(b) == [
                [
                    "model.layers.1.mlp.weight",
                    "--keep-base 'model.layers.1.mlp.weight', or choose layers with slices in a recipe",
                ]
            ])
        #expect(remedies(gap) == [["model.layers.0.mlp.weight", "--keep-base 'model.layers.0.mlp.weight'"]])
    }

    @Test func tokenizersThatDifferAreToldOf() throws {
        func tokenizer(_ tokens: [String], more: String = "") -> String {
            let list = tokens.enumerated().map { #""\#($1)": \#($0)"# }.joined(separator: ", ")
            return #"{"model": {"vocab": {\#(list)}}, "added_tokens": []\#(more)}"#
        }
        let names = ["a", "other", "swapped", "longer"]
        let texts = [
            tokenizer(["x", "y"]), tokenizer(["x", "y"], more: #", "version": "1.0""#), tokenizer(["y", "x"]),
            tokenizer(["x", "y", "z"]),
        ]
        let models = try zip(names, texts).map { name, text in
            (name: name, store: try model(name, layers(1), files: ["tokenizer.json": text]))
        }
        let start = "differs from that of a, which the result has: "
        #expect(
            try stage(models).warnings.map(\.text) == [
                "the tokenizer of swapped \(start)2 rows of the embeddings stand for other tokens there",
                "the tokenizer of longer \(start)it lacks 1 token that has rows there",
            ])
        #expect(try stage([models[3], models[0]]).warnings.last?.text.hasSuffix("it has 1 token more") == true)
    }

    @Test(arguments: [
        ("models/Llama-3.1-8B", "Llama-3.1-8B"), ("a.safetensors", "a"), ("v0.1/model.safetensors", "v0.1"),
        ("b/model.safetensors.index.json", "b"), ("model.safetensors", "model"), ("x.NPZ", "x"),
        ("hub/models--owner--name.v1/snapshots/abc", "owner/name.v1"), ("models--one", "models--one"), (".", "."),
    ])
    func modelsAreCalledByTheirFolders(path: String, name: String) {
        #expect(FilePath(path).modelName == name)
    }

    @Test func modelsOfOneNameAreCalledByTheirPaths() {
        for (paths, names) in [
            (["x/a.npz", "b", "y/a"], ["x/a", "b", "y/a"]),
            (["d1/x", "d2/x", "x-2"], ["d1/x", "d2/x", "x-2"]),
            (["m/Qwen2.5-Math-7B", "m/Qwen2.5-Coder-7B"], ["Qwen2.5-Math-7B", "Qwen2.5-Coder-7B"]),
            (["a/x/model.safetensors", "b/x/model.safetensors"], ["a/x", "b/x"]),
            (["/a/x.npz", "/a/x.gguf"], ["/a/x.npz", "/a/x.gguf"]), (["x", "x", "x-2"], ["x", "x-3", "x-2"]),
        ] {
            #expect(ModelNames.distinct(paths.map { FilePath($0) }) == names)
        }
        #expect(ModelNames.fileNames(["o/x", "o-x", "y", "o-x-2"]) == ["o-x", "o-x-3", "y", "o-x-2"])
    }

    @Test func aFormatWithoutTheTypeSaysHowToChooseAnother() throws {
        let a = try model("a", layers(1))
        let merge = try stage([("a", a)], dtype: .bf16)
        let error = #expect(throws: FormatError.self) {
            try merge.write(to: try .test(folder.file("out"), format: .npz, isFolder: true))
        }
        #expect(error?.code == "format.unsupported_dtype" && error?.file == folder.file("out").string)
        #expect(error?.hint?.contains("--dtype F32") == true)
        #expect(listing(".") == ["a"])
    }

    @Test func tokenizerAndTemplateComeFromWhereTheyAreAsked() throws {
        let a = try model(
            "a", layers(1), files: ["tokenizer.json": "A", "merges.txt": "A", "generation_config.json": "A"])
        let b = try model("b", layers(1), files: ["tokenizer.json": "B", "tokenizer_config.json": #"{"x": 1.0}"#])
        try write(
            try stage([("a", a), ("b", b)]), tokenizer: folder.file("b"), chatTemplate: try ChatTemplate("chatml"))
        #expect(try text("out/tokenizer.json") == "B")
        #expect(try text("out/generation_config.json") == "A")
        #expect(!fileExists(folder.file("out/merges.txt")))
        #expect(try text("out/chat_template.jinja").contains("<|im_start|>"))
        let tokenizer = try JSONDocument.parse(try contents(folder.file("out/tokenizer_config.json")))
        #expect(try text("out/tokenizer_config.json").hasPrefix(#"{"x": 1.0, "chat_template": ""#))
        #expect(tokenizer["chat_template"]?.string == (try text("out/chat_template.jinja")))
        #expect(code { _ = try ChatTemplate("chatlm") } == "input.bad_value")
        #expect(try ChatTemplate("{{ messages }}") == .text("{{ messages }}"))
    }

    @Test func autoTakesTheTemplateThatMostModelsHave() throws {
        let two = #"{"chat_template": "two"}"#
        let a = try model("a", layers(1), files: ["tokenizer_config.json": #"{"chat_template": "one"}"#])
        let b = try model("b", layers(1), files: ["tokenizer_config.json": two])
        let c = try model("c", layers(1), files: ["tokenizer_config.json": two, "chat_template.jinja": "two"])
        try write(try stage([("a", a), ("b", b), ("c", c)]), chatTemplate: .auto)
        #expect(try text("out/tokenizer_config.json") == two)
    }

    @Test func anOutputMayBeOneOfTheInputs() throws {
        let a = try model("a", layers(1), files: ["tokenizer.json": "A", "picture.png": "mine"])
        let b = try model("b", layers(3))
        let merge = try stage([("a", a), ("b", b)])
        #expect(code { try write(merge, to: "a") } == "io.exists")
        try write(merge, to: "a", force: true, shards: 20)
        #expect(
            listing("a").filter { !$0.hasPrefix("model-") } == [
                "README.md", "config.json", "mergekit_config.yml", "model.safetensors.index.json", "picture.png",
                "tokenizer.json",
            ])
        #expect(listing("a").filter { $0.hasPrefix("model-") }.count == 4)
        let merged = try tensors(of: folder.file("a"))
        #expect(merged.first { $0.name == "model.embed_tokens.weight" }?.bytes.prefix(4) == [0, 0, 0, 64])
        // Back to one file, without the tokenizer that the new model has not: shards and tokenizer of the old one go.
        try write(try stage([("b", b)]), to: "a", force: true)
        #expect(
            listing("a") == ["README.md", "config.json", "mergekit_config.yml", "model.safetensors", "picture.png"])
        #expect(listing(".") == ["a", "b"])
    }

    @Test func anEmptyFolderNeedsNoForce() throws {
        let a = try model("a", layers(1))
        try folder.makeFolder("out")
        try write(try stage([("a", a)]))
        #expect(listing("out").contains("model.safetensors"))
    }

    @Test func theCardCountsOneModel() throws {
        try write(try stage([(name: "a", store: try model("a", layers(1)))]))
        #expect(try text("out/README.md").contains("A merge of 1 model, made with"))
    }

    @Test func theCardSaysWhatWasNotRead() throws {
        let merged = [(name: "a", store: try model("a", layers(1))), (name: "b", store: try model("b", layers(3)))]
        let base = try model("base", layers(0))
        let job = try MergeJob(
            method: "linear", base: base, experts: merged, parameters: MergeParameters(), in: testContext)
        let sanity = try #require(try write(job).folder?.sanity)
        let card = try text("out/README.md")
        #expect(
            card.contains("| base | base | model.safetensors | \(fileByteCount(base.reader.files[0])) | not read |"))
        #expect(card.contains("What was not read has no part in the result"))
        #expect(card.contains("| base | - | - |"))
        #expect(sanity.inputs.map { $0.norm == nil } == [true, false, false])
        #expect(sanity.inputs.map { $0.ratio == nil } == [true, false, false])
        // Where the base gives something, it is read.
        let kept = try MergeJob(
            method: "linear", base: base, experts: merged, parameters: MergeParameters(),
            keepBase: ["model.embed_tokens.weight"], in: testContext)
        try write(kept, to: "kept")
        #expect(try !text("kept/README.md").contains("not read"))
    }

    /// The recipe of a merge without one can be run, and gives the same bytes.
    @Test func aCommandLineBecomesARecipe() throws {
        let base = try model("base", layers(0))
        let (a, b) = (try model("a", layers(1)), try model("b", layers(3)))
        var parameters = MergeParameters()
        try parameters.set("weight=0.5,2")
        try parameters.set("lambda=0.25")
        let experts = [(name: "a", store: a), (name: "b", store: b)]
        try write(try stage(experts, base: base, dtype: .bf16, parameters: parameters))
        #expect(try text("out/README.md").contains("| base | base | model.safetensors |"))
        #expect(try text("out/README.md").contains("A merge of 2 models, made with"))
        let recipe = try RecipeFile.load(folder.file("out/mergekit_config.yml"), strict: true)
        #expect(recipe.mergeMethod == "task_arithmetic" && recipe.outputDType == .bf16)
        // As people write it, and mergekit reads it.
        #expect(recipe.baseModel?.path == folder.file("base"))
        let again = try MergeJob(
            recipe, stores: recipe.stores(warn: { _ in }) { try TensorStore(opening: $0) }, in: testContext)
        try write(again, to: "again")
        #expect(
            try contents(folder.file("out/model.safetensors")) == (try contents(folder.file("again/model.safetensors")))
        )
    }

    /// What the command line says over a recipe is kept with it: together they make the same model again.
    @Test func whatOverridesTheRecipeIsOnRecord() throws {
        try model("a", layers(1))
        try model("b", layers(3))
        let text = "merge_method: linear\nmodels:\n- model: a\n- model: b\nparameters: { weight: 1 }\n"
        let recipe = try RecipeFile.parse(text, path: folder.file("r.yaml"))
        let stores = try recipe.stores(warn: { _ in }) { try TensorStore(opening: $0) }
        func stage(_ settings: [String: ParameterValue], _ selection: TensorSelection, _ dtype: DType?) throws
            -> MergeJob
        {
            try MergeJob(
                recipe, stores: stores, settings: settings, selection: selection, outputDType: dtype, in: testContext
            )
        }
        try write(
            try stage(
                ["weight": .list([.number(0.5), .number(2)]), "normalize": .flag(false)],
                TensorSelection(only: ["*"], exclude: ["lm_head*", "it's", "a\nb: c\u{2028}\\"]), .bf16))
        let options = [
            "--set normalize=false", "--set weight=0.5,2", "--dtype BF16", "--only '*'", "--exclude 'lm_head*'",
            #"--exclude 'it'\''s'"#, #"--exclude $'a\x0ab: c\xe2\x80\xa8\\'"#,
        ]
        let record = try self.text("out/mergekit_config.yml")
        let comment = options.map { "#   \($0)\n" }.joined()
        #expect(record.hasPrefix("# Carried out by untangle merge with these options"))
        #expect(record.hasSuffix(":\n\(comment)\n\(text)"))
        #expect(try RecipeFile.parse(record, path: folder.file("r.yaml"), strict: true).models.count == 2)
        let card = try self.text("out/README.md")
        #expect(card.contains("\n## Overrides on the command line\n"))
        #expect(card.contains("\n```sh\n\(options.joined(separator: "\n"))\n```\n"))
        #expect(card.contains("```yaml\n\(text)```\n"))
        // Nothing more where nothing was overridden.
        try write(try stage([:], TensorSelection(), nil), to: "plain")
        #expect(try self.text("plain/mergekit_config.yml") == text)
        #expect(try !self.text("plain/README.md").contains("Overrides"))
        // Without a recipe the rest is in the one that is written.
        try write(
            try self.stage([("a", stores[0]!)], selection: TensorSelection(exclude: ["lm_head*"])),
            to: "line")
        #expect(try self.text("line/mergekit_config.yml").contains(":\n#   --exclude 'lm_head*'\n\n# Written from"))
    }

    @Test func tooLittleRoomIsKnownBeforeTheWork() throws {
        let space = DiskSpace(needed: 1 << 60, at: folder.file("not/there/yet"))
        #expect(!space.isEnough)
        let error = #expect(throws: IOError.self) { try space.require() }
        #expect(error?.code == "io.space" && error?.severity == .resources)
        #expect(error?.message.contains("1.00 EiB") == true)
        #expect(DiskSpace(needed: 1, at: folder.path).isEnough)
    }

    @Test func aHubCacheTellsTheNamesOfModels() throws {
        try folder.makeFolder("models--owner--name.v1")
        try folder.makeFolder("models--owner--name.v1/snapshots")
        let a = try model("models--owner--name.v1/snapshots/abc", layers(1))
        try write(try stage([("a", a)]))
        #expect(try text("out/README.md").hasPrefix("---\nbase_model:\n- owner/name.v1\nlibrary_name: transformers\n"))
        // Two revisions of one model are one there.
        let b = try model("models--owner--name.v1/snapshots/def", layers(2))
        try write(try stage([("a", a), ("b", b)]), force: true)
        #expect(try text("out/README.md").hasPrefix("---\nbase_model:\n- owner/name.v1\nlibrary_name: transformers\n"))
    }
}
