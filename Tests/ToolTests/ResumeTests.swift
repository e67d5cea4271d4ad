import Checkpoints
import Foundation
import Glibc
import TensorCore
import Testing

/// What `.ci/kills` does by the hundred, and what it cannot: states of other work, and damaged ones.
@Suite struct ResumeTests {
    private let tool: Tool
    private let state = ".digits.resolving.safetensors"
    /// Long enough to be killed on the way.
    private let long = ["--steps", "400", "--batch-size", "16", "--shuffle", "--schedule", "cosine"]
    private let short = ["--steps", "5", "--batch-size", "8"]

    init() throws { tool = try Tool() }

    private func arguments(_ more: [String], tasks: [String] = ["digits"], output: String = "out") -> [String] {
        ["resolve"] + TinySuite.experts(tasks) + TinySuite.heads(tasks)
            + ["--auxiliary", "\(TinySuite.folder)/aux_mixed.npz", "--output", output, "--no-sync", "--quiet"] + more
    }

    private func resolve(
        _ more: [String], tasks: [String] = ["digits"], output: String = "out"
    ) throws -> Tool.Outcome {
        try tool.run(arguments(more, tasks: tasks, output: output))
    }

    /// Starts the tool and kills it as soon as a file is there.
    private func kill(_ arguments: [String], at file: String) throws {
        let process = Process()
        process.executableURL = Tool.binary
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: tool.folder.path.string)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        while process.isRunning, !tool.exists(file) { usleep(500) }
        Glibc.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try #require(process.terminationReason == .uncaughtSignal, "it was finished before it could be killed")
    }

    /// The state after five of five steps, of a run that could not keep its record, without which no output appears.
    private func leaveState(tasks: [String] = ["digits"]) throws {
        try FileManager.default.createDirectory(
            atPath: tool.folder.file("out/digits.safetensors.signature").string, withIntermediateDirectories: true)
        let outcome = try resolve(short + ["--save-every", "2"], tasks: tasks)
        #expect(outcome.status == 4)
        #expect(try tool.names(in: "out") == [state, "digits.safetensors.signature"])
        try FileManager.default.removeItem(atPath: tool.folder.file("out/digits.safetensors.signature").string)
    }

    @Test func goesOnAfterKillsToTheSameBytes() throws {
        let tasks = ["digits", "latin_lower"]
        #expect(try resolve(long + ["--trace", "whole.csv"], tasks: tasks, output: "whole").status == 0)
        let saving = long + ["--save-every", "5"]
        try kill(arguments(saving, tasks: tasks), at: "out/\(state)")
        #expect(tool.exists("out/\(state)"))
        // Another number of threads makes no difference.
        try kill(
            arguments(saving + ["--resume", "--threads", "1"], tasks: tasks),
            at: "out/.latin_lower.resolving.safetensors")
        let outcome = try resolve(saving + ["--resume", "--json"], tasks: tasks)
        #expect(outcome.status == 0 && outcome.errors == "")
        let experts = try outcome.json()["experts"].items
        // The first was finished before the second kill, and has no losses of this run.
        #expect(experts.map { $0["steps"].int } == [0, 400])
        let step = try #require(experts[1]["resumed_at"].int)
        #expect(step >= 5 && step.isMultiple(of: 5))
        for task in tasks {
            #expect(try tool.data("out/\(task).safetensors") == tool.data("whole/\(task).safetensors"))
        }
        #expect(
            try tool.names(in: "out")
                == tasks.flatMap { ["\($0).safetensors", "\($0).safetensors.signature"] }.sorted())
        // All is done now.
        let again = try resolve(saving + ["--resume"], tasks: tasks)
        #expect(again.status == 0 && again.output.contains("done"))
    }

    @Test func keepsTheLossesOfTheStepsBefore() throws {
        #expect(try resolve(long + ["--trace", "whole.csv"], output: "whole").status == 0)
        try kill(arguments(long + ["--save-every", "3"]), at: "out/\(state)")
        #expect(try resolve(long + ["--resume", "--trace", "resumed.csv"]).status == 0)
        #expect(try tool.data("resumed.csv") == tool.data("whole.csv"))
    }

    @Test func finishesWhatHasTakenAllSteps() throws {
        #expect(try resolve(short, output: "whole").status == 0)
        try leaveState()
        #expect(try resolve(short + ["--resume"]).status == 0)
        #expect(try tool.names(in: "out") == ["digits.safetensors", "digits.safetensors.signature"])
        #expect(try tool.data("out/digits.safetensors") == tool.data("whole/digits.safetensors"))
    }

    @Test func saysWhatDiffers() throws {
        try leaveState()
        for (more, difference) in [
            (["--learning-rate", "2e-4"], "learning_rate was auto and is 0.0002"),
            (["--steps", "6"], "steps was 5 and is 6"), (["--shuffle"], "shuffle was false and is true"),
            (["--auxiliary", "\(TinySuite.folder)/test_digits.npz"], "auxiliary has other contents"),
            (["--expert", "digits=\(TinySuite.expert("devanagari"))"], "expert digits has other contents"),
            (
                ["--head", "digits=\(TinySuite.folder)/heads_latin_lower.safetensors"],
                "head of digits has other contents"
            ),
        ] {
            // What is given replaces what the other arguments say.
            var all = arguments(short)
            for flag in Set(more.filter { $0.hasPrefix("--") }) {
                if let place = all.firstIndex(of: flag), flag != "--shuffle" { all.removeSubrange(place...place + 1) }
            }
            let outcome = try tool.run(all + more + ["--resume", "--json"])
            #expect(outcome.status == 3)
            let error = try outcome.error()
            #expect(error["code"].string == "resume.changed")
            #expect(error["file"].string == "out/\(state)")
            #expect(error["message"].string?.contains(difference) == true, "\(error["message"].string ?? "")")
        }
        // Of a finished expert as well.
        #expect(try resolve(short + ["--resume"]).status == 0)
        let finished = try resolve(["--steps", "7", "--batch-size", "8", "--resume", "--json"]).error()
        #expect(finished["code"].string == "resume.changed" && finished["file"].string == "out/digits.safetensors")
        #expect(try resolve(["--steps", "7", "--batch-size", "8", "--resume", "--force"]).status == 0)
    }

    /// The teachers' outputs are added up in the order of the experts, so another order has other bytes.
    @Test func anotherOrderOfTheExpertsIsAnotherRun() throws {
        let tasks = ["digits", "latin_lower"]
        let turned = Array(tasks.reversed())
        try leaveState(tasks: tasks)
        func message() throws -> String? {
            let outcome = try resolve(short + ["--resume", "--json"], tasks: turned)
            #expect(outcome.status == 3)
            return try outcome.error()["message"].string
        }
        let order = "the order is another: expert latin_lower stands where expert digits stood"
        #expect(try message() == "\"digits\" cannot be gone on with: \(order)")
        // Of a finished expert as well.
        #expect(try resolve(short + ["--resume"], tasks: tasks).status == 0)
        #expect(try message()?.hasSuffix("cannot be gone on with: \(order)") == true)
    }

    @Test func refusesWhatIsNoState() throws {
        try leaveState()
        let path = "out/\(state)"
        let good = try tool.data(path)
        func failure() throws -> String? { try resolve(short + ["--resume", "--json"]).error()["code"].string }
        // A weight that has changed on the disk.
        var flipped = good
        flipped[good.count - 100_000] ^= 1
        try flipped.write(to: URL(fileURLWithPath: tool.folder.file(path).string))
        #expect(try failure() == "resume.damaged")
        try good.dropLast(9).write(to: URL(fileURLWithPath: tool.folder.file(path).string))
        #expect(try failure() == "resume.damaged")
        try tool.data(TinySuite.base).write(to: URL(fileURLWithPath: tool.folder.file(path).string))
        #expect(try failure() == "resume.damaged")
        // The metadata of a state with other tensors: too few parameters, more steps than there are, none.
        try good.write(to: URL(fileURLWithPath: tool.folder.file("good.safetensors").string))
        let metadata = try TensorStore(opening: tool.folder.file("good.safetensors")).metadata
        for (count, steps) in [(10, 4), (71_424, 6), (71_424, 0)] {
            try FileManager.default.removeItem(atPath: tool.folder.file(path).string)
            let tensors =
                try ["parameters", "first_moment", "second_moment"].map {
                    try TensorDescriptor(name: TensorName($0), dtype: .f32, shape: [count])
                } + [try TensorDescriptor(name: "trace", dtype: .f64, shape: [steps, 3])]
            let writer = try CheckpointFormat.makeWriter(
                .safetensors, at: tool.folder.file(path), declaring: tensors, metadata: metadata)
            for (index, tensor) in tensors.enumerated() {
                try [UInt8](repeating: 0, count: tensor.byteCount).withUnsafeBytes {
                    try writer.write($0, tensor: index, at: 0)
                }
            }
            _ = try writer.finish()
            #expect(try failure() == "resume.damaged")
        }
        // Begun anew, it is neither read nor kept.
        #expect(try resolve(short + ["--force"]).status == 0)
        #expect(try tool.names(in: "out") == ["digits.safetensors"])
    }

    /// An output is begun before the work, so a kill leaves its hidden name, which another format does not replace.
    @Test func anotherFormatLeavesNothingOfTheFirst() throws {
        try leaveState()
        for name in ["digits.safetensors", "digits.safetensors.signature", "digits.npz"] {
            _ = try tool.folder.write([], to: "out/.\(name).tmp-1-0")
        }
        _ = try tool.folder.write([], to: "out/.other.safetensors.tmp-1-0")
        #expect(try resolve(short + ["--resume", "--format", "npz"]).status == 0)
        #expect(
            try tool.names(in: "out") == [".other.safetensors.tmp-1-0", "digits.npz", "digits.npz.signature"])
    }

    @Test func saysThatThereIsNothingToResume() throws {
        let outcome = try resolve(short + ["--resume"])
        #expect(outcome.status == 0)
        #expect(outcome.errors == "warning: out has nothing to resume from; work begins at the first step\n")
        #expect(try tool.names(in: "out") == ["digits.safetensors", "digits.safetensors.signature"])
    }

    @Test func recipesGoOnAsWell() throws {
        let recipe = """
            merge_method: average
            base_model: \(TinySuite.base)
            models:
              - model: \(TinySuite.expert("digits"))
                name: digits
                head: \(TinySuite.folder)/heads_digits.safetensors
            resolve: { auxiliary: noise, auxiliary_count: 64, steps: 400, batch_size: 16, save_every: 5 }

            """
        for name in ["whole", "out"] {
            _ = try tool.folder.write(Array("\(recipe)output: \(name)/m.safetensors\n".utf8), to: "\(name).yaml")
        }
        #expect(try tool.run("run", "whole.yaml", "--quiet", "--no-sync").status == 0)
        try kill(["run", "out.yaml", "--quiet", "--no-sync"], at: "out/m.resolved/\(state)")
        let outcome = try tool.run("run", "out.yaml", "--resume", "--quiet", "--no-sync")
        #expect(outcome.status == 0 && outcome.errors == "")
        #expect(try tool.data("out/m.safetensors") == tool.data("whole/m.safetensors"))
        #expect(try tool.names(in: "out/m.resolved") == ["digits.safetensors", "digits.safetensors.signature"])
        #expect(try tool.names(in: "out") == ["m.resolved", "m.safetensors", "m.safetensors.signature"])

        _ = try tool.folder.write(Array(recipe.utf8), to: "memory.yaml")
        #expect(try tool.run("run", "memory.yaml", "--json").error()["code"].string == "usage")
        #expect(try tool.run("run", "out.yaml", "--save-every", "0", "--json").error()["code"].string == "usage")
    }
}
