import Foundation
import TestSupport
import Testing

/// Folders of several checkpoints, and heads that are embeddings under another name, by the built tool.
@Suite struct ModelFolderTests {
    private let tool: Tool
    private static let base = "Fixtures/suites/tiny/base.safetensors"

    init() throws { tool = try Tool() }

    private func run(_ line: String) throws -> Tool.Outcome {
        try tool.run(line.split(separator: " ").map(String.init))
    }

    @Test func everyCommandTakesASubfolder() throws {
        let suite = "Fixtures/suites/tiny"
        for (pipe, file) in [("p", "base"), ("q", "expert_digits")] {
            _ = try tool.shell(
                "mkdir -p \(pipe)/vision \(pipe)/other && cp \(suite)/\(file).safetensors \(pipe)/vision/model.safetensors && "
                    + "cp \(suite)/config.json \(pipe)/vision && cp \(suite)/base.safetensors \(pipe)/other/x.safetensors"
            )
        }
        let refused = try run("inspect p --json")
        #expect(refused.status == 3)
        #expect(try refused.error()["code"].string == "format.unknown_format")
        #expect(try refused.error()["hint"].string == "choose one with --subfolder other, or name its path")
        let rows = try refused.error()["details"].items
        #expect(rows.map { $0["name"].string } == ["other/x.safetensors", "vision/model.safetensors"])
        #expect(rows.map { $0["tensors"].string } == ["30", "30"])
        #expect(try run("inspect p").errors.hasPrefix("name  "))
        let heads = "--head d=\(suite)/heads_digits.safetensors --data d=\(suite)/test_digits.npz"
        for line in [
            "inspect p", "verify p", "verify p --recursive", "diff p q --exit-zero", "vectors --base p q",
            "convert p c.safetensors", "merge --method average --base p q --output m.safetensors",
            "evaluate p \(heads)", "interference --base p --expert d=q \(heads) --merged q",
        ] {
            // Every folder below one is looked at anyway.
            if !line.contains("--recursive") { #expect(try run(line).status == 3, "\(line)") }
            let outcome = try run("\(line) --subfolder vision")
            #expect(outcome.status == 0, "\(line): \(outcome.errors)")
        }
        #expect(try tool.data("c.safetensors") == tool.data(Self.base))
        let merged = try run("merge --method average --base p q --output out/ --subfolder vision")
        #expect(merged.status == 0)
        let recipe = String(decoding: try tool.data("out/mergekit_config.yml"), as: UTF8.self)
        #expect(recipe.contains("base_model: \"p/vision\""))
        for name in ["..", "/etc", "a/../.."] { #expect(try run("inspect p --subfolder \(name)").status == 2) }
        let gone = try run("inspect p --subfolder unet --json")
        #expect(gone.status == 3)
        #expect(try gone.error()["hint"].string == "those that hold checkpoints: other, vision")
        // In recipes it stands beside the path.
        func merge(_ name: String) throws -> Tool.Outcome {
            let text =
                "merge_method: task_arithmetic\nbase_model: { model: { path: p, subfolder: \(name) } }\n"
                + "models: [{ model: { model: { path: q, subfolder: vision } } }]\n"
            _ = try tool.folder.write(Array(text.utf8), to: "r.yml")
            return try run("merge r.yml r.safetensors --json --force")
        }
        #expect(try merge("vision").status == 0)
        #expect(try merge("unet").error()["message"].string?.contains("p has no sub-folder unet") == true)
        #expect(try merge("../q").error()["code"].string == "recipe.bad_value")
        #expect(try run("merge r.yml r.safetensors --subfolder vision").status == 2)
    }

    // MARK: - Tied tensors

    private func makeTied(_ config: String, head: [Float]) throws {
        _ = try tool.shell("mkdir -p tied")
        try tool.write(
            "tied/model.safetensors",
            [
                StoredTensor("lm_head.weight", [2, 2], head),
                StoredTensor("model.embed_tokens.weight", [2, 2], [1, 2, 3, 4]),
                StoredTensor("model.norm.weight", [2], [1, 1]),
            ])
        _ = try tool.folder.write(Array(config.utf8), to: "tied/config.json")
    }

    private func names(_ path: String) throws -> [String] {
        try run("inspect \(path) --json").json()["tensors"].items.compactMap { $0["name"].string }.sorted()
    }

    private static let config = #"{"model_type": "llama", "tie_word_embeddings": true}"#
    private static let untied = ["model.embed_tokens.weight", "model.norm.weight"]

    @Test func aTiedHeadIsWrittenOnce() throws {
        try makeTied(Self.config, head: [1, 2, 3, 4])
        let outcome = try run("convert tied out.safetensors")
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        #expect(outcome.output.contains("\"lm_head.weight\" is \"model.embed_tokens.weight\" and is written once\n"))
        #expect(try names("out.safetensors") == Self.untied)
        let report = try run("convert tied out.safetensors --force --json").json()
        #expect(report["tensors"].int == 2)
        #expect(report["tied"].items.map { $0["tensor"].string } == ["lm_head.weight"])
        #expect(report["tied"].items.map { $0["same_as"].string } == ["model.embed_tokens.weight"])
        // A file is what it is, and so is a choice of tensors.
        let all = ["lm_head.weight"] + Self.untied
        #expect(try run("convert tied/model.safetensors out.safetensors --force").status == 0)
        #expect(try names("out.safetensors") == all)
        #expect(try run("convert tied out.safetensors --force --only lm_head.weight").status == 0)
        #expect(try names("out.safetensors") == ["lm_head.weight"])
        // The same code as in a merge.
        #expect(try run("merge --method average tied tied --output m/").status == 0)
        #expect(try names("m") == Self.untied)
    }

    /// Where the configuration does not say, as that of GPT-2: PyTorch stores the numbers once for both names.
    @Test func oneViewOfAPyTorchFileIsATie() throws {
        func make(_ config: String, headOffset: Int) throws {
            _ = try tool.shell("mkdir -p torch")
            func tensor(_ offset: Int) -> [UInt8] {
                TorchTestFile.tensor(count: 6, shape: [2, 2], strides: [2, 1], offset: offset)
            }
            let body = TorchTestFile.dict([
                "transformer.wte.weight": tensor(0), "lm_head.weight": tensor(headOffset),
            ])
            _ = try tool.folder.write(
                TorchTestFile.archive(body, [TorchTestFile.floats([1, 1, 1, 1, 1, 1])]), to: "torch/pytorch_model.bin")
            _ = try tool.folder.write(Array(config.utf8), to: "torch/config.json")
        }
        let config = #"{"model_type": "gpt2"}"#
        try make(config, headOffset: 0)
        #expect(try run("convert torch out.safetensors").status == 0)
        #expect(try names("out.safetensors") == ["transformer.wte.weight"])
        #expect(try run("merge --method average torch torch --output m/").status == 0)
        #expect(try names("m") == ["transformer.wte.weight"])
        #expect(
            String(decoding: try tool.data("m/config.json"), as: UTF8.self).contains(#""tie_word_embeddings": true"#))
        // Equal numbers alone say nothing, and neither does a view against the configuration.
        for (config, offset) in [(config, 1), (#"{"tie_word_embeddings": false}"#, 0)] {
            try make(config, headOffset: offset)
            #expect(try run("convert torch out.safetensors --force").status == 0)
            #expect(try names("out.safetensors").count == 2)
        }
    }

    @Test func aHeadOfItsOwnStays() throws {
        try makeTied(Self.config, head: [1, 2, 3, 5])
        let outcome = try run("convert tied out.safetensors")
        #expect(outcome.status == 0)
        #expect(outcome.errors.contains("in tied it differs; transformers will ignore that of the result"))
        #expect(try names("out.safetensors").count == 3)
        for config in [#"{"model_type": "llama", "tie_word_embeddings": false}"#, #"{"model_type": "llama"}"#] {
            try makeTied(config, head: [1, 2, 3, 4])
            #expect(try run("convert tied out.safetensors --force").errors.isEmpty)
            #expect(try names("out.safetensors").count == 3)
        }
    }
}
