import Foundation
import Testing

@Suite struct DistillTests {
    private let tool: Tool
    private let tasks = ["digits", "latin_lower"]

    init() throws { tool = try Tool() }

    private func distill(_ more: [String], of merged: String = TinySuite.expert("digits")) throws -> Tool.Outcome {
        try tool.run(
            ["distill", merged] + TinySuite.experts(tasks) + TinySuite.heads(tasks)
                + ["--auxiliary", "\(TinySuite.folder)/aux_mixed.npz", "--no-sync", "--quiet"]
                + (more.contains("--steps") ? [] : ["--steps", "3"]) + ["--batch-size", "16"]
                + (more.contains("--output") ? [] : ["--output", "out/m.safetensors"]) + more)
    }

    @Test func tellsWhatItDid() throws {
        let outcome = try distill(["--json", "--trace", "trace.csv", "--learning-rate", "auto"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let document = try outcome.json()
        #expect(document.keys == ["models"])
        let model = document["models"][0]
        #expect(
            model.keys == [
                "name", "output", "steps", "seconds", "loss", "learning_rate", "expected_bytes", "expected_seconds",
            ])
        #expect(model["output"].string == "out/m.safetensors" && model["steps"].int == 3)
        let rows = String(decoding: try tool.data("trace.csv"), as: UTF8.self).split(separator: "\n")
        #expect(rows.first == "model,step,loss" && rows.count == 4)
        #expect(try tool.names(in: "out") == ["m.safetensors"])
        #expect(try distill([]).status == 4)
        #expect(try distill(["--force"]).status == 0)
        for threads in ["1", "2"] {
            let path = "out/t\(threads).safetensors"
            #expect(try distill(["--threads", threads, "--output", path]).status == 0)
            #expect(try tool.data(path) == tool.data("out/m.safetensors"))
        }
        let text = try distill(["--output", "out/text.npz"]).output
        #expect(text.contains("text: the loss ") && !text.contains("preservation"))
    }

    @Test(
        arguments: [
            (["--alpha", "1"], 2, "usage"), (["--preset", "paper"], 2, "usage"), (["--output", "out/"], 2, "usage"),
            (["--output", "out/m.x"], 2, "usage.output_format"), (["--trace", "out/m.safetensors"], 2, "usage"),
            (["--freeze", "pos_embd"], 3, "input.missing_tensor"), (["--freeze", "*"], 2, "interference.bad_option"),
            (["--memory", "4MiB"], 4, "interference.memory"),
            (["--learning-rate", "1e9", "--steps", "9"], 3, "interference.diverged"),
        ] as [([String], Int32, String)])
    func refuses(arguments: [String], status: Int32, code: String) throws {
        let outcome = try distill(arguments + ["--json"])
        #expect(outcome.status == status)
        #expect(try outcome.error()["code"].string == code)
        #expect(!tool.exists("out/m.safetensors"))
    }

    @Test func refusesAModelOfAnotherKind() throws {
        let outcome = try distill(["--json"], of: "\(TinySuite.folder)/heads_digits.safetensors")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "input.missing_tensor")
    }

    private func resolve(_ more: [String]) throws -> Tool.Outcome {
        try tool.run(
            ["resolve"] + TinySuite.experts(tasks) + TinySuite.heads(tasks)
                + [
                    "--auxiliary", "\(TinySuite.folder)/aux_mixed.npz", "--output", "out", "--no-sync", "--force",
                    "--steps", "2", "--batch-size", "8", "--json",
                ] + more)
    }

    @Test func warnsOfOptionsWithoutEffect() throws {
        let idle = ["--holdout", "0.2", "--check-every", "5", "--warmup-steps", "3", "--progress", "json"]
        let lines = try resolve(idle).errors.split(separator: "\n")
        #expect(lines.count { $0.contains(#""code":"interference.no_effect""#) } == 3)
        #expect(try !resolve(["--progress", "json"]).errors.contains("no_effect"))
    }

    /// A minus sign belongs to a number, and `auto` is one that the program chooses.
    @Test func takesNumbersAsTheyAreWritten() throws {
        for option in ["--clip-norm", "--alpha", "--weight-decay", "--start-scale"] {
            let error = try resolve([option, "-1", "--quiet"]).error()
            #expect(error["code"].string == "interference.bad_option", "\(option)")
        }
        let chosen = try resolve(["--quiet"]).json()["experts"][0]["learning_rate"].double
        let asked = try resolve(["--quiet", "--learning-rate", "auto", "--micro-batch-size", "auto"])
        #expect(try asked.json()["experts"][0]["learning_rate"].double == chosen)
        #expect(try resolve(["--quiet", "--learning-rate", "fast"]).status == 2)
    }
}
