import Foundation
import Testing

/// The base's outputs, which processes that adapt experts have in common in a file.
@Suite struct TeachersTests {
    private let tool: Tool
    private let file = "m.resolved/.teachers.safetensors"
    private let tasks = ["digits", "latin_lower"]

    init() throws { tool = try Tool() }

    private func write(
        _ resolve: String = "auxiliary: \(TinySuite.folder)/aux_mixed.npz, steps: 3, batch_size: 16",
        output: String = "m.safetensors", tasks: [String]? = nil, to name: String = "r.yaml"
    ) throws {
        let more = "merge_method: average\nresolve: { \(resolve) }\noutput: \(output)"
        _ = try tool.folder.write(Array(TinySuite.recipe(more, tasks: tasks ?? self.tasks).utf8), to: name)
    }

    private func run(_ job: String, _ more: String...) throws -> Tool.Outcome {
        let outcome = try tool.run(["run", "r.yaml", "--progress", "json", "--no-sync", "--job", job] + more)
        try #require(outcome.status == 0, "\(outcome.errors)")
        return outcome
    }

    /// Whether the base was computed, by whose time the steps are judged.
    private func computedTheBase(_ outcome: Tool.Outcome) -> Bool { outcome.errors.contains("inputs take about") }

    private func resolved(_ name: String, in folder: String = "m.resolved") throws -> Data {
        try tool.data("\(folder)/\(name).safetensors")
    }

    /// What one process makes.
    private func writeWhole() throws {
        try write(output: "whole.safetensors", to: "whole.yaml")
        #expect(try tool.run("run", "whole.yaml", "--quiet", "--no-sync").status == 0)
        // Nobody needs them any more.
        #expect(!tool.exists("whole.resolved/.teachers.safetensors"))
    }

    @Test func expertsReadWhatTheirEntryHasComputed() throws {
        try writeWhole()
        try write()
        let teachers = try run("teachers")
        #expect(teachers.output.hasPrefix("\(file): computed in "))
        #expect(try tool.names(in: "m.resolved") == [".teachers.safetensors"])
        let tensors = try tool.run("inspect", file, "--json").json()["tensors"].items
        // 3 steps of 16 inputs under two heads of 10 classes.
        #expect(tensors.map { $0["name"].string } == ["logits"])
        #expect(tensors.first?["shape"].items.map(\.int) == [48, 20])
        #expect(try run("teachers").output == "\(file): done before\n")
        #expect(try run("teachers", "--json").json()["skipped"].bool == true)
        let kept = try tool.data(file)
        for task in tasks {
            #expect(!computedTheBase(try run("expert/\(task)")))
            #expect(try resolved(task) == resolved(task, in: "whole.resolved"))
        }
        #expect(try tool.data(file) == kept)
        // An expert that is made again is one that reads.
        #expect(!computedTheBase(try run("expert/digits", "--force")))
        #expect(computedTheBase(try run("teachers", "--force")))
        #expect(try tool.data(file) == kept)
        _ = try run("merge")
        #expect(!tool.exists(file))
        #expect(try run("teachers").output == "teachers: done before\n")
        #expect(!tool.exists(file))
    }

    @Test func anExpertKeepsThemForTheNext() throws {
        try writeWhole()
        try write()
        #expect(computedTheBase(try run("expert/latin_lower")))
        #expect(!computedTheBase(try run("expert/digits")))
        for task in tasks { #expect(try resolved(task) == resolved(task, in: "whole.resolved")) }
    }

    /// What is no file of these outputs, or no longer, is computed again and gives way.
    @Test(arguments: [
        "printf X | dd of=FILE bs=1 seek=$(($(stat -c %s FILE) - 9)) conv=notrunc", "truncate --size=-4 FILE",
        "truncate --size=0 FILE", "head -c 4000 /dev/urandom > FILE",
        "cp Fixtures/suites/tiny/base.safetensors FILE",
    ]) func damageIsMended(_ damage: String) throws {
        try writeWhole()
        try write()
        _ = try run("teachers")
        let kept = try tool.data(file)
        #expect(try tool.shell(damage.replacing("FILE", with: file)).status == 0)
        #expect(try tool.data(file) != kept)
        #expect(computedTheBase(try run("expert/digits")))
        #expect(try resolved("digits") == resolved("digits", in: "whole.resolved"))
        #expect(try tool.data(file) == kept)
        #expect(try tool.shell(damage.replacing("FILE", with: file)).status == 0)
        #expect(try run("teachers").output.hasPrefix("\(file): computed in "))
        #expect(try tool.data(file) == kept)
    }

    /// What the numbers depend on makes others of them, and nothing else does.
    @Test func othersAreNeverTaken() throws {
        let auxiliary = "auxiliary: \(TinySuite.folder)/aux_mixed.npz"
        try write()
        _ = try run("teachers")
        try write(
            "\(auxiliary), steps: 3, batch_size: 16, learning_rate: 1e-4, alpha: 2, distance: mse, schedule: cosine")
        #expect(try run("teachers").output == "\(file): done before\n")
        let others = [
            "\(auxiliary), steps: 4, batch_size: 16", "\(auxiliary), steps: 3, batch_size: 8",
            "\(auxiliary), steps: 3, batch_size: 16, micro_batch_size: 4",
            "\(auxiliary), steps: 3, batch_size: 16, shuffle: true",
            "\(auxiliary), steps: 3, batch_size: 16, shuffle: true, seed: 5",
            "\(auxiliary), steps: 3, batch_size: 16, patience: 2",
            "\(auxiliary), steps: 3, batch_size: 16, patience: 2, holdout: 0.2",
            "auxiliary: noise, steps: 3, batch_size: 16", "auxiliary: noise, steps: 3, batch_size: 16, seed: 7",
        ]
        for other in others {
            try write(other)
            #expect(try run("teachers").output.hasPrefix("\(file): computed in "), "\(other)")
            #expect(try run("teachers").output == "\(file): done before\n", "\(other)")
        }
        try write()
        _ = try run("teachers")
        for change in [
            "base.safetensors=expert_digits.safetensors", "heads_digits.safetensors=heads_latin_lower.safetensors",
        ] {
            let names = change.split(separator: "=")
            let text = String(decoding: try tool.data("r.yaml"), as: UTF8.self)
            _ = try tool.folder.write(Array(text.replacing(names[0], with: names[1]).utf8), to: "other.yaml")
            #expect(
                try tool.shell("untangle run other.yaml --job teachers --no-sync --quiet").output.contains("computed"))
            // Back to those before.
            #expect(try run("teachers").output.hasPrefix("\(file): computed in "), "\(change)")
        }
        // An expert does not take those of other settings either.
        try write("\(auxiliary), steps: 2, batch_size: 16")
        #expect(computedTheBase(try run("expert/digits")))
    }

    /// What is in the way and no file is nobody's to replace.
    @Test func aFolderInTheWayIsAnError() throws {
        try write()
        #expect(try tool.shell("mkdir -p \(file)").status == 0)
        let outcome = try tool.run("run", "r.yaml", "--job", "teachers", "--quiet", "--json")
        #expect(outcome.status == 4)
        #expect(try outcome.error()["code"].string == "io.not_a_file")
    }

    @Test func onlyTrainingOnLogitsHasTeachers() throws {
        let auxiliary = "auxiliary: \(TinySuite.folder)/aux_mixed.npz"
        for resolve in ["solver: gram", "\(auxiliary), solver: ridge", "\(auxiliary), match: features, steps: 3"] {
            try write(resolve)
            let unknown = try tool.run("run", "r.yaml", "--job", "teachers", "--quiet")
            #expect(
                unknown.status == 2 && unknown.errors.contains("the recipe has no entry teachers"), "\(unknown.errors)")
            #expect(try !tool.run("run", "r.yaml", "--engine", "print").output.contains("teachers"))
            #expect(try tool.run("compare", "r.yaml", "--job", "teachers/1", "--quiet").status == 2)
        }
        // One expert has nothing in common with others.
        try write(tasks: ["digits"])
        #expect(try !tool.run("run", "r.yaml", "--engine", "print").output.contains("teachers"))
    }

    /// Merges that differ in what teachers do not depend on share theirs, in one process or in several.
    @Test func mergesShareThem() throws {
        let sections = ["steps: 2", "steps: 3", "steps: 2, alpha: 2", "steps: 3, learning_rate: 1e-4"].map {
            "{ auxiliary: \(TinySuite.folder)/aux_mixed.npz, batch_size: 16, \($0) }"
        }
        let more = "merge_method: average\nresolve: [none, \(sections.joined(separator: ", "))]"
        _ = try tool.folder.write(Array(TinySuite.recipe(more, tasks: tasks).utf8), to: "c.yaml")
        func kept(_ folder: String) throws -> [String] {
            try tool.names(in: folder).filter { $0.hasPrefix("teachers-") }
        }
        let local = try tool.run("compare", "c.yaml", "--progress", "json", "--no-sync", "--keep", "local", "--json")
        #expect(local.status == 0, "\(local.errors)")
        #expect(try kept("local").count == 2)
        #expect(local.errors.components(separatedBy: "inputs take about").count == 3)

        let compare = "untangle compare c.yaml --no-sync --keep spread"
        let script = try tool.shell("\(compare) --engine print --quiet").output
        #expect(script.matches(of: /--job (teachers\/\d+)/).map(\.output.1) == ["teachers/2", "teachers/3"])
        #expect(
            script.matches(of: /job-name=untangle-(\w+)/).map(\.output.1) == ["teachers", "expert", "merge", "table"])
        #expect(try tool.shell("\(compare) --job teachers/1").status == 2)
        let entries =
            [2, 3].map { "teachers/\($0)" } + (2...5).flatMap { number in tasks.map { "expert/\(number)/\($0)" } }
        for entry in entries {
            let outcome = try tool.shell("\(compare) --job \(entry) --progress json")
            #expect(outcome.status == 0 && computedTheBase(outcome) == entry.hasPrefix("teachers"), "\(outcome.errors)")
        }
        // Another merge with the same finds them done.
        #expect(try tool.shell("\(compare) --job teachers/4").output.hasSuffix(": done before\n"))
        #expect(try tool.shell("diff -r --exclude=figures local spread").output.isEmpty)
        // What is there needs no task; what is made by force does.
        #expect(try !tool.shell("rm spread/experts-*/digits*; \(compare) --engine print").output.contains("teachers"))
        #expect(try tool.shell("\(compare) --engine print --force").output.contains("teachers/2"))
    }
}
