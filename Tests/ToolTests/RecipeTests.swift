import Checkpoints
import Foundation
import SystemPackage
import TensorCore
import Testing

/// Recipes of several documents and of models with names of the hub, with the built tool.
@Suite struct RecipeTests {
    private let tool: Tool

    /// Models of two layers and one number per tensor: 1 for `one`, 3 for `two`.
    init() throws {
        tool = try Tool()
        for (name, value) in [("org/one", 1), ("org/two", 3)] as [(String, Float)] {
            let folder = tool.folder.file("hub/\(name)")
            try FileManager.default.createDirectory(atPath: folder.string, withIntermediateDirectories: true)
            let names: [TensorName] = [
                "model.embed_tokens.weight", "model.layers.0.w", "model.layers.1.w", "model.norm.weight",
            ]
            let writer = try CheckpointFormat.makeWriter(
                .safetensors, at: folder,
                declaring: names.map { try TensorDescriptor(name: $0, dtype: .f32, shape: Shape([1])) })
            for place in names.indices {
                try withUnsafeBytes(of: value) { try writer.write($0, tensor: place, at: 0) }
            }
            _ = try writer.finish()
        }
        _ = try tool.folder.write(
            Array(
                """
                merge_method: passthrough
                slices:
                  - sources: [{ model: mean, layer_range: [0, 2] }]
                  - sources: [{ model: org/two, layer_range: [1, 2] }]
                ---
                name: mean
                merge_method: linear
                models:
                  - { model: org/one, parameters: { weight: 1 } }
                  - { model: org/two, parameters: { weight: 3 } }

                """.utf8), to: "r.yaml")
    }

    private func numbers(_ path: String) throws -> [Float] {
        let store = try TensorStore(opening: tool.folder.file(path))
        return try store.descriptors.map { descriptor in
            try #require(try store.bytes(of: descriptor.name)).withUnsafeBytes { $0.loadUnaligned(as: Float.self) }
        }
    }

    @Test func warnsOfFiltersThatAreInNoName() throws {
        let text = """
            merge_method: linear
            models: [{ model: org/one }, { model: org/two }]
            parameters:
              weight: [{ filter: norm, value: 1 }, { filter: mpl, value: 2 }, { value: 3 }]

            """
        _ = try tool.folder.write(Array(text.utf8), to: "filters.yaml")
        let arguments = ["merge", "filters.yaml", "f.npz", "--models-dir", "hub", "--no-sync", "--json"]
        let said = ["line 4: the filter \"mpl\" of weight is part of no tensor's name"]
        for more in [["--dry-run"], []] {
            let outcome = try tool.run(arguments + more)
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try outcome.json()["warnings"].items.compactMap(\.string) == said)
        }
    }

    @Test func mergesDocumentsInTheirOrder() throws {
        let arguments = ["merge", "r.yaml", "out/m.safetensors", "--models-dir", "hub", "--no-sync"]
        let plan = try tool.run(arguments + ["--dry-run", "--json"])
        #expect(plan.status == 0, "\(plan.errors)")
        #expect(try plan.json()["tensors"]["elementwise"].int == 5)
        #expect(!tool.exists("out"))
        _ = try tool.shell("mkdir out")
        let merge = try tool.run(arguments)
        #expect(merge.status == 0, "\(merge.errors)")
        // (1 + 3 · 3) / 4 = 2.5 where the mean is taken, 3 in the last layer and the norm.
        #expect(try numbers("out/m.safetensors") == [2.5, 2.5, 2.5, 3, 3])
        #expect(try numbers("out/m.intermediate/mean") == [2.5, 2.5, 2.5, 2.5])
        #expect(try tool.names(in: "out") == ["m.intermediate", "m.safetensors"])
        // What an earlier run has made is taken over, so that it needs no --force of its own.
        #expect(
            try tool.run([
                "merge", "r.yaml", "out/n.safetensors", "--models-dir", "hub", "--intermediate-dir",
                "out/m.intermediate",
            ]).status == 0)
    }

    @Test func findsTheModelsOfACommandLine() throws {
        let arguments = ["merge", "--method", "task_arithmetic", "--base", "org/one", "org/two", "--no-sync"]
        let outcome = try tool.run(arguments + ["--models-dir", "hub", "--output", "m/"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try numbers("m") == [3, 3, 3, 3])
        let recipe = try String(contentsOfFile: tool.folder.file("m/mergekit_config.yml").string, encoding: .utf8)
        #expect(recipe.contains("base_model: \"hub/org/one\""))
        // Without the folder, and with one that lacks them.
        for (more, place) in [([], "org/two"), (["--models-dir", "Fixtures"], "Fixtures/org/two")] {
            let outcome = try tool.run(arguments + ["--output", "n/", "--json"] + more)
            #expect(outcome.status == 3)
            #expect(try outcome.error()["code"].string == "io.not_found")
            #expect(try outcome.error()["message"].string?.contains(place) == true)
        }
        #expect(try tool.run(arguments + ["--output", "n/", "--strict"]).status == 2)
    }

    @Test func runsThemAsWell() throws {
        let text = String(decoding: try tool.data("r.yaml"), as: UTF8.self)
        _ = try tool.folder.write(Array("output: m.npz\n\(text)".utf8), to: "run.yaml")
        let arguments = [
            "run", "run.yaml", "--models-dir", "hub", "--intermediate-dir", "parts", "--no-sync", "--json",
        ]
        let first = try tool.run(arguments)
        #expect(first.status == 0, "\(first.errors)")
        #expect(try numbers("m.npz") == [2.5, 2.5, 2.5, 3, 3])
        #expect(try numbers("parts/mean") == [2.5, 2.5, 2.5, 2.5])
        #expect(try tool.run(arguments).json()["skipped"].items.map(\.string) == ["merge"])
        // The file says more than one document: what does not belong to it leaves its result alone.
        _ = try tool.folder.write(Array("output: m.npz\n\(text)\n# a remark\n".utf8), to: "run.yaml")
        #expect(try tool.run(arguments).json()["skipped"].items.map(\.string) == ["merge"])
    }

    /// The final document is checked before what it builds upon is merged.
    @Test(arguments: [
        ("merge", "rescale: true, trim_scope: model", [], Int32(2), "merge.bad_parameter"),
        ("run", "rescale: true, trim_scope: model", [], 2, "merge.bad_parameter"),
        ("merge", "density: 0.5", ["--set", "densty=1"], 2, "merge.unknown_parameter"),
        ("merge", "density: 0.5", [], 4, "io.exists"),
        ("run", "density: 0.5", [], 4, "io.exists"),
    ]) func checksAllDocumentsFirst(command: String, parameter: String, more: [String], status: Int32, code: String)
        throws
    {
        let text = """
            merge_method: ties
            base_model: org/one
            models: [{ model: mean }]
            parameters: { \(parameter) }
            output: m.npz
            ---
            name: mean
            merge_method: average
            models: [{ model: org/one }, { model: org/two }]

            """
        _ = try tool.folder.write(Array(text.utf8), to: "final.yaml")
        let isInTheWay = code == "io.exists"
        if isInTheWay { _ = try tool.folder.write(Array("precious".utf8), to: "m.npz") }
        let output = command == "merge" ? ["m.npz"] : []
        let outcome = try tool.run([command, "final.yaml"] + output + ["--models-dir", "hub", "--json"] + more)
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(try outcome.error()["code"].string == code)
        #expect(!tool.exists("m.intermediate"))
        #expect(try isInTheWay ? tool.data("m.npz") == Data("precious".utf8) : !tool.exists("m.npz"))
    }

    /// So are the other documents: one that would replace something else keeps those before it from being merged.
    @Test(arguments: ["merge", "run"])
    func checksIntermediateDocumentsFirst(command: String) throws {
        let text = """
            merge_method: average
            output: m.npz
            models: [{ model: a }, { model: b }]
            ---
            name: a
            merge_method: average
            models: [{ model: org/one }, { model: org/two }]
            ---
            name: b
            merge_method: linear
            models: [{ model: a, parameters: { weight: 1 } }]

            """
        _ = try tool.folder.write(Array(text.utf8), to: "chain.yaml")
        _ = try tool.shell("mkdir -p parts/b && cp hub/org/one/model.safetensors parts/b")
        let output = command == "merge" ? ["m.npz"] : []
        let arguments =
            [command, "chain.yaml"] + output + [
                "--models-dir", "hub", "--intermediate-dir", "parts", "--no-sync", "--json",
            ]
        let refused = try tool.run(arguments)
        #expect(refused.status == 4)
        #expect(try refused.error()["code"].string == "io.exists")
        #expect(!tool.exists("parts/a") && !tool.exists("m.npz"))
        let forced = try tool.run(arguments + ["--force"])
        #expect(forced.status == 0, "\(forced.errors)")
        #expect(try numbers("m.npz") == [2, 2, 2, 2])
    }

    @Test(arguments: [
        (["r.yaml", "m.npz"], Int32(3), "io.not_found", "line 9: the model org/one is not there"),
        (["r.yaml", "m.npz", "--models-dir", "none"], 2, "usage", "--models-dir none is not a folder"),
        (
            ["r.yaml", "m.npz", "--models-dir", "hub", "--set", "t=1"], 2, "merge.unknown_parameter",
            "no parameter \"t\""
        ),
    ]) func refuses(arguments: [String], status: Int32, code: String, message: String) throws {
        let outcome = try tool.run(["merge", "--json"] + arguments)
        #expect(outcome.status == status)
        let error = try outcome.error()
        #expect(error["code"].string == code)
        #expect(error["message"].string?.contains(message) == true, "\(error["message"].string ?? "")")
        #expect(!tool.exists("m.npz"))
    }
}
