import Foundation
import SystemPackage
import Testing

/// Merges that are cut into parts, by the built tool.
@Suite struct MergePartTests {
    private let tool: Tool
    /// A merge whose shards make five parts, without its output.
    private let arguments = [
        "merge", "--method", "ties", "--set", "density=0.2", "--base", TinySuite.base, TinySuite.expert("digits"),
        TinySuite.expert("latin_lower"), "--shard-size", "30KB", "--no-sync",
    ]

    init() throws { tool = try Tool() }

    private func replacing(_ settings: [String]) -> [String] {
        Array(arguments[..<1]) + settings + Array(arguments[5...])
    }

    /// Runs that have to succeed.
    private func run(_ arguments: [String]) throws -> Tool.Outcome {
        let outcome = try tool.run(arguments)
        #expect(outcome.status == 0, "\(outcome.errors)")
        return outcome
    }

    private func error(_ arguments: [String], status: Int32) throws -> JSONValue {
        let outcome = try tool.run(arguments + ["--json"])
        #expect(outcome.status == status, "\(outcome.errors)")
        return try outcome.error()
    }

    private func expectSame(_ a: String, _ b: String) throws {
        let names = try tool.names(in: a)
        #expect(try tool.names(in: b) == names)
        for name in names { #expect(try tool.data("\(a)/\(name)") == tool.data("\(b)/\(name)"), "\(name)") }
    }

    /// Surveys of the whole model, groups that are compared, matrices, copies and casts that overflow.
    @Test(arguments: [
        ["--method", "linear"], ["--method", "ties", "--set", "trim_scope=model"],
        ["--method", "knots_ties", "--set", "density=0.5"], ["--method", "tsv_m", "--keep-base", "*norm*"],
        ["--method", "task_arithmetic", "--set", "lambda=1e7", "--dtype", "F16"],
    ])
    func joinedPartsAreTheFolderOfOneProcess(settings: [String]) throws {
        let merge = replacing(settings)
        _ = try run(merge + ["--output", "one/m/"])
        #expect(try tool.names(in: "one/m").filter { $0.hasSuffix(".safetensors") }.count > 5)
        for part in ["3/3", "1/3", "2/3"] {
            _ = try run(merge + ["--output", "cut/m/", "--part", part, "--threads", "2"])
            // Nothing that looks like a model.
            #expect(try tool.names(in: "cut/m").allSatisfy { $0.hasSuffix(".part") || $0.hasPrefix("part-") })
            #expect(try tool.run("inspect", "cut/m").status == 3)
        }
        let joined = try run(merge + ["--output", "cut/m/", "--join", "--json"]).json()
        #expect(joined["files"].items.first?.string?.hasPrefix("cut/m/model-00001-of-000") ?? false)
        try expectSame("one/m", "cut/m")
    }

    @Test func partsRunAtTheSameTime() throws {
        _ = try run(arguments + ["--output", "one/m/"])
        let command = (["untangle"] + arguments).joined(separator: " ") + " --output cut/m/"
        let line = "for i in 1 2 3 4; do \(command) --part $i/4 & all+=($!); done; for p in ${all[@]}; do wait $p; done"
        #expect(try tool.shell("set -e; \(line); \(command) --join").status == 0)
        try expectSame("one/m", "cut/m")
    }

    /// The base of 30 tensors in F32, all merged, has 71,424 parameters; each is in one part.
    @Test func aPartTellsWhatItWritesAndAJoinWhatItLacks() throws {
        let merge = arguments + ["--output", "m/"]
        #expect(try error(merge + ["--join", "--dry-run"], status: 3)["code"].string == "merge.missing_part")
        var sums = [0, 0, 0]
        for part in ["1/3", "2/3", "3/3"] {
            let plan = try run(merge + ["--part", part, "--dry-run", "--json"]).json()
            #expect(plan["output_bytes"].int == 4 * 71_424)
            let share = plan["part"]
            #expect(share["part"].string == part)
            #expect(plan["disk"]["needed_bytes"].int == share["output_bytes"].int)
            #expect(share["output_bytes"].int == 4 * (share["parameters"].int ?? 0))
            let text = try run(merge + ["--part", part, "--dry-run"]).output
            #expect(text.contains("part \(part)") && text.contains("output of the part"))

            let made = try run(merge + ["--part", part, "--json"]).json()
            let files = try tool.names(in: "m").filter { $0.hasSuffix(".part") }
            #expect(made["files"].items.count == share["shards"].int)
            #expect(made["tensors"].int == share["tensors"].int && made["parameters"].int == share["parameters"].int)
            sums[0] += share["shards"].int ?? 0
            sums[1] += share["tensors"].int ?? 0
            sums[2] += share["parameters"].int ?? 0
            #expect(files.count == sums[0])
            if part == "3/3" { #expect(share["shards_in_all"].int == sums[0]) }
            let join = try tool.run(merge + ["--join", "--dry-run"])
            #expect(join.status == (part == "3/3" ? 0 : 3), "\(join.errors)")
        }
        #expect(sums[1...] == [30, 71_424])
        #expect(try tool.names(in: "m").allSatisfy { $0.hasSuffix(".part") || $0.hasPrefix("part-") })
    }

    /// What parts have found in the models is told by the join as by a merge at once; a part that is done says it again.
    @Test func aJoinWarnsOfWhatTheModelsHold() throws {
        let names = ["cls_token", "norm.bias", "blocks.1.norm1.bias"]
        var file = TinySuite.expert("digits")
        for (place, name) in names.enumerated() {
            let values = [Float](repeating: 1, count: 62) + [.nan, place == 0 ? 0 : .infinity]
            try tool.replace(name, of: file, by: values, in: "e\(place).safetensors")
            file = "e\(place).safetensors"
        }
        let merge = arguments.map { $0 == TinySuite.expert("digits") ? file : $0 }
        func warnings(_ more: [String]) throws -> [String] {
            try run(merge + ["--json"] + more).json()["warnings"].items.compactMap(\.string)
        }
        let whole = try warnings(["--output", "one/m/"])
        #expect(whole.filter { $0.contains("(e2.safetensors) holds 1 NaN") }.count == 3)
        var told: [String] = []
        for part in ["1/3", "2/3", "3/3"] {
            let first = try warnings(["--output", "cut/m/", "--part", part])
            #expect(try warnings(["--output", "cut/m/", "--part", part]) == first)
            told += first
        }
        #expect(Set(told.filter { $0.contains("holds") }) == Set(whole.filter { $0.contains("holds") }))
        #expect(try warnings(["--output", "cut/m/", "--join"]) == whole)
        try expectSame("one/m", "cut/m")
    }

    @Test func aRecipeIsCutAsWell() throws {
        let recipe =
            "merge_method: linear\nmodels:\n"
            + ["digits", "latin_lower"].map {
                "  - model: \(TinySuite.expert($0))\n    parameters: { weight: 0.5 }\n"
            }.joined()
        _ = try tool.folder.write(Array(recipe.utf8), to: "r.yml")
        let options = ["--shard-size", "30KB", "--no-sync"]
        _ = try run(["merge", "r.yml", "one/m/"] + options)
        for step in [["--part", "2/2"], ["--part", "1/2"], ["--join"]] {
            _ = try run(["merge", "r.yml", "cut/m/"] + options + step)
        }
        try expectSame("one/m", "cut/m")
    }

    @Test func aMissingPartIsNamed() throws {
        let merge = arguments + ["--output", "m/"]
        let none = try error(merge + ["--join"], status: 3)
        #expect(none["code"].string == "merge.missing_part")
        for part in ["1/3", "3/3"] { _ = try run(merge + ["--part", part]) }
        let missing = try error(merge + ["--join"], status: 3)
        #expect(missing["code"].string == "merge.missing_part")
        #expect(missing["message"].string == "part 2/3 is not there")
        #expect(missing["hint"].string?.contains("--part 2/3") ?? false)

        _ = try run(merge + ["--part", "2/3"])
        // What is there is not merged again; what was damaged is.
        #expect(try run(merge + ["--part", "2/3"]).output.hasSuffix("(done before)\n"))
        let file = try #require(try tool.names(in: "m").first { $0.hasSuffix(".part") })
        #expect(try tool.shell("truncate -s -1 m/\(file)").status == 0)
        let damaged = try error(merge + ["--join"], status: 3)
        #expect(damaged["message"].string == "part 1/3 has lost its file \(file), or it was changed")
        #expect(try !run(merge + ["--part", "1/3"]).output.hasSuffix("(done before)\n"))
        // One byte of another value, at the same size.
        #expect(try tool.shell("printf X | dd of=m/\(file) bs=1 seek=20000 conv=notrunc 2>/dev/null").status == 0)
        #expect(try error(merge + ["--join"], status: 3)["code"].string == "merge.missing_part")
        #expect(try !run(merge + ["--part", "1/3"]).output.hasSuffix("(done before)\n"))
        _ = try run(merge + ["--join"])
        let again = try error(merge + ["--join", "--force"], status: 3)
        #expect(again["message"].string == "there are no parts in m, which holds a whole model")
    }

    /// Sums of such counts would not fit. An edited record is as good as none: the part is merged again.
    @Test(arguments: ["9223372036854775807", "-1", "1e3", "9223372036854775808", "129"])
    func anEditedRecordIsDamaged(count: String) throws {
        let merge = arguments + ["--output", "m/"]
        for part in ["1/2", "2/2"] { _ = try run(merge + ["--part", part]) }
        // These have 128 elements.
        let tensor = { (block: Int) in
            #"{"tensor":"blocks.\#(block).mlp.fc1.bias","overflows":0,"underflows":\#(count),"nan":0,"inf":0}"#
        }
        let path = "m/part-1-of-2.json"
        let text = String(decoding: try tool.data(path), as: UTF8.self)
        let edited = text.replacing("\"findings\": []", with: "\"findings\": [\(tensor(0)),\(tensor(1))]")
        #expect(edited != text)
        _ = try tool.folder.write(Array(edited.utf8), to: path)
        let damaged = try error(merge + ["--join"], status: 3)
        #expect(damaged["code"].string == "merge.missing_part")
        #expect(damaged["message"].string == "part 1/2 has a damaged record")
        #expect(try !run(merge + ["--part", "1/2"]).output.hasSuffix("(done before)\n"))
        _ = try run(merge + ["--join"])
    }

    @Test func aPartSaysWhatItWithdraws() throws {
        let merge = arguments + ["--output", "m/"]
        for part in ["1/3", "2/3", "3/3"] { _ = try run(merge + ["--part", part]) }
        let other = try run(merge + ["--part", "1/2"])
        #expect(other.errors.contains("warning: shards of part 1/3"), "\(other.errors)")
        // A merge at once leaves nothing of the parts, and is that of a folder without any.
        _ = try run(merge)
        _ = try run(arguments + ["--output", "one/m/"])
        try expectSame("one/m", "m")
    }

    /// A part that was killed leaves shards under hidden names, which no part of another cut replaces.
    @Test(arguments: [["--part", "1/1"], ["--force"]]) func whatAKilledPartHasLeftGoesWithAMerge(step: [String]) throws
    {
        _ = try run(arguments + ["--output", "one/m/"])
        let merge = arguments + ["--output", "m/"]
        let names = ["model-00001-of-00009.safetensors.part", "model.safetensors.part", "part-1-of-9.json"]
        try shell("mkdir m; \(names.map { "echo > m/.\($0).tmp-1-0; " }.joined()) echo > m/.other.part.tmp-1-0")
        _ = try run(merge + step)
        if step == ["--part", "1/1"] { _ = try run(merge + ["--join"]) }
        #expect(try tool.names(in: "m").filter { $0.hasPrefix(".") } == [".other.part.tmp-1-0"])
        try shell("rm m/.other.part.tmp-1-0")
        try expectSame("one/m", "m")
    }

    @Test func partsOfDifferentMergesAreNotJoined() throws {
        let merge = replacing(["--method", "ties", "--set", "density=0.2"]) + ["--output", "m/"]
        let other = replacing(["--method", "ties", "--set", "density=0.3"]) + ["--output", "m/"]
        _ = try run(merge + ["--part", "1/2"])
        _ = try run(other + ["--part", "2/2"])
        let different = try error(merge + ["--join"], status: 3)
        #expect(different["code"].string == "merge.different_part")
        #expect(
            different["message"].string == "part 2/2 was merged otherwise: parameters.density was 0.3 and is 0.2")
        // Cut in another way, the older parts that it has overwritten count no more.
        for part in ["1/3", "2/3"] { _ = try run(merge + ["--part", part]) }
        #expect(try tool.names(in: "m").filter { $0.hasPrefix("part-") }.count == 2)
        _ = try run(merge + ["--part", "3/3"])
        _ = try run(merge + ["--join"])
    }

    /// The same tensors, and metadata of another model in every shard.
    @Test func partsWithOtherDonorsAreNotJoined() throws {
        let experts = ["digits", "latin_lower"].map(TinySuite.expert)
        for (place, base) in experts.enumerated() {
            let models = experts.map { "  - { model: \($0), parameters: { weight: 1 } }\n" }.joined()
            let recipe = "merge_method: linear\nbase_model: \(base)\nmodels:\n\(models)"
            _ = try tool.folder.write(Array(recipe.utf8), to: "r.yml")
            _ = try run(["merge", "r.yml", "m/", "--shard-size", "30KB", "--no-sync", "--part", "\(place + 1)/2"])
        }
        let different = try error(
            ["merge", "r.yml", "m/", "--shard-size", "30KB", "--no-sync", "--join"], status: 3)
        #expect(different["code"].string == "merge.different_part")
        #expect(different["message"].string == "part 1/2 was merged otherwise: donor was 0 and is 1")
    }

    /// Each once, although the card has them as options, too.
    @Test func whatDiffersIsNamedOnce() throws {
        let merge = arguments + ["--output", "m/"]
        _ = try run(merge + ["--part", "1/1"])
        #expect(
            try error(merge + ["--join", "--dtype", "F16", "--exclude", "norm.*"], status: 3)["message"].string
                == "part 1/1 was merged otherwise: dtype was not given and is F16, selection.exclude.0 was not given and is norm.*"
        )
    }

    @Test func anInputThatChangedMeanwhileIsNamed() throws {
        let expert = TinySuite.expert("digits")
        let merge = arguments.map { $0 == expert ? "e.safetensors" : $0 } + ["--output", "m/"]
        #expect(try tool.shell("cp '\(expert)' e.safetensors").status == 0)
        _ = try run(merge + ["--part", "1/2"])
        #expect(try tool.shell("touch -d 2020-01-01 e.safetensors").status == 0)
        _ = try run(merge + ["--part", "2/2"])
        let different = try error(merge + ["--join"], status: 3)
        #expect(
            different["message"].string
                == "part 1/2 was merged otherwise: the file of model 2 has another size or time of change")
    }

    @Test func whatCannotBeCutIsRefusedBeforeAnyWork() throws {
        let output = ["--output", "m/"]
        for part in ["4/3", "0/3", "1", "1/0", "a/b", "-1/3", "1/3/3"] {
            let outcome = try tool.run(arguments + output + ["--part=\(part)"])
            #expect(outcome.status == 2)
            #expect(outcome.errors.contains("give a number from 1 to N, a slash and N"), "\(outcome.errors)")
        }
        #expect(try tool.run(arguments + output + ["--part", "1/2", "--join"]).status == 2)
        let file = try error(arguments + ["--output", "m.safetensors", "--part", "1/2"], status: 2)
        #expect(file["code"].string == "usage.parts")
        let few = try error(
            arguments.map { $0 == "30KB" ? "1GB" : $0 } + output + ["--part", "1/4", "--dry-run"], status: 2)
        #expect(few["code"].string == "usage.parts")
        let words = few["hint"].string?.split(separator: " ").map(String.init) ?? []
        #expect(words.first == "--shard-size")
        // The hint is right.
        let enough = arguments.map { $0 == "30KB" ? words[1] : $0 } + output + ["--part", "4/4"]
        #expect(try tool.names(in: ".").filter { !$0.hasPrefix(".") } == ["Fixtures"])
        _ = try run(enough)
    }

    @Test(arguments: ["30KB", "1GB"]) func aModelThatIsThereGivesWayToForceOnly(older: String) throws {
        let merge = arguments + ["--output", "m/"]
        // The same layout with other numbers, and one file.
        _ = try run(replacing(["--method", "linear"]).map { $0 == "30KB" ? older : $0 } + ["--output", "m/"])
        #expect(try error(merge + ["--part", "1/1"], status: 4)["code"].string == "io.exists")
        let before = try tool.data("m/README.md")
        _ = try run(merge + ["--part", "1/1", "--force"])
        #expect(try error(merge + ["--join"], status: 4)["code"].string == "io.exists")
        #expect(try tool.data("m/README.md") == before)
        #expect(try tool.names(in: ".") == ["Fixtures", "m"])
        _ = try run(merge + ["--join", "--force"])
        _ = try run(arguments + ["--output", "one/m/"])
        try expectSame("one/m", "m")
    }

    /// Three parts in `cut/m`, and in `one/m` what their join has to make of them.
    private func leaveParts() throws -> [String] {
        _ = try run(arguments + ["--output", "one/m/"])
        for part in ["1/3", "2/3", "3/3"] { _ = try run(arguments + ["--output", "cut/m/", "--part", part]) }
        return arguments + ["--output", "cut/m/"]
    }

    private func shell(_ line: String) throws { #expect(try tool.shell("set -e; \(line)").status == 0, "\(line)") }

    /// What a kill between two renames leaves: some files of the model, and the others in a hidden folder, shards by second names.
    @Test(arguments: [[], ["--force"]]) func aJoinThatWasKilledAmongTheRenamesGoesOn(force: [String]) throws {
        let merge = try leaveParts()
        try shell(
            """
            cp one/m/README.md one/m/mergekit_config.yml cut/m/
            mkdir cut/.m.tmp-1-0; touch cut/.m.tmp-1-0/.lock; cp one/m/*.index.json cut/.m.tmp-1-0/
            cd cut/m; for part in *.part; do ln $part ../.m.tmp-1-0/${part%.part}; done
            mv ../.m.tmp-1-0/model-00001-of-* .
            """)
        _ = try run(merge + ["--join"] + force)
        try expectSame("one/m", "cut/m")
        #expect(try tool.names(in: "cut") == ["m"])
    }

    /// What a kill among the removals leaves, which are in this order: the parts, then their records, the first one last.
    @Test(arguments: [
        "rm $(ls *.part | head -1)", "rm *.part", "rm *.part part-3-of-3.json", "rm *.part part-[23]-of-3.json",
    ])
    func aJoinThatWasKilledAmongTheRemovalsGoesOn(removal: String) throws {
        let merge = try leaveParts()
        // A join that gets as far as to the other file has told the first part of the others.
        try shell("echo > cut/m/README.md")
        #expect(try error(merge + ["--join"], status: 4)["code"].string == "io.exists")
        try shell(
            """
            cd cut/m; for part in *.part; do ln $part ${part%.part}; done
            cp ../../one/m/README.md ../../one/m/mergekit_config.yml ../../one/m/*.index.json .; \(removal)
            """)
        for part in ["1/3", "3/3"] {
            #expect(try run(merge + ["--part", part]).output.hasSuffix("(done before)\n"))
        }
        _ = try run(merge + ["--join"])
        try expectSame("one/m", "cut/m")
        #expect(try tool.names(in: "cut") == ["m"])
    }

    /// A shard that was put in its place by a join is looked at as the part was.
    @Test func aShardThatChangedAfterAJoinBeganIsNamed() throws {
        let merge = try leaveParts()
        let part = try #require(try tool.names(in: "cut/m").first { $0.hasSuffix(".part") })
        try shell(
            "cd cut/m; mv \(part) \(part.dropLast(5)); printf X | dd of=\(part.dropLast(5)) bs=1 seek=20000 conv=notrunc"
        )
        #expect(
            try error(merge + ["--join"], status: 3)["message"].string
                == "part 1/3 has lost its file \(part), or it was changed")
    }
}
