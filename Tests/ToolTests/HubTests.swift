import Foundation
import TestSupport
import Testing

/// Models that are called by their names in the cache of the Hugging Face hub, wherever a command takes a checkpoint.
@Suite struct HubTests {
    private let tool: Tool
    private static let commit = String(repeating: "0a", count: 20)

    init() throws {
        tool = try Tool()
        for (name, file) in [
            ("tiny/base", "base"), ("tiny/digits", "expert_digits"), ("tiny-latin", "expert_latin_lower"),
        ] {
            try add(name, file)
        }
    }

    /// A model as huggingface_hub stores it: contents in `blobs`, and links to them by the files' names.
    private func add(_ name: String, _ file: String) throws {
        let model = "cache/hub/models--\(name.replacing("/", with: "--"))"
        let suite = tool.folder.file(TinySuite.folder).string
        let outcome = try tool.shell(
            """
            mkdir -p \(model)/blobs \(model)/refs \(model)/snapshots/\(Self.commit) && cd \(model)
            cp \(suite)/\(file).safetensors blobs/weights && cp \(suite)/config.json blobs/config
            ln -s ../../blobs/weights snapshots/\(Self.commit)/model.safetensors
            ln -s ../../blobs/config snapshots/\(Self.commit)/config.json
            printf \(Self.commit) > refs/main
            """)
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    private func untangle(_ line: String, environment: String = "HF_HOME=$PWD/cache") throws -> Tool.Outcome {
        try tool.shell("env -u HF_HUB_CACHE -u HUGGINGFACE_HUB_CACHE -u XDG_CACHE_HOME \(environment) untangle \(line)")
    }

    /// The place of a model's files, from the tool's folder.
    private func snapshot(_ name: String) -> String {
        "cache/hub/models--\(name.replacing("/", with: "--"))/snapshots/\(Self.commit)"
    }

    @Test(arguments: [
        "HF_HUB_CACHE=$PWD/cache/hub HF_HOME=/none", "HUGGINGFACE_HUB_CACHE=$PWD/cache/hub HF_HOME=/none",
        "HF_HOME=$PWD/cache",
        "XDG_CACHE_HOME=$PWD/x", "HOME=$PWD/home",
    ])
    func theEnvironmentSaysWhereTheCacheIs(environment: String) throws {
        _ = try tool.shell(
            "mkdir -p x home/.cache; ln -s ../cache x/huggingface; ln -s ../../cache home/.cache/huggingface")
        for name in ["tiny/base", "tiny/base@main", "tiny-latin", "tiny/digits@\(Self.commit)"] {
            let outcome = try untangle("verify \(name)", environment: environment)
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.hasPrefix("\(name): ok"))
        }
    }

    /// Every command reads the same bytes as from the file, and finds the configuration beside them.
    @Test(arguments: [
        "inspect tiny/base --checksum", "diff tiny/base tiny/digits@main --exit-zero",
        "vectors --base tiny/base tiny-latin tiny/digits",
        "evaluate tiny/digits --head digits=Fixtures/suites/tiny/heads_digits.safetensors --data digits=Fixtures/suites/tiny/test_digits.npz",
        """
        interference --base tiny/base --expert digits=tiny/digits --expert latin=tiny-latin --merged tiny/base \
        --head digits=Fixtures/suites/tiny/heads_digits.safetensors --data digits=Fixtures/suites/tiny/test_digits.npz
        """,
    ])
    func commandsTakeNames(line: String) throws {
        let names = try untangle(line + " --json")
        #expect(names.status == 0, "\(names.errors)")
        var paths = line.replacing("@main", with: "")
        for (name, file) in [
            ("tiny/base", "base"), ("tiny/digits", "expert_digits"), ("tiny-latin", "expert_latin_lower"),
        ] {
            paths = paths.replacing(" \(name)", with: " suite/\(file).safetensors")
                .replacing("=\(name)", with: "=suite/\(file).safetensors")
        }
        _ = try tool.shell("ln -s Fixtures/suites/tiny suite")
        let files = try untangle(paths + " --json")
        #expect(files.status == 0, "\(files.errors)")
        func figures(_ text: String) -> [String] {
            let pattern = try? Regex("[0-9]+\\.[0-9]+|[0-9a-f]{64}")
            return pattern.map { text.matches(of: $0).map { String($0.output[0].substring ?? "") } } ?? []
        }
        #expect(!figures(names.output).isEmpty)
        #expect(figures(names.output) == figures(files.output))
    }

    @Test func convertsAndAdapts() throws {
        #expect(try untangle("convert tiny/digits d.safetensors --no-sync").status == 0)
        #expect(try untangle("diff d.safetensors tiny/digits").status == 0)
        #expect(try untangle("convert tiny/digits d.skein --base tiny/base --no-sync").status == 0)
        #expect(try untangle("verify d.skein --deep --base tiny/base").status == 0)
        let arguments = "--base tiny/base --expert d=tiny/digits --head d=Fixtures/suites/tiny/heads_digits.safetensors"
        let resolved = try untangle("resolve \(arguments) --solver gram --output adapted --no-sync")
        #expect(resolved.status == 0, "\(resolved.errors)")
        let distilled = try untangle(
            "distill tiny/base \(arguments) --auxiliary noise --auxiliary-count 16 --steps 1 --output x.npz --no-sync")
        #expect(distilled.status == 0, "\(distilled.errors)")
    }

    /// The model card and the recipe of a result name the models, and the recipe makes the same result again.
    @Test func mergesName() throws {
        let merged = try untangle(
            "merge --method average tiny/base tiny/digits@main tiny-latin --output m/ --no-sync --report r.md")
        #expect(merged.status == 0, "\(merged.errors)")
        let card = String(decoding: try tool.data("m/README.md"), as: UTF8.self)
        #expect(card.hasPrefix("---\nbase_model:\n- tiny/base\n- tiny/digits\n- tiny-latin\n"))
        #expect(!card.contains("models--"))
        #expect(tool.exists("m/config.json"))
        let report = String(decoding: try tool.data("r.md"), as: UTF8.self).replacing("\\", with: "")
        #expect(report.contains("| tiny/digits@main/model.safetensors |"))
        let recipe = String(decoding: try tool.data("m/mergekit_config.yml"), as: UTF8.self)
        #expect(recipe.contains("\"tiny/digits@\(Self.commit)\""))
        let again = try untangle("merge m/mergekit_config.yml again/ --no-sync")
        #expect(again.status == 0, "\(again.errors)")
        #expect(try tool.data("m/model.safetensors") == tool.data("again/model.safetensors"))
    }

    @Test func recipesTakeNames() throws {
        let text = """
            merge_method: average
            models: [{ model: tiny/digits }, { model: { model: { path: tiny-latin, revision: main } } }]
            tokenizer_source: tiny/base
            """
        _ = try tool.folder.write(Array(text.utf8), to: "r.yaml")
        let outcome = try untangle("merge r.yaml m.safetensors --no-sync")
        #expect(outcome.status == 0, "\(outcome.errors)")
        _ = try tool.folder.write(Array(text.replacing("main", with: "v9").utf8), to: "r.yaml")
        let gone = try untangle("merge r.yaml n.safetensors --no-sync --json")
        #expect(gone.status == 3)
        #expect(try gone.error()["code"].string == "io.not_found")
        #expect(try gone.error()["message"].string?.contains("tiny-latin is not in the hub's cache") == true)
        #expect(try gone.error()["hint"].string?.contains("hf download tiny-latin --revision v9") == true)
    }

    @Test func saysWhatWouldDownloadIt() throws {
        let outcome = try untangle("inspect org/none@v1 --json")
        #expect(outcome.status == 3)
        let error = try outcome.error()
        #expect(error["code"].string == "io.not_found")
        #expect(
            error["hint"].string == "nothing is downloaded here; to download it: hf download org/none --revision v1")
        _ = try tool.shell("rm \(snapshot("tiny/base"))/../../blobs/weights")
        let broken = try untangle("inspect tiny/base --json").error()
        #expect(broken["code"].string == "io.not_found")
        #expect(
            broken["hint"].string
                == "the hub's cache is incomplete: hf download tiny/base --revision \(Self.commit) --include model.safetensors"
        )
    }
}
