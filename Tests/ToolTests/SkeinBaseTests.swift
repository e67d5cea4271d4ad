import Foundation
import Testing

/// Experts that are stored against a base, in every command that is told what the base is.
@Suite struct SkeinBaseTests {
    private let tool: Tool

    /// The experts lie in a folder without their base; `elsewhere.safetensors` is the base under another name.
    init() throws {
        tool = try Tool()
        let lines = [
            "mkdir experts", "cp \(TinySuite.base) elsewhere.safetensors",
            "cp \(TinySuite.folder)/config.json config.json",
            "untangle convert \(TinySuite.base) base.skein --no-sync",
            "untangle convert \(TinySuite.expert("digits")) experts/digits.skein --base base.skein --no-sync",
            "untangle convert \(TinySuite.expert("latin_lower")) experts/latin.skein --base base.skein --no-sync",
        ]
        for line in lines { #expect(try tool.shell(line).status == 0, "\(line)") }
    }

    private func output(_ arguments: String...) throws -> String {
        let outcome = try tool.run(arguments + ["--quiet"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        return outcome.output
    }

    @Test func isFoundByItsRoleInEveryCommand() throws {
        let task = [
            "--head", "digits=\(TinySuite.folder)/heads_digits.safetensors", "--data",
            "digits=\(TinySuite.folder)/test_digits.npz",
        ]
        for (command, expected) in [
            (
                ["merge", "--method", "ties", "--base", "elsewhere.safetensors", "EXPERT", "--output", "OUTPUT"],
                "merged"
            ),
            (["vectors", "--base", "elsewhere.safetensors", "EXPERT", "--json"], "vectors"),
            (
                ["interference", "--base", "elsewhere.safetensors", "--expert", "digits=EXPERT", "--merged", "EXPERT"]
                    + task, "total"
            ),
            (["evaluate", "EXPERT", "--base", "elsewhere.safetensors", "--config", "config.json"] + task, "digits"),
            (["diff", "EXPERT", TinySuite.expert("digits"), "--base", "elsewhere.safetensors"], "equal"),
            (["inspect", "EXPERT", "--checksum", "--base", "elsewhere.safetensors"], "SHA256"),
            (["verify", "EXPERT", "--deep", "--base", "elsewhere.safetensors"], "ok"),
            (["convert", "EXPERT", "converted.OUTPUT", "--base", "elsewhere.safetensors"], "written"),
        ] {
            // As the plain expert does.
            let outcomes = try ["experts/digits.skein", TinySuite.expert("digits")].enumerated().map { number, expert in
                let arguments = command.map {
                    $0.replacingOccurrences(of: "EXPERT", with: expert)
                        .replacingOccurrences(of: "OUTPUT", with: "out\(number).skein")
                }
                return try tool.run(arguments + ["--quiet"])
            }
            #expect(outcomes[0].status == 0, "\(command[0]) \(expected): \(outcomes[0].errors)")
            if ["vectors", "evaluate", "interference"].contains(command[0]) {
                let plain = outcomes[1].output
                    .replacingOccurrences(of: TinySuite.expert("digits"), with: "experts/digits.skein")
                    .replacingOccurrences(of: "expert_digits", with: "digits")
                let words = { (text: String) in text.split { $0 == " " || $0 == "\n" } }
                #expect(words(outcomes[0].output) == words(plain), "\(command[0])")
            }
        }
        #expect(try tool.run("diff", "out0.skein", "out1.skein").status == 0)
    }

    /// Of the suite's 30 tensors 16 have fewer than 512 bytes and are stored as they are.
    @Test func convertSaysWhatTheBaseWasGoodFor() throws {
        #expect(try output("convert", TinySuite.base, "b16.safetensors", "--dtype", "BF16", "--no-sync") != "")
        #expect(try output("convert", TinySuite.base, "b64.safetensors", "--dtype", "F64", "--no-sync") != "")
        #expect(try output("convert", TinySuite.base, "part.npz", "--only", "blocks.*", "--no-sync") != "")
        #expect(
            try output(
                "convert", "\(TinySuite.folder)/heads_digits.safetensors", "other.npz", "--rename",
                "^weight$=>norm.weight",
                "--no-sync") != "")
        func convert(_ base: String) throws -> (outcome: Tool.Outcome, counts: [Int?]) {
            let arguments = ["convert", TinySuite.expert("digits"), "x.skein", "--base", base, "--force", "--no-sync"]
            let document = try tool.run(arguments + ["--json"]).json()["base"]
            #expect(document.keys == ["gained", "tensors", "missing", "shape", "dtype", "no_gain"])
            let keys = ["gained", "tensors", "missing", "shape", "dtype", "no_gain"]
            return (try tool.run(arguments + ["--quiet"]), keys.map { document[$0].int })
        }
        // Most of the data gains: a remark.
        let (same, counts) = try convert(TinySuite.base)
        let gained = try #require(counts[0])
        #expect((8...14).contains(gained))
        #expect(counts == [gained, 30, 0, 0, 0, 30 - gained])
        #expect(same.errors == "")
        #expect(
            same.output.hasSuffix(
                "\n\(gained) of 30 tensors gained from the base (\(30 - gained) are no shorter with it)\n"))
        // Nothing does: a warning.
        let (types, typeCounts) = try convert("b64.safetensors")
        #expect(typeCounts == [0, 30, 0, 0, 30, 0])
        #expect(
            types.errors
                == "warning: 0 of 30 tensors gained from the base (30 differ in type: F32 here, F64 there)\n")
        #expect(types.output.split(separator: "\n").count == 1)
        // F32 holds what BF16 does.
        #expect(try convert("b16.safetensors").counts == [gained, 30, 0, 0, 0, 30 - gained])
        let (other, otherCounts) = try convert("other.npz")
        #expect(otherCounts == [0, 30, 29, 1, 0, 0])
        #expect(
            other.errors
                == "warning: 0 of 30 tensors gained from the base (29 are not in it; 1 differs in shape)\n")
        // Without the embeddings: 24 tensors of two blocks, of which the large ones gain.
        #expect(try convert("part.npz").counts[2] == 6)
        // No base, no count.
        let plain = try tool.run("convert", TinySuite.expert("digits"), "y.skein", "--json", "--no-sync").json()
        #expect(!plain.keys.contains("base"))
    }

    @Test func resolvesAndRuns() throws {
        let experts = ["digits", "latin"].flatMap { ["--expert", "\($0)=experts/\($0).skein"] }
        let heads = [
            "--head", "digits=\(TinySuite.folder)/heads_digits.safetensors", "--head",
            "latin=\(TinySuite.folder)/heads_latin_lower.safetensors",
        ]
        let resolved = try tool.run(
            ["resolve", "--base", "elsewhere.safetensors"] + experts + heads
                + ["--auxiliary", "noise", "--auxiliary-count", "64", "--steps", "1", "--output", "out", "--no-sync"])
        #expect(resolved.status == 0, "\(resolved.errors)")
        // What is written stands by itself.
        #expect(try tool.run("verify", "out/digits.skein", "--deep").status == 0)
        let recipe = """
            merge_method: task_arithmetic
            base_model: elsewhere.safetensors
            models:
              - model: experts/digits.skein
              - model: experts/latin.skein
            output: merged.safetensors
            """
        try recipe.write(toFile: tool.folder.file("recipe.yaml").string, atomically: true, encoding: .utf8)
        let ran = try tool.run("run", "recipe.yaml", "--quiet", "--no-sync")
        #expect(ran.status == 0, "\(ran.errors)")
        let merged = try tool.run("merge", "recipe.yaml", "again.safetensors", "--quiet", "--no-sync")
        #expect(merged.status == 0, "\(merged.errors)")
        #expect(try tool.run("diff", "merged.safetensors", "again.safetensors").status == 0)
    }

    /// A base beside the file goes before one that is only likely, unless that one bears the recorded name.
    @Test func theRecordedNameStillCounts() throws {
        #expect(try tool.shell("cp base.skein experts/base.skein").status == 0)
        let other = TinySuite.expert("fashion_tops")
        _ = try output("vectors", "--base", other, "experts/digits.skein", "--json")
        #expect(try tool.shell("mkdir others && untangle convert \(other) others/base.skein --no-sync").status == 0)
        let outcome = try tool.run("vectors", "--base", "others/base.skein", "experts/digits.skein", "--json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "format.wrong_base")
        // Stored anew, against another base than it was.
        _ = try output("convert", "experts/digits.skein", "moved.skein", "--base", "elsewhere.safetensors")
        _ = try output("verify", "moved.skein", "--deep", "--base", TinySuite.base)
        // A folder stands for the file in it.
        #expect(try tool.shell("mkdir folder && cp \(TinySuite.base) folder/model.safetensors").status == 0)
        #expect(try tool.shell("mkdir own && cp \(TinySuite.expert("digits")) own/model.safetensors").status == 0)
        _ = try output("convert", TinySuite.expert("digits"), "own/model.skein", "--base", "folder")
        _ = try output("vectors", "--base", "folder", "own/model.skein", "--json")
    }

    @Test func aWrongBaseIsNamedWithBothIdentities() throws {
        let outcome = try tool.run(
            "merge", "--method", "ties", "--base", TinySuite.expert("latin_lower"), "experts/digits.skein", "--output",
            "x.safetensors", "--json")
        #expect(outcome.status == 3)
        let error = try outcome.error()
        #expect(error["code"].string == "format.wrong_base")
        let message = try #require(error["message"].string)
        #expect(message.matches(of: /[0-9a-f]{32}/).count == 2)
        let missing = try tool.run(
            "evaluate", "experts/digits.skein", "--json", "--config", "config.json",
            "--head", "d=\(TinySuite.folder)/heads_digits.safetensors", "--data",
            "d=\(TinySuite.folder)/test_digits.npz")
        #expect(try missing.error()["code"].string == "format.missing_base")
    }
}
