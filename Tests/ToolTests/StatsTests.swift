import Foundation
import Glibc
import Testing

@Suite struct StatsTests {
    private let tool: Tool
    private let tasks = ["digits", "latin_lower"]

    init() throws { tool = try Tool() }

    private func arguments(_ task: String, _ more: [String] = [], count: Int = 64, output: String) -> [String] {
        [
            "stats", TinySuite.expert(task), "--data", "\(TinySuite.folder)/test_\(task).npz", "--count", "\(count)",
            "--output", output, "--no-sync", "--quiet",
        ] + more
    }

    private func stats(_ task: String, _ more: [String] = [], count: Int = 64, output: String) throws -> Tool.Outcome {
        try tool.run(arguments(task, more, count: count, output: output))
    }

    private func fisher(_ task: String) -> [String] {
        ["--kind", "fisher", "--head", "\(TinySuite.folder)/heads_\(task).safetensors"]
    }

    /// The files are those that the methods take.
    @Test(arguments: ["regmean", "esm", "fisher"]) func feedsMergeMethods(method: String) throws {
        for task in tasks {
            let more = method == "fisher" ? fisher(task) : []
            let outcome = try stats(task, more + ["--json"], count: 16, output: "\(task).safetensors")
            #expect(outcome.status == 0, "\(outcome.errors)")
            let document = try outcome.json()
            #expect(document["inputs"].int == 16 && document["output"].string == "\(task).safetensors")
            #expect(document["tensors"].int == (method == "fisher" ? 30 : 8))
        }
        let merged = try tool.run(
            ["merge", "--method", method, "--base", "\(TinySuite.folder)/base.safetensors"]
                + tasks.map(TinySuite.expert)
                + ["--set", "statistics=\(tasks.map { "\($0).safetensors" }.joined(separator: ","))"]
                + ["--output", "m.safetensors", "--quiet", "--json"])
        #expect(merged.status == 0, "\(merged.errors)")
        #expect(!merged.errors.contains("merge.no_statistics"))
    }

    @Test(
        arguments: [
            ["--data", "shapes"], ["--kind", "fisher", "--head", "\(TinySuite.folder)/heads_digits.safetensors"],
        ])
    func goesOnAfterAKillToTheSameBytes(kind: [String]) throws {
        let state = ".g.safetensors.measuring.safetensors"
        let count = kind.contains("fisher") ? 200 : 4000
        #expect(try stats("digits", kind, count: count, output: "whole/g.safetensors").status == 0)
        let more = kind + ["--save-every", "20"]
        let process = Process()
        process.executableURL = Tool.binary
        process.arguments = arguments("digits", more, count: count, output: "out/g.safetensors")
        process.currentDirectoryURL = URL(fileURLWithPath: tool.folder.path.string)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        while process.isRunning, !tool.exists("out/\(state)") { usleep(200) }
        Glibc.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try #require(tool.exists("out/\(state)"), "it was finished before it could be killed")
        let other = try stats("digits", more + ["--resume", "--json"], count: count - 1, output: "out/g.safetensors")
        #expect(other.status == 3)
        #expect(try other.error()["code"].string == "resume.changed")
        let resume = more + ["--resume", "--json", "--threads", "1"]
        let outcome = try stats("digits", resume, count: count, output: "out/g.safetensors")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try outcome.json()["resumed_at"].int ?? 0 >= 20)
        #expect(try tool.data("out/g.safetensors") == tool.data("whole/g.safetensors"))
        #expect(try tool.names(in: "out") == ["g.safetensors", "g.safetensors.signature"])
        // All is done now.
        let again = try stats("digits", resume, count: count, output: "out/g.safetensors")
        #expect(again.status == 0)
        #expect(try again.json()["resumed_at"].int == count)
        // Of other settings it is told what differs, as while it was measured.
        let changed = try stats("digits", more + ["--resume", "--json"], count: count - 1, output: "out/g.safetensors")
        #expect(changed.status == 3)
        #expect(try changed.error()["code"].string == "resume.changed")
        #expect(try changed.error()["message"].string?.contains("limit was \(count) and is \(count - 1)") == true)
    }

    /// Files say which model they were measured on.
    @Test func aMergeWarnsOfStatisticsInAnotherOrder() throws {
        for task in tasks { #expect(try stats(task, count: 16, output: "\(task).safetensors").status == 0) }
        #expect(try stats("digits", ["--part", "1/2"], count: 16, output: "part.safetensors").status == 0)
        func codes(_ statistics: String...) throws -> Set<String> {
            let outcome = try tool.run(
                ["merge", "--method", "regmean", "--base", "\(TinySuite.folder)/base.safetensors"]
                    + tasks.map(TinySuite.expert)
                    + ["--set", "statistics=\(statistics.map { "\($0).safetensors" }.joined(separator: ","))"]
                    + ["--output", "m.safetensors", "--force", "--no-sync", "--progress", "json"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            let codes = ["other_statistics", "partial_statistics"]
            return Set(codes.filter { outcome.errors.contains("\"merge.\($0)\"") })
        }
        #expect(try codes("digits", "latin_lower") == [])
        #expect(try codes("latin_lower", "digits") == ["other_statistics"])
        #expect(try codes("part", "latin_lower") == ["partial_statistics"])
    }

    @Test func joins() throws {
        for part in ["1/2", "2/2"] {
            let name = "p\(part.first ?? "0").safetensors"
            #expect(try stats("digits", ["--part", part], output: name).status == 0)
        }
        let outcome = try tool.run(
            "stats", "--join", "p1.safetensors", "p2.safetensors", "--output", "g.safetensors", "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try outcome.json()["inputs"].int == 64)
        let text = try tool.run("stats", "--join", "p1.safetensors", "p2.safetensors", "--output", "g2.safetensors")
        #expect(text.output.hasPrefix("g2.safetensors: 8 Gram matrices from 64 inputs, "))
    }

    @Test(
        arguments: [
            (["--kind", "fisher"], 2, "usage"), (["--sampled"], 2, "usage"), (["--count", "0"], 2, "usage"),
            (["--head", "\(TinySuite.folder)/heads_digits.safetensors"], 2, "usage"),
            (["--part", "3/2"], 2, "usage"), (["--only", "nothing"], 3, "input.missing_tensor"),
            (["--part", "9/99"], 3, "input.bad_shape"), (["--memory", "64KiB"], 4, "interference.memory"),
            (["--data", "nowhere.npz"], 3, "io.not_found"), (["--output", "g.npz"], 2, "usage.output_format"),
            (["--config", "\(TinySuite.folder)/reference.json"], 3, "input.bad_config"),
        ] as [([String], Int32, String)])
    func refuses(more: [String], status: Int32, code: String) throws {
        let outcome = try stats(
            "digits", more + ["--json"], count: more.contains("9/99") ? 5 : 64, output: "g.safetensors")
        #expect(outcome.status == status, "\(outcome.errors)")
        #expect(try outcome.error()["code"].string == code)
        #expect(!tool.exists("g.safetensors") && !tool.exists("g.npz"))
    }
}
