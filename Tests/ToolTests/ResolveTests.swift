import Checkpoints
import Foundation
import TensorCore
import Testing

/// The command line of the tiny suite.
enum TinySuite {
    static let folder = "Fixtures/suites/tiny"
    static let tasks = ["fashion_tops", "digits", "latin_lower", "devanagari"]
    static let base = "\(folder)/base.safetensors"

    static func expert(_ task: String) -> String { "\(folder)/expert_\(task).safetensors" }

    static func experts(_ tasks: [String] = tasks) -> [String] {
        ["--base", base] + tasks.flatMap { ["--expert", "\($0)=\(expert($0))"] }
    }

    static func heads(_ tasks: [String] = tasks) -> [String] {
        tasks.flatMap { ["--head", "\($0)=\(folder)/heads_\($0).safetensors"] }
    }

    static func data(_ tasks: [String] = tasks) -> [String] {
        tasks.flatMap { ["--data", "\($0)=\(folder)/test_\($0).npz"] }
    }

    /// A recipe over experts of the suite.
    ///
    /// - Parameter data: where the data of a task is; nil for that of the suite.
    static func recipe(_ more: String, tasks: [String], data: ((String) -> String)? = nil) -> String {
        let models = tasks.map { task in
            """
              - model: \(expert(task))
                name: \(task)
                head: \(folder)/heads_\(task).safetensors
                data: \(data?(task) ?? "\(folder)/test_\(task).npz")

            """
        }.joined()
        return "base_model: \(base)\nmodels:\n\(models)\(more)\n"
    }
}

extension Tool {
    func exists(_ file: String) -> Bool { FileManager.default.fileExists(atPath: folder.file(file).string) }

    func data(_ file: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: folder.file(file).string)) }

    /// What is in a folder, hidden files too, so that a forgotten temporary file is seen.
    func names(in file: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.file(file).string).sorted()
    }
}

@Suite struct ResolveTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    private func resolve(_ more: [String], tasks: [String] = TinySuite.tasks) throws -> Tool.Outcome {
        try tool.run(
            ["resolve"] + TinySuite.experts(tasks) + TinySuite.heads(tasks) + ["--no-sync", "--quiet"]
                + (more.contains("--auxiliary") ? [] : ["--auxiliary", "\(TinySuite.folder)/aux_mixed.npz"])
                + (more.contains("--output") ? [] : ["--output", "out"]) + more)
    }

    private let short = ["--steps", "2", "--batch-size", "16"]

    @Test func printsAndTracesWhatItDid() throws {
        let outcome = try resolve(short + ["--json", "--trace", "trace.csv"])
        #expect(outcome.status == 0)
        #expect(outcome.errors == "")
        let document = try outcome.json()
        #expect(document.keys == ["experts"])
        #expect(document["experts"].items.map { $0["name"].string } == TinySuite.tasks)
        for expert in document["experts"].items {
            #expect(
                expert.keys == [
                    "name", "output", "steps", "seconds", "loss", "preservation", "interference", "learning_rate",
                    "expected_bytes",
                    "expected_seconds",
                ])
            // As it stands, from the current folder.
            #expect(expert["output"].string == "out/\(expert["name"].string ?? "").safetensors")
            #expect(expert["steps"].int == 2)
            for term in ["loss", "preservation", "interference"] { #expect(expert[term].keys == ["first", "last"]) }
        }
        #expect(try tool.names(in: "out") == TinySuite.tasks.map { "\($0).safetensors" }.sorted())

        let rows = String(decoding: try tool.data("trace.csv"), as: UTF8.self).split(separator: "\n")
        #expect(rows.first == "expert,step,loss,preservation,interference")
        #expect(rows.count == 1 + 2 * TinySuite.tasks.count)
        #expect(rows[1].hasPrefix("fashion_tops,1,"))
        #expect(rows[2].hasPrefix("fashion_tops,2,"))
        let last = try #require(rows.last?.split(separator: ",").compactMap { Double($0) })
        let loss = try #require(document["experts"][3]["loss"]["last"].double)
        // Foundation's parser may be off by one in the last digit.
        #expect(abs(last[1] - loss) < 1e-12)
        #expect(abs(last[2] + last[3] - loss) < 1e-12)
    }

    @Test func adaptsOnlyTheExpertsAskedFor() throws {
        // All heads count, so the result is that of the whole set.
        #expect(try resolve(short + ["--output", "all"]).status == 0)
        let outcome = try resolve(short + ["--only-expert", "digits", "--only-expert", "digits"])
        #expect(outcome.status == 0)
        #expect(try tool.names(in: "out") == ["digits.safetensors"])
        #expect(try tool.data("out/digits.safetensors") == tool.data("all/digits.safetensors"))
        let nobody = try resolve(short + ["--only-expert", "digit", "--json"])
        #expect(nobody.status == 2)
        #expect(try nobody.error()["code"].string == "usage")
    }

    @Test func takesThePapersRecipeAndNoise() throws {
        let paper = try resolve(
            ["--preset", "paper", "--steps", "1", "--json", "--auxiliary", "noise", "--auxiliary-count", "20"],
            tasks: ["digits"])
        #expect(paper.status == 0)
        let expert = try paper.json()["experts"][0]
        #expect(expert["steps"].int == 1)
        // With one expert there is no interference term.
        #expect(expert["interference"]["first"].double == 0)
        let again = try resolve(
            [
                "--steps", "1", "--batch-size", "128", "--learning-rate", "1e-6", "--auxiliary", "noise",
                "--auxiliary-count", "20", "--output", "again",
            ], tasks: ["digits"])
        #expect(again.status == 0)
        let (first, second) = (try tool.data("out/digits.safetensors"), try tool.data("again/digits.safetensors"))
        #expect(first == second)
        // With two there is one, of other numbers with another seed.
        for seed in ["0", "1"] {
            let seeded = try resolve(
                short + ["--auxiliary", "noise", "--seed", seed, "--output", "seeded\(seed)"],
                tasks: ["digits", "latin_lower"])
            #expect(seeded.status == 0)
        }
        #expect(try tool.data("seeded0/digits.safetensors") != tool.data("seeded1/digits.safetensors"))
    }

    @Test func stopsWhereLossesOnOtherInputsRise() throws {
        let options = ["--batch-size", "16", "--learning-rate", "1e-3", "--patience", "2", "--check-every", "2"]
        let outcome = try resolve(options + ["--steps", "90", "--trace", "trace.csv", "--json"], tasks: ["digits"])
        #expect(outcome.status == 0)
        let expert = try outcome.json()["experts"][0]
        let (steps, kept) = (try #require(expert["steps"].int), try #require(expert["kept_step"].int))
        #expect(steps < 90 && steps == kept + 4)
        let (first, best) = (expert["held_out"]["first"].double, expert["held_out"]["last"].double)
        #expect(try #require(best) <= #require(first))
        #expect(try tool.data("trace.csv").split(separator: 10).count == steps + 1)
        // Alone an expert has nothing to lose interference to: nothing is better than what it is.
        let alone = try resolve(options + ["--steps", "90", "--output", "alone"], tasks: ["digits"]).output
        #expect(
            alone.hasPrefix("digits: kept as it came, because in 4 steps the loss on held-out inputs never fell below"))
        // People are told of these losses, and not of those of batches.
        let both = ["digits", "latin_lower"]
        let gentle = ["--batch-size", "16", "--steps", "12", "--patience", "9", "--check-every", "4"]
        let told = try resolve(gentle + ["--output", "told"], tasks: both).output
        #expect(!told.contains("the loss fell") && !told.contains("the loss rose"))
        for expert in try resolve(gentle + ["--output", "json", "--json"], tasks: both).json()["experts"].items {
            let (name, kept) = (try #require(expert["name"].string), try #require(expert["kept_step"].int))
            #expect(kept > 0)
            #expect(
                told.contains(
                    "\(name): kept as it was after step \(kept) of 12, where the loss on held-out inputs had fallen"))
        }
        // Without patience, nothing is said of it.
        let plain = try resolve(short + ["--output", "plain", "--json"], tasks: ["digits"]).json()["experts"][0]
        #expect(plain.keys.isDisjoint(with: ["kept_step", "held_out"]))
    }

    @Test func saysWhatItWillTake() throws {
        let outcome = try tool.run(
            ["resolve"] + TinySuite.experts(["digits"]) + TinySuite.heads(["digits"]) + short
                + [
                    "--auxiliary", "\(TinySuite.folder)/aux_mixed.npz", "--output", "out", "--progress", "json",
                    "--json",
                ])
        #expect(outcome.status == 0)
        let expert = try outcome.json()["experts"][0]
        let bytes = try #require(expert["expected_bytes"].int)
        // A model of 0.3 MiB eleven times, activations, inputs and the process itself.
        #expect((5 << 20..<50 << 20).contains(bytes))
        #expect(try #require(expert["expected_seconds"].double) > 0)
        let notes = outcome.errors.split(separator: "\n").filter { $0.contains(#""event":"note""#) }
        #expect(
            notes.count == 2 && notes[0].contains("of memory") && notes[1].contains("2 steps of 16 inputs take about"))
        #expect(try resolve(short + ["--quiet", "--output", "quiet"], tasks: ["digits"]).errors == "")
    }

    @Test func computesBatchesAFewInputsAtATime() throws {
        let whole = try resolve(short + ["--json", "--output", "whole"]).json()["experts"][0]["loss"]["last"].double
        for size in ["1", "3", "8"] {
            let outcome = try resolve(short + ["--json", "--micro-batch-size", size, "--output", size])
            let loss = try outcome.json()["experts"][0]["loss"]["last"].double
            #expect(try abs(#require(loss) - #require(whole)) < 1e-4 * #require(whole))
        }
    }

    @Test func isTheSameOnAnyNumberOfThreads() throws {
        for threads in ["1", "2"] {
            #expect(try resolve(short + ["--threads", threads, "--output", "t\(threads)"]).status == 0)
        }
        for name in try tool.names(in: "t1") { #expect(try tool.data("t1/\(name)") == tool.data("t2/\(name)")) }
    }

    @Test func replacesOnlyWhatItIsAllowedTo() throws {
        #expect(try resolve(short, tasks: ["digits"]).status == 0)
        let refused = try resolve(short + ["--json"], tasks: ["digits"])
        #expect(refused.status == 4)
        #expect(try refused.error()["code"].string == "io.exists")
        #expect(try resolve(short + ["--force"], tasks: ["digits"]).status == 0)
        #expect(try tool.names(in: "out") == ["digits.safetensors"])
    }

    @Test(
        arguments: [
            (["--steps", "0"], 2, "interference.bad_option"), (["--steps", "x"], 2, "usage"),
            (["--steps", "99999999999999999999"], 2, "usage"), (["--batch-size", "0"], 2, "interference.bad_option"),
            (["--steps", "1", "--batch-size", "2000000000"], 4, "interference.memory"),
            (["--steps", "1", "--memory", "4MiB"], 4, "interference.memory"),
            (["--learning-rate", "nan"], 2, "interference.bad_option"),
            (["--learning-rate", "0"], 2, "interference.bad_option"), (["--alpha=-1"], 2, "interference.bad_option"),
            (["--micro-batch-size", "0"], 2, "interference.bad_option"),
            (["--clip-norm=-1"], 2, "interference.bad_option"), (["--holdout", "0.6"], 2, "interference.bad_option"),
            (["--check-every", "0"], 2, "interference.bad_option"), (["--warmup-steps", "x"], 2, "usage"),
            (["--weight-decay", "inf"], 2, "interference.bad_option"),
            (["--learning-rate", "1e9", "--steps", "9"], 3, "interference.diverged"),
            // No loss sees what the last step makes of the weights.
            (["--learning-rate", "1e39", "--steps", "1"], 3, "interference.diverged"),
            (["--trace", "out/digits.safetensors"], 2, "usage"),
            (["--trace", "t.csv", "--report", "./t.csv"], 2, "usage"),
            (["--preset", "fast"], 2, "usage"), (["--distance", "KL"], 2, "usage"), (["--schedule", "x"], 2, "usage"),
            (["--auxiliary", ""], 2, "usage"), (["--auxiliary", "noise", "--auxiliary-count", "0"], 2, "usage"),
            (["--auxiliary", "none.npz"], 3, "io.not_found"),
            (["--auxiliary", TinySuite.base], 3, "input.missing_tensor"),
            (["--head", "x=\(TinySuite.folder)/heads_digits.safetensors"], 2, "usage"),
            (["--expert", "digits=x"], 2, "usage"), (["--expert", "x=\(TinySuite.base)"], 2, "usage"),
            (["--expert", "=x"], 2, "usage"), (["--format", "npy", "--steps", "1"], 3, "format.tensor_count"),
            (["--config", "\(TinySuite.folder)/parity.json"], 3, "input.bad_config"),
            (["--config", "none.json"], 3, "input.missing_config"),
            (["--trace", "/proc/none/x.csv"], 3, "io.not_found"),
            (["--output", "/dev/null/x"], 4, "io.exists"),
        ] as [([String], Int32, String)])
    func refusesWhatMakesNoSense(arguments: [String], status: Int32, code: String) throws {
        let outcome = try resolve(arguments + ["--json"])
        #expect(outcome.status == status)
        #expect(outcome.output == "")
        #expect(try outcome.error()["code"].string == code)
        #expect(try !tool.exists("out") || tool.names(in: "out").isEmpty)
    }

    /// Names as transformers has them, made with renames: what counts is whose they are.
    @Test func saysWhoseNamesAModelHas() throws {
        let rules = [
            #"^cls_token=>embeddings.cls_token"#, #"^pos_embed=>embeddings.position_embeddings"#,
            #"^patch_embed\.proj=>embeddings.patch_embeddings.projection"#,
            #"^blocks\.(\d)\.attn\.qkv=>encoder.layer.$1.attention.attention.query"#,
        ]
        let converted = try tool.run(
            ["convert", TinySuite.base, "hf/model.safetensors", "--quiet"] + rules.flatMap { ["--rename", $0] })
        #expect(converted.status == 0)
        _ = try tool.folder.write(Array(#"{"model_type": "vit", "hidden_size": 64}"#.utf8), to: "hf/config.json")
        let head = ["--head", "digits=\(TinySuite.folder)/heads_digits.safetensors"]
        let data = TinySuite.data(["digits"])
        let recipe = """
            merge_method: average
            base_model: hf
            models:
              - model: hf/model.safetensors
                name: digits
                head: \(TinySuite.folder)/heads_digits.safetensors
                data: \(TinySuite.folder)/test_digits.npz
            """
        _ = try tool.folder.write(Array(recipe.utf8), to: "r.yaml")
        for arguments in [
            ["resolve", "--base", "hf", "--expert", "digits=hf", "--auxiliary", "noise", "--output", "out"] + head,
            ["interference", "--base", "hf", "--expert", "digits=hf", "--merged", "hf"] + head + data,
            ["evaluate", "hf"] + head + data, ["run", "r.yaml"],
            // Only an expert, or only the merged model.
            ["resolve", "--base", TinySuite.base, "--expert", "digits=hf", "--auxiliary", "noise", "--output", "out"]
                + head,
            ["interference"] + TinySuite.experts(["digits"]) + ["--merged", "hf"] + head + data,
        ] {
            let outcome = try tool.run(arguments + ["--json", "--quiet"])
            #expect(outcome.status == 3)
            let error = try outcome.error()
            #expect(error["code"].string == "input.missing_tensor")
            #expect(error["file"].string == "hf/model.safetensors")
            let message = error["message"].string ?? ""
            let family = "the tensor names of a Hugging Face vision transformer"
            #expect(message.contains(family), "\(arguments[0]): \(message)")
            #expect(message.contains("model_type \"vit\""))
            #expect(error["hint"].string?.hasPrefix("computed are timm's ViT (") == true)
            #expect(!tool.exists("out"))
        }
    }

    /// `(0, 1, ..., 783) mod 256` as F32, one picture of the suite's size.
    private func writePixelsAsFloats(to name: String) throws {
        let values = (0..<784).map { Float($0 % 256) }
        let writer = try CheckpointFormat.makeWriter(
            .npz, at: tool.folder.file(name),
            declaring: [
                try TensorDescriptor(name: "images", dtype: .f32, shape: [1, 1, 28, 28]),
                try TensorDescriptor(name: "labels", dtype: .i64, shape: [1]),
            ])
        try values.withUnsafeBytes { try writer.write($0, tensor: 0, at: 0) }
        try [Int64(3)].withUnsafeBytes { try writer.write($0, tensor: 1, at: 0) }
        _ = try writer.finish()
    }

    @Test func warnsOnceOfImagesThatAreNotNormalised() throws {
        try writePixelsAsFloats(to: "p.npz")
        let warning = "warning: \"images\" of p.npz has values from 0 to 255, mean"
        let tasks = ["digits", "latin_lower"]
        let data = ["--data", "digits=p.npz", "--data", "latin_lower=p.npz"]
        let recipe = """
            merge_method: average
            base_model: \(TinySuite.base)
            models:
              - model: \(TinySuite.expert("digits"))
                name: digits
                head: \(TinySuite.folder)/heads_digits.safetensors
                data: p.npz
            resolve: { auxiliary: p.npz, steps: 1, batch_size: 2 }
            """
        _ = try tool.folder.write(Array(recipe.utf8), to: "r.yaml")
        for arguments in [
            ["resolve"] + TinySuite.experts(tasks) + TinySuite.heads(tasks) + short
                + ["--auxiliary", "p.npz", "--output", "out", "--no-sync"],
            ["interference"] + TinySuite.experts(tasks) + TinySuite.heads(tasks) + data + ["--method", "average"],
            ["evaluate", TinySuite.base] + TinySuite.heads(tasks) + data, ["run", "r.yaml"],
        ] {
            let outcome = try tool.run(arguments + ["--quiet", "--json"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.errors.hasPrefix(warning), "\(arguments[0]): \(outcome.errors)")
            #expect(outcome.errors.contains("look like 8-bit values stored as floats; store them as uint8"))
            #expect(outcome.errors.split(separator: "\n").count { $0.contains("p.npz") } == 1, "\(arguments[0])")
            if arguments[0] == "run" {
                #expect(try outcome.json()["warnings"].items.count { $0.string?.contains("p.npz") == true } == 1)
            }
        }
    }

    /// A picture alone, which is no data, and a folder of pictures that cannot be decoded, in the commands and in a recipe.
    @Test func saysWhatAuxiliaryInputsAre() throws {
        try FileManager.default.createDirectory(
            atPath: tool.folder.file("pictures").string, withIntermediateDirectories: true)
        for name in ["pictures/a.png", "a.png"] {
            _ = try tool.folder.write([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], to: name)
        }
        for (name, code, message) in [
            ("a.png", "format.unknown_format", "a.png is a PNG image, which is not read as data"),
            ("pictures", "picture.truncated", "pictures/a.png: PNG: the PNG ends too early"),
        ] {
            let recipe = """
                merge_method: average
                base_model: \(TinySuite.base)
                models:
                  - model: \(TinySuite.expert("digits"))
                    name: digits
                    head: \(TinySuite.folder)/heads_digits.safetensors
                resolve: { auxiliary: \(name) }
                output: out/merged.safetensors
                """
            _ = try tool.folder.write(Array(recipe.utf8), to: "r.yaml")
            for outcome in [
                try resolve(["--auxiliary", name, "--json"], tasks: ["digits"]),
                try tool.run("run", "r.yaml", "--json"),
            ] {
                #expect(outcome.status == 3)
                let error = try outcome.error()
                #expect(error["code"].string == code && error["message"].string == message)
                #expect(name != "a.png" || error["hint"].string?.contains("docs/data.md") == true)
                #expect(try !tool.exists("out") || tool.shell("find out -type f").output.isEmpty)
            }
        }
    }

    @Test func refusesNamesThatAreNoFileNames() throws {
        let outcome = try tool.run(
            "resolve", "--base", TinySuite.base, "--expert", "a/b=\(TinySuite.expert("digits"))", "--head",
            "a/b=\(TinySuite.folder)/heads_digits.safetensors", "--auxiliary", "noise", "--output", "out", "--json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "input.bad_name")
    }
}
