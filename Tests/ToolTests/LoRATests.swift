import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Adapters on the command line, in recipes, and made by the tool.
@Suite struct LoRATests {
    private let tool: Tool
    private let corpus = "Fixtures/conformance/good/lora"
    private let names = ["bias_lora_only", "dora", "modules_to_save", "plain", "rank_alpha_pattern"]

    init() throws { tool = try Tool() }

    private func done(_ arguments: String...) throws -> Tool.Outcome {
        let outcome = try tool.run(arguments)
        #expect(outcome.status == 0, "\(arguments): \(outcome.errors)")
        return outcome
    }

    @Test func whatIsFoldedIsWhatPEFTMerged() throws {
        for name in names {
            let (base, adapter) = ("\(corpus)/\(name)/base.safetensors", "\(corpus)/\(name)")
            let outcome = try done("lora", "fold", base, adapter, "--output", "\(name).safetensors", "--json")
            let document = try outcome.json()
            #expect(
                document.keys == [
                    "output", "files", "bytes", "tensors", "adapters", "overflows", "underflows", "nan", "inf",
                    "warnings", "seconds",
                ])
            #expect(document["adapters"].items.map(\.string) == [adapter])
            _ = try done("diff", "\(name).safetensors", "\(adapter)/merged.safetensors", "--tolerance", "2e-6")
            // The same without folding, in any command.
            _ = try done("diff", "\(base)+\(adapter)", "\(name).safetensors")
            _ = try done("verify", "\(base)+\(adapter)")
        }
    }

    @Test func adaptersThatDoNotFitAreRefused() throws {
        for name in [
            "alpha_nan", "base_shape", "config_bad_json", "missing_A", "missing_B", "no_alpha", "rank3_A", "type_ia3",
        ] {
            let place = "Fixtures/conformance/bad/lora/\(name)"
            let wanted = try JSONValue(
                parsing: String(decoding: try tool.data("\(place).expected.json"), as: UTF8.self))
            let outcome = try tool.run(
                "lora", "fold", "\(place)/base.safetensors", place, "--output", "x.safetensors", "--json")
            #expect(outcome.status == 3 && outcome.output.isEmpty)
            #expect(try outcome.error()["code"].string == "format.\(wanted["category"].string ?? "")", "\(name)")
            #expect(!fileExists(tool.folder.file("x.safetensors")))
        }
    }

    @Test func aMissingAdapterIsNamed() throws {
        let outcome = try tool.run("inspect", "\(corpus)/plain/base.safetensors+gone")
        #expect(outcome.status == 3)
        #expect(outcome.errors.contains("gone is not there"))
    }

    /// Merged as they are read, in one process or by a recipe, adapters give the bytes of their folded models.
    @Test func mergesOfFoldedAndOfUnfoldedModelsAreTheSame() throws {
        let base = "\(corpus)/plain/base.safetensors"
        for name in ["plain", "rank_alpha_pattern"] {
            _ = try done("lora", "fold", base, "\(corpus)/\(name)", "--output", "\(name).safetensors")
        }
        let merge = ["merge", "--method", "ties", "--set", "density=0.5", "--base", base]
        let unfolded = try tool.run(
            merge + ["\(base)+\(corpus)/plain", "\(base)+\(corpus)/rank_alpha_pattern", "--output", "a.safetensors"])
        #expect(unfolded.status == 0, "\(unfolded.errors)")
        let folded = try tool.run(
            merge + ["plain.safetensors", "rank_alpha_pattern.safetensors", "--output", "b.safetensors"])
        #expect(folded.status == 0, "\(folded.errors)")
        let bytes = try tool.data("b.safetensors")
        #expect(try tool.data("a.safetensors") == bytes)
        let recipe = """
            merge_method: ties
            base_model: \(base)
            parameters: { density: 0.5 }
            models:
              - model: \(base)+\(corpus)/plain
              - model: { model: { path: \(base) }, lora: { path: \(corpus)/rank_alpha_pattern } }
            """
        _ = try tool.folder.write(Array(recipe.utf8), to: "recipe.yaml")
        _ = try done("merge", "recipe.yaml", "c.safetensors")
        #expect(try tool.data("c.safetensors") == bytes)
    }

    @Test func aFolderHasTheConfigurationOfTheBase() throws {
        _ = try done("convert", "\(corpus)/plain/base.safetensors", "base/")
        _ = try tool.folder.write(Array(#"{"model_type": "x"}"#.utf8), to: "base/config.json")
        _ = try tool.folder.write(Array("{}".utf8), to: "base/generation_config.json")
        let outcome = try done("lora", "fold", "base", "\(corpus)/plain", "--output", "folded/")
        #expect(outcome.output.contains("copied from base: generation_config.json"))
        #expect(outcome.output.contains("norm of the result: 1 of base+plain"))
        #expect(String(decoding: try tool.data("folded/config.json"), as: UTF8.self).contains(#""model_type": "x""#))
        let recipe = String(decoding: try tool.data("folded/mergekit_config.yml"), as: UTF8.self)
        #expect(recipe.contains("base+") && recipe.contains("lora/plain"))
    }

    /// Two tokens more, in a module that was trained as a whole.
    @Test func aVocabularyThatGrewIsThatOfTheConfiguration() throws {
        _ = try tool.shell("mkdir -p base adapter")
        try tool.write(
            "base/model.safetensors", [StoredTensor("model.embed_tokens.weight", [3, 2], [1, 2, 3, 4, 5, 6])])
        _ = try tool.folder.write(Array(#"{"model_type": "llama", "vocab_size": 3}"#.utf8), to: "base/config.json")
        try tool.write(
            "adapter/adapter_model.safetensors",
            [StoredTensor("base_model.model.model.embed_tokens.weight", [5, 2], [Float](repeating: 1, count: 10))])
        _ = try tool.folder.write(
            Array(#"{"peft_type": "LORA", "r": 1, "lora_alpha": 1, "modules_to_save": ["embed_tokens"]}"#.utf8),
            to: "adapter/adapter_config.json")
        _ = try done("lora", "fold", "base", "adapter", "--output", "folded/")
        _ = try done("merge", "--method", "linear", "base+adapter", "--output", "merged/")
        for folder in ["folded", "merged"] {
            let config = String(decoding: try tool.data("\(folder)/config.json"), as: UTF8.self)
            #expect(config.contains(#""vocab_size": 5"#), "\(config)")
            // What decides the scale has its hash in the card.
            #expect(
                String(decoding: try tool.data("\(folder)/README.md"), as: UTF8.self).contains("adapter_config.json"))
        }
    }

    /// The base may be the single file, whose names diffusers does not have.
    @Test func namesOfDiffusersAreItsOwn() throws {
        func adapter(_ module: String) -> [StoredTensor] {
            [
                StoredTensor("lora_unet_\(module).lora_down.weight", [1, 2], [1, 2]),
                StoredTensor("lora_unet_\(module).lora_up.weight", [2, 1], [3, 4]),
            ]
        }
        try tool.write("kohya.safetensors", adapter("input_blocks_4_1_proj_in"))
        try tool.write("other.safetensors", adapter("middle_block_7_proj_in"))
        for (file, module) in [
            ("single", "model.diffusion_model.input_blocks.4.1.proj_in"),
            ("unet", "down_blocks.1.attentions.0.proj_in"),
            ("strange", "model.diffusion_model.middle_block.7.proj_in"),
        ] {
            try tool.write("\(file).safetensors", [StoredTensor("\(module).weight", [2, 2], [0, 0, 0, 0])])
        }
        for base in ["single", "unet"] {
            _ = try done(
                "lora", "merge", "--method", "cat", "kohya.safetensors", "--names", "diffusers", "--base",
                "\(base).safetensors", "--output", "named.safetensors", "--force")
            let names = try tool.run("inspect", "named.safetensors", "--json").json()["tensors"].items
            #expect(
                names.compactMap { $0["name"].string }.filter { $0.hasSuffix("lora_A.weight") }
                    == ["unet.down_blocks.1.attentions.0.proj_in.lora_A.weight"])
        }
        let refused = try tool.run(
            "lora", "merge", "--method", "cat", "other.safetensors", "--names", "diffusers", "--base",
            "strange.safetensors", "--output", "x.safetensors", "--json")
        #expect(try refused.error()["code"].string == "format.bad_name")
    }

    @Test func anEmptyAdapterIsSaidToBe() throws {
        _ = try tool.shell("mkdir -p empty")
        try tool.write("base.safetensors", [StoredTensor("m.weight", [1, 2], [1, 2])])
        try tool.write("empty/adapter_model.safetensors", [])
        _ = try tool.folder.write(
            Array(#"{"peft_type": "LORA", "r": 1, "lora_alpha": 1}"#.utf8), to: "empty/adapter_config.json")
        let outcome = try done("lora", "fold", "base.safetensors", "empty", "--output", "o.safetensors", "--json")
        let warnings = try outcome.json()["warnings"].items.compactMap(\.string)
        #expect(warnings.count == 1 && warnings[0].contains("changes nothing"))
    }

    /// A change of rank 2 is held by two singular values, also as factors of a convolution and of an embedding.
    @Test func whatIsExtractedFoldsBack() throws {
        func product(_ rows: Int, _ columns: Int, _ rank: Int) -> [Float] {
            (0..<rows * columns).map { place in
                let (row, column) = (place / columns, place % columns)
                return (0..<rank).reduce(Float(0)) { $0 + sinf(row, $1) * sinf(column, $1 + 5) }
            }
        }
        func sinf(_ place: Int, _ k: Int) -> Float { Float((place * 7919 + k * 104_729 + 13) % 97) / 97 - 0.5 }
        func model(_ change: Float) -> [StoredTensor] {
            func tensor(_ name: String, _ shape: [Int], rank: Int = 2) -> StoredTensor {
                let (rows, columns) = (shape[0], shape.dropFirst().reduce(1, *))
                let start = product(rows, columns, 9)
                return StoredTensor(
                    name, shape, zip(start, product(rows, columns, rank)).map { $0 + change * $1 })
            }
            return [
                tensor("m.embed_tokens.weight", [40, 90]), tensor("m.q.weight", [120, 100]), tensor("m.q.bias", [120]),
                tensor("m.conv.weight", [12, 5, 3]), tensor("m.norm.weight", [30]),
                StoredTensor("m.same.weight", [8, 8], product(8, 8, 8)),
            ]
        }
        try tool.write("base.safetensors", model(0))
        try tool.write("expert.safetensors", model(0.25))
        for extent in [["--rank", "2"], ["--energy", "0.999999"]] {
            let outcome = try tool.run(
                [
                    "lora", "extract", "--base", "base.safetensors", "expert.safetensors", "--output", "adapter",
                    "--json", "--force",
                ]
                    + extent)
            #expect(outcome.status == 0, "\(outcome.errors)")
            let document = try outcome.json()
            #expect(document["tensors"].items.map { $0["rank"].int } == [2, 2, 2])
            #expect(document["tensors"].items.allSatisfy { ($0["energy"].double ?? 0) > 0.99999 })
            #expect(document["modules_to_save"].items.map(\.string) == ["m.norm"])
            #expect(document["left_out"].items.isEmpty)
            _ = try done(
                "diff", "base.safetensors+adapter", "expert.safetensors", "--tolerance", "2e-6")
        }
        let refused = try tool.run(
            "lora", "extract", "--base", "base.safetensors", "base.safetensors", "--rank", "2", "--output", "none")
        #expect(refused.status == 3 && refused.errors.contains("convert.nothing_selected"))
        #expect(try tool.run("lora", "extract", "--base", "a", "b", "--output", "c").status == 2)
    }

    /// A model has the tensors of its base: what does not come from there makes no adapter.
    @Test func aModelOfAnotherBaseIsRefused() throws {
        func tensor(_ name: String, _ shape: [Int], _ start: Float) -> StoredTensor {
            StoredTensor(name, shape, (0..<shape.reduce(1, *)).map { start + Float($0) })
        }
        func model(
            _ start: Float, prefix: String = "m.", rows: Int = 4, up: [Int] = [5, 3], norm: [String] = ["norm"]
        ) -> [StoredTensor] {
            [tensor("\(prefix)embed_tokens.weight", [rows, 3], start), tensor("\(prefix)up.weight", up, start)]
                + norm.map { tensor("\(prefix)\($0).weight", [3], start) }
        }
        try tool.write("base.safetensors", model(0))
        func extract(_ tensors: [StoredTensor], _ more: String...) throws -> Tool.Outcome {
            try tool.write("expert.safetensors", tensors)
            return try tool.run(
                ["lora", "extract", "--base", "base.safetensors", "expert.safetensors", "--rank", "2", "--output", "a"]
                    + more + ["--force", "--json"])
        }
        for (tensors, part) in [
            (model(1, prefix: "base."), "\"m.embed_tokens.weight\" is in the base, not in the model"),
            (model(1, up: [6, 3]), "\"m.up.weight\" has shape [5, 3] in the base, [6, 3] in the model"),
            (model(1, norm: []), "\"m.norm.weight\" is in the base"),
        ] {
            let outcome = try extract(tensors)
            #expect(outcome.status == 3)
            #expect(try outcome.error()["code"].string == "convert.incompatible")
            #expect(try outcome.error()["message"].string?.contains(part) == true, "\(outcome.errors)")
            #expect(!tool.exists("a"))
        }
        let renamed = try extract(model(1, prefix: "base.")).error()["hint"].string
        #expect(renamed == "most names match with --map base=m")
        #expect(try extract(model(1, prefix: "base."), "--map", "base=m").status == 0)
        #expect(try extract(model(1, norm: []), "--exclude", "*norm*").status == 0)
        // Words and modules may be added.
        let grown = try extract(model(1, rows: 6, norm: ["norm", "score"]))
        #expect(grown.status == 0, "\(grown.errors)")
        #expect(
            try grown.json()["modules_to_save"].items.map(\.string) == ["m.embed_tokens", "m.norm", "m.score"])
    }

    @Test func subfoldersAreThoseOfModelsAndAdapters() throws {
        _ = try done("convert", "\(corpus)/plain/base.safetensors", "p/inner/")
        _ = try done("convert", "\(corpus)/plain/merged.safetensors", "q/inner/")
        _ = try tool.shell("mkdir a && cp -r \(corpus)/plain a/inner")
        for line in [
            "lora fold p \(corpus)/plain --output folded.safetensors",
            "lora extract --base p q --rank 2 --output extracted", "lora merge --method cat a --output merged",
        ] {
            let words = line.split(separator: " ").map(String.init)
            #expect(try tool.run(words).status == 3, "\(line)")
            let outcome = try tool.run(words + ["--subfolder", "inner"])
            #expect(outcome.status == 0, "\(line): \(outcome.errors)")
        }
        _ = try done("diff", "folded.safetensors", "\(corpus)/plain/merged.safetensors", "--tolerance", "2e-6")
    }

    /// An adapter of PEFT is a folder of its own.
    @Test func anAdapterGoesIntoNoModel() throws {
        let adapter = "\(corpus)/plain"
        func merge(_ output: String, _ more: String...) throws -> Tool.Outcome {
            try tool.run(["lora", "merge", "--method", "cat", adapter, "--json", "--output", output] + more)
        }
        let file = try merge("x.safetensors")
        #expect(file.status == 2)
        #expect(try file.error()["code"].string == "usage.output_format")
        _ = try tool.shell("mkdir model && echo '{}' > model/config.json")
        let model = try merge("model")
        #expect(model.status == 4)
        #expect(try model.error()["code"].string == "io.exists")
        #expect(try tool.names(in: "model") == ["config.json"] && !tool.exists("x.safetensors"))
        #expect(try merge("model", "--force").status == 0)
        #expect(try merge("i", "--dtype", "I8").error()["code"].string == "usage.dtype")
        #expect(try merge("own/adapter").status == 0)
    }

    /// Side by side the factors of adapters do what the adapters do one after the other.
    @Test func adaptersBecomeOne() throws {
        let place = "Fixtures/parity/lora"
        let adapters = ["a1", "a2", "a3"].map { "\(place)/mixed/\($0)" }
        let outcome = try tool.run(
            ["lora", "merge", "--method", "cat"] + adapters + ["--output", "merged", "--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let document = try outcome.json()
        #expect(
            document.keys == [
                "output", "files", "bytes", "method", "adapters", "tensors", "modules_to_save", "warnings", "seconds",
            ])
        #expect(document["tensors"].items.map { $0["rank"].int } == Array(repeating: 13, count: 6))
        _ = try done(
            "diff", "\(place)/base_mixed.safetensors+merged",
            "\(place)/base_mixed.safetensors+\(adapters.joined(separator: "+"))", "--tolerance", "2e-6")
        func code(_ arguments: String...) throws -> String? {
            let outcome = try tool.run(["lora", "merge"] + adapters + ["--json", "--output"] + arguments)
            return "\(outcome.status) \(try outcome.error()["code"].string ?? "")"
        }
        #expect(try code("merged", "--method", "cat") == "4 io.exists")
        #expect(try code("x", "--method", "iso_c") == "2 merge.needs_weights")
        let base = "\(place)/base_mixed.safetensors"
        #expect(try code("x", "--method", "iso_c", "--base", base) == "2 usage")
        #expect(try code("merged", "--method", "iso_c", "--base", base, "--rank", "9") == "4 io.exists")
        #expect(try code("x", "--method", "karcher", "--base", base) == "2 merge.needs_weights")
        // Whole weights, of which 99 directions are all.
        let whole = try tool.run(
            ["lora", "merge", "--method", "iso_c", "--base", base, "--rank", "99"] + adapters
                + ["--output", "whole", "--json"])
        #expect(whole.status == 0, "\(whole.errors)")
        #expect(whole.errors.contains("iso_c merges whole weights"))
        let models = adapters.map { "\(base)+\($0)" }
        let merged = try tool.run(
            ["merge", "--method", "iso_c", "--base", base, "--dtype", "f32"] + models + [
                "--output", "whole.safetensors",
            ])
        #expect(merged.status == 0, "\(merged.errors)")
        _ = try done("diff", "\(base)+whole", "whole.safetensors", "--tolerance", "1e-5")
        #expect(try code("x", "--method", "ties") == "3 merge.incompatible")
        #expect(try code("x", "--method", "svd", "--set", "weight=1,2") == "2 merge.bad_parameter")
        #expect(try tool.run(["lora", "merge", "a", "--output", "x"]).status == 2)
    }

    /// Task vectors and interference of adapters are those of the models with the adapters folded in.
    @Test func adaptersAreMeasuredAsModels() throws {
        let base = TinySuite.base
        var adapted: [String: String] = [:]
        for task in ["digits", "latin_lower"] {
            _ = try done(
                "lora", "extract", "--base", base, TinySuite.expert(task), "--rank", "4", "--output", "\(task)-adapter")
            _ = try done("lora", "fold", base, "\(task)-adapter", "--output", "\(task).safetensors")
            adapted[task] = "\(base)+\(task)-adapter"
        }
        let tasks = adapted.keys.sorted()
        func vectors(_ models: [String]) throws -> JSONValue {
            let outcome = try tool.run(["vectors", "--base", base] + models + ["--spectrum", "--json"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try outcome.json()
        }
        let (seen, folded) = (
            try vectors(tasks.compactMap { adapted[$0] }), try vectors(tasks.map { "\($0).safetensors" })
        )
        #expect(seen["pairs"][0]["cosine"].double == folded["pairs"][0]["cosine"].double)
        #expect(seen["experts"].items.map { $0["norm"].double } == folded["experts"].items.map { $0["norm"].double })
        func interference(_ model: (String) -> String) throws -> Double? {
            let arguments = tasks.flatMap { task in
                [
                    "--expert", "\(task)=\(model(task))", "--head",
                    "\(task)=\(TinySuite.folder)/heads_\(task).safetensors",
                    "--data", "\(task)=\(TinySuite.folder)/test_\(task).npz",
                ]
            }
            let outcome = try tool.run(
                ["interference", "--base", base, "--method", "average", "--json"] + arguments)
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try outcome.json()["total"].double
        }
        let total = try interference { adapted[$0] ?? "" }
        #expect(total == (try interference { "\($0).safetensors" }) && total ?? 0 > 0)
    }
}
