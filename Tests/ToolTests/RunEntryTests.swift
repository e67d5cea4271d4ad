import Foundation
import Testing

/// Entries of a recipe that processes of their own carry out, and the script that hands them to Slurm.
@Suite struct RunEntryTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    /// A recipe of two experts, whose names need quotes in a shell.
    private func write(
        _ name: String = "r.yaml", output: String = "m.safetensors", second: String = "a b"
    ) throws {
        let models = [("digits", "it's"), ("latin_lower", second)].map { task, name in
            """
              - model: \(TinySuite.expert(task))
                name: "\(name)"
                head: \(TinySuite.folder)/heads_\(task).safetensors
                data: \(TinySuite.folder)/test_\(task).npz

            """
        }.joined()
        let text = """
            merge_method: task_arithmetic
            base_model: \(TinySuite.base)
            models:
            \(models)
            resolve: { auxiliary: \(TinySuite.folder)/aux_mixed.npz, steps: 3, batch_size: 16 }
            output: \(output)
            report: \(output).json
            """
        _ = try tool.folder.write(Array(text.utf8), to: name)
    }

    private func run(_ job: String, _ more: String...) throws -> Tool.Outcome {
        try tool.run(["run", "r.yaml", "--quiet", "--no-sync", "--job", job] + more)
    }

    private func expectNotReady(_ job: String, _ message: String, hint: String) throws {
        let outcome = try run(job, "--json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "input.not_ready")
        #expect(try outcome.error()["message"].string?.hasPrefix(message) ?? false, "\(outcome.errors)")
        #expect(try outcome.error()["hint"].string == hint)
    }

    @Test func entriesMakeWhatOneProcessMakes() throws {
        try write("local.yaml", output: "local.safetensors")
        let local = try tool.run("run", "local.yaml", "--quiet", "--no-sync", "--json")
        #expect(local.status == 0, "\(local.errors)")
        try write()
        try expectNotReady(
            "merge", "the adapted expert \"it's\" is not there yet", hint: "--job 'expert/it'\\''s' makes it")
        let first = try run("expert/a b")
        #expect(first.output.hasPrefix("m.resolved/a b.safetensors: 3 steps in "), "\(first.errors)")
        #expect(
            try tool.names(in: "m.resolved") == [
                ".teachers.safetensors", "a b.safetensors", "a b.safetensors.signature",
            ])
        try expectNotReady(
            "measure", "the adapted expert \"it's\" is not there yet", hint: "--job 'expert/it'\\''s' makes it")
        #expect(try run("expert/it's", "--json").json()["experts"][0]["steps"].int == 3)
        #expect(try run("expert/it's").output == "m.resolved/it's.safetensors: done before\n")
        try expectNotReady(
            "measure", "the merged checkpoint m.safetensors is not there yet", hint: "--job merge makes it")
        #expect(!tool.exists("m.safetensors"))
        #expect(try run("merge", "--json").json()["skipped"].bool == false)
        #expect(try run("merge").output == "m.safetensors: done before\n")
        #expect(!tool.exists("m.safetensors.json"))
        // By force the entry alone is done again.
        #expect(try run("merge", "--force", "--json").json()["skipped"].bool == false)
        let measured = try run("measure", "--force", "--json")
        #expect(measured.status == 0, "\(measured.errors)")
        for key in ["mean_accuracy", "total_interference"] {
            let figures = try [measured, local].map { try $0.json()[key]["merged_resolved"].double }
            #expect(figures[0] != nil && figures[0] == figures[1])
        }
        #expect(tool.exists("m.safetensors.json"))
        for name in ["safetensors", "resolved/it's.safetensors", "resolved/a b.safetensors"] {
            #expect(try tool.data("m.\(name)") == tool.data("local.\(name)"), "\(name)")
        }
        #expect(try tool.names(in: "m.resolved").count == 4)
    }

    @Test func anEntryHasAReportOfItsOwn() throws {
        try write()
        for job in ["teachers", "expert/it's", "expert/a b", "merge"] {
            let outcome = try run(job, "--report", "e.json", "--json")
            #expect(outcome.status == 0, "\(outcome.errors)")
            let report = try JSONValue(parsing: String(decoding: try tool.data("e.json"), as: UTF8.self))
            let printed = try outcome.json().keys
            #expect(!printed.isEmpty && report.keys == printed, "\(job): \(report.keys)")
            try FileManager.default.removeItem(atPath: tool.folder.file("e.json").string)
        }
        #expect(try !tool.names(in: ".").contains("m.safetensors.json"))
    }

    /// A run that was killed after the merge leaves the report of the run before.
    @Test func anOlderReportIsReplaced() throws {
        try write()
        func made() throws -> Date? {
            try FileManager.default.attributesOfItem(atPath: tool.folder.file("m.safetensors.json").string)[
                .modificationDate] as? Date
        }
        func run() throws { #expect(try tool.run("run", "r.yaml", "--quiet", "--no-sync").status == 0) }
        try run()
        let first = try made()
        try run()
        #expect(try made() == first)
        let past = Date(timeIntervalSince1970: 1e9)
        try FileManager.default.setAttributes(
            [.modificationDate: past], ofItemAtPath: tool.folder.file("m.safetensors.json").string)
        try run()
        #expect(try made() != past)
    }

    @Test func unknownEntriesAreNamed() throws {
        try write()
        let unknown = try run("expert/c")
        #expect(unknown.status == 2)
        #expect(unknown.errors.contains("hint: the entries are teachers, expert/it's, expert/a b, merge, measure"))
        #expect(try run("everything").status == 2)
        #expect(try run("merge", "--engine", "print").status == 2)
        #expect(try tool.run("run", "r.yaml", "--sbatch", "--mem=1G").status == 2)
    }

    /// Why an output that is there is not taken for what is to be made, and how it is.
    @Test func saysWhyAnOutputIsInTheWay() throws {
        try write()
        #expect(try tool.run("run", "r.yaml", "--quiet", "--no-sync").status == 0)
        let text = String(decoding: try tool.data("r.yaml"), as: UTF8.self)
        _ = try tool.folder.write(Array((text + "\nparameters: { lambda: 0.5 }\n").utf8), to: "r.yaml")
        let changed = try tool.run("run", "r.yaml", "--quiet", "--json")
        #expect(
            try changed.error()["message"].string
                == "m.safetensors was made with other settings or inputs: parameters.lambda was not given and is 0.5")
        try expectNotReady(
            "measure", "the merged checkpoint m.safetensors is not there yet", hint: "--job merge --force makes it")
        #expect(try run("merge", "--force").status == 0)
        #expect(try tool.shell("printf X | dd of=m.safetensors bs=1 seek=9000 conv=notrunc 2> dd").status == 0)
        #expect(
            try run("merge", "--json").error()["message"].string == "m.safetensors was changed since it was made")
    }

    /// Two at once do the same work, and both succeed.
    @Test func twoRunsMayShareAFolder() throws {
        try write()
        let file = String(decoding: try tool.data("r.yaml"), as: UTF8.self)
        let parts = file.replacing("output: m.safetensors", with: "output: m/").components(separatedBy: "report:")
        _ = try tool.folder.write(Array(parts[0].utf8), to: "r.yaml")
        let command = "untangle run r.yaml --quiet --no-sync > "
        let outcome = try tool.shell("\(command) a & p=$!; \(command) b; s=$?; wait $p && exit $s")
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    @Test func documentsAreAnEntry() throws {
        let text = """
            name: half
            merge_method: linear
            models: [{ model: \(TinySuite.base), parameters: { weight: 1 } }]
            ---
            merge_method: linear
            models: [{ model: half, parameters: { weight: 1 } }]
            output: m.safetensors
            """
        _ = try tool.folder.write(Array(text.utf8), to: "r.yaml")
        try expectNotReady(
            "merge", "the result of a document that the recipe builds upon is not there yet",
            hint: "--job documents makes it")
        #expect(try run("documents").output.hasSuffix(": merged\n"))
        #expect(try run("documents").output.hasSuffix(": done before\n"))
        #expect(try run("documents", "--json").json()["documents"][0]["skipped"].bool == true)
        #expect(!tool.exists("m.safetensors"))
        #expect(try run("merge").status == 0)
        #expect(tool.exists("m.safetensors"))
        // With other documents, the hint leads on.
        let changed = text.replacing("model: \(TinySuite.base)", with: "model: \(TinySuite.expert("digits"))")
        _ = try tool.folder.write(Array(changed.utf8), to: "r.yaml")
        try expectNotReady(
            "merge", "the result of a document that the recipe builds upon is not there yet",
            hint: "--job documents --force makes it")
        #expect(try run("documents", "--force").status == 0)
    }

    /// With an `sbatch` that runs the tasks at once, one after the other.
    @Test func theScriptRunsAsItStands() throws {
        try write("it's a recipe.yaml", output: "o u%t/m.safetensors", second: #"a\t$b"#)
        try write("local.yaml", output: "local.safetensors")
        #expect(try tool.run("run", "local.yaml", "--quiet", "--no-sync").status == 0)
        let sbatch = """
            #!/usr/bin/env bash
            set -e
            printf '%s|' "$@" >> calls; echo >> calls
            for word in "$@"; do case $word in --array=*) numbers=${word#--array=} ;; esac; done
            for number in ${numbers//,/ }; do SLURM_ARRAY_TASK_ID=$number bash "${@: -1}" 2>> log; done
            echo "$(wc -l < calls);cluster"
            """
        _ = try tool.folder.write(Array(sbatch.utf8), to: "sbatch")
        let print =
            "untangle run \"it's a recipe.yaml\" --engine print --threads 1 --no-sync --quiet --sbatch '--mem=1G --comment=\"x y\"'"
        let outcome = try tool.shell("chmod +x sbatch && \(print) > submit && PATH=$PWD:$PATH bash submit")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output == "teachers 1\nexpert 2\nmerge 3\nmeasure 4\n")
        let calls = String(decoding: try tool.data("calls"), as: UTF8.self).split(separator: "\n")
        try #require(calls.count == 4)
        #expect(calls[0].contains("|--array=1|--output=o u%%t/m.slurm/teachers-%a.log|"), "\(calls)")
        #expect(
            calls[1].hasSuffix(
                "--array=1,2|--dependency=afterok:1|--kill-on-invalid-dep=yes|--output=o u%%t/m.slurm/expert-%a.log|--mem=1G|"
                    + "--comment=x y|o u%t/m.slurm/expert.sh|"), "\(calls)")
        #expect(calls[3].contains("|--dependency=afterok:3|--kill-on-invalid-dep=yes|"))
        #expect(try tool.data("o u%t/m.safetensors") == tool.data("local.safetensors"))
        #expect(
            try tool.names(in: "o u%t/m.slurm").filter { $0.hasSuffix(".status") } == [
                "expert-1.status", "expert-2.status", "measure-1.status", "merge-1.status", "teachers-1.status",
            ])
        let table = String(decoding: try tool.data("o u%t/m.slurm/measure-1.out"), as: UTF8.self)
        #expect(table.contains("\n\ntask "))
        // What is finished is not submitted again, and keeps its number.
        #expect(try tool.shell("rm -r 'o u%t/m.safetensors' 'o u%t/m.resolved/a'*").status == 0)
        let second = try tool.shell("\(print) | grep -- --array").output
        #expect(second.components(separatedBy: "--array=2 ").count == 2)
        #expect(second.components(separatedBy: "--array=1 ").count == 4)
    }

    /// Nothing would keep what an entry makes for the next.
    @Test func entriesNeedAFolder() throws {
        try write()
        let text = String(decoding: try tool.data("r.yaml"), as: UTF8.self).replacing(
            "output: m.safetensors\n", with: "")
        _ = try tool.folder.write(Array(text.utf8), to: "r.yaml")
        for more in [["--job", "expert/it's"], ["--engine", "print"]] {
            let outcome = try tool.run(["run", "r.yaml", "--quiet"] + more)
            #expect(
                outcome.status == 2 && outcome.errors.contains("no folder to keep what entries make"),
                "\(outcome.errors)")
        }
    }

    /// A folder that is taken is found out before anything is trained.
    @Test func aTakenFolderIsRefusedBeforeTraining() throws {
        try write()
        let file = String(decoding: try tool.data("r.yaml"), as: UTF8.self)
        _ = try tool.folder.write(Array(file.replacing("output: m.safetensors", with: "output: m/").utf8), to: "r.yaml")
        #expect(try tool.run("run", "r.yaml", "--quiet", "--no-sync").status == 0)
        try FileManager.default.removeItem(atPath: tool.folder.file("m.resolved").string)
        let outcome = try tool.run("run", "r.yaml", "--no-sync", "--progress", "json", "--json")
        #expect(
            outcome.status == 4 && outcome.errors.contains("was made with other settings or inputs"),
            "\(outcome.errors)")
        #expect(!outcome.errors.contains("resolving"))
    }

    /// Stands in for Slurm: `sbatch` and `squeue` as scripts.
    private func install(sbatch: String, squeue: String) throws {
        for (name, text) in [("sbatch", sbatch), ("squeue", squeue)] {
            _ = try tool.folder.write(
                Array("#!/usr/bin/env bash\n[ \"$1\" = --version ] && exit 0\n\(text)\n".utf8), to: name)
        }
        #expect(try tool.shell("chmod +x sbatch squeue").status == 0)
    }

    /// Tasks that have not ended are waited for when they do the same, and are never mistaken for others.
    @Test func anEarlierSubmissionIsKnown() throws {
        try write()
        try install(sbatch: "echo call >> calls; wc -l < calls", squeue: "[ -e ended ] || echo 1 1 PENDING")
        let run = "PATH=$PWD:$PATH untangle run r.yaml --engine slurm --no-wait --quiet --json"
        #expect(try tool.shell(run).json()["jobs"].items.map { $0["job"].string } == ["1", "2", "3", "4"])
        let again = try tool.shell(run)
        #expect(again.status == 0 && again.errors.contains("have not ended yet, and none was added"), "\(again.errors)")
        #expect(try tool.data("calls").count == 4 * 5)
        let other = try tool.shell(run + " --force")
        #expect(try other.error()["code"].string == "cluster.submission")
        #expect(try other.error()["hint"].string?.hasSuffix("scancel 1 2 3 4") ?? false)
        #expect(try tool.shell("touch ended; \(run) --force").status == 0)
        #expect(try tool.data("calls").count == 8 * 5)
    }

    /// Of a task that prints a document, the error is a document, too.
    @Test func anErrorInADocumentIsTold() throws {
        try write()
        try install(
            sbatch: """
                for word in "$@"; do case $word in
                    --array=*) numbers=${word#--array=} ;;
                    --output=*) log=${word#--output=} ;;
                    --job-name=untangle-measure) rm m.safetensors ;;
                esac; done
                for number in ${numbers//,/ }; do SLURM_ARRAY_TASK_ID=$number bash "${@: -1}" 2> "${log//%a/$number}"; done
                echo call >> calls; wc -l < calls
                """, squeue: "true")
        let outcome = try tool.shell("PATH=$PWD:$PATH untangle run r.yaml --engine slurm --quiet --no-sync --json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "cluster.task_failed")
        #expect(
            try outcome.error()["message"].string
                == "task measure ended with status 3: the merged checkpoint m.safetensors is not there yet, or was made with "
                + "other settings or inputs")
    }

    @Test func withoutSlurmThereIsAnError() throws {
        try write()
        let missing = try tool.shell(
            "tool=$(command -v untangle); PATH=/nowhere $tool run r.yaml --engine slurm --json")
        #expect(missing.status == 4)
        #expect(try missing.error()["code"].string == "cluster.unavailable")
        #expect(!tool.exists("m.slurm"))
    }
}
