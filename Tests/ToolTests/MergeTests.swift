import Checkpoints
import TensorCore
import TestSupport
import Testing

@Suite struct MergeTests {
    private let tool: Tool
    private let experts = TinySuite.tasks.map(TinySuite.expert)

    init() throws { tool = try Tool() }

    private func merge(_ method: String, _ more: [String]) throws -> Tool.Outcome {
        try tool.run(
            ["merge", "--method", method, "--base", TinySuite.base] + experts + ["--no-sync", "--quiet"] + more)
    }

    @Test(arguments: [
        "linear", "average", "task_arithmetic", "ties", "ties density=0.2", "ties density=0.2 trim_scope=model",
        "tsv_m", "iso_c", "iso_cts", "knots_ties density=0.3", "wudi iterations=20", "wudi form=closed",
        "consensus_ta", "model_stock", "karcher", "multislerp", "dare_ties density=0.4", "della density=0.5",
        "breadcrumbs density=0.5", "sce select_topk=0.5", "average lines_beta=0.5",
        "ties density=0.2 trim_scope=model svc_alpha=0.1", "tsv_m boost_beta=0.1 lines_beta=0.5",
    ]) func isTheSameOnAnyNumberOfThreads(line: String) throws {
        let words = line.split(separator: " ").map(String.init)
        for threads in ["1", "2", "5"] {
            let outcome = try merge(
                words[0],
                words.dropFirst().flatMap { ["--set", $0] } + [
                    "--output", "\(threads).safetensors", "--threads", threads,
                ])
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        let first = try tool.data("1.safetensors")
        #expect(try tool.data("2.safetensors") == first)
        #expect(try tool.data("5.safetensors") == first)
    }

    @Test func printsWhatItDid() throws {
        let outcome = try merge("ties", ["--set", "density=0.2", "--output", "m.safetensors", "--json"])
        #expect(outcome.status == 0)
        let document = try outcome.json()
        #expect(
            document.keys == [
                "output", "files", "bytes", "method", "tensors", "parameters", "notes", "overflows", "underflows",
                "nan",
                "inf",
                "warnings", "memory_bytes", "memory_limit_bytes", "seconds",
            ])
        #expect(document["method"].string == "ties")
        #expect(document["tensors"].int == 30)
        #expect(document["files"].items.map(\.string) == ["m.safetensors"])
        #expect(document["bytes"].int == (try tool.data("m.safetensors").count))
        #expect(try tool.run("inspect", "m.safetensors").output.contains("ties"))
    }

    /// By a recipe, by the command line and within `run`, into a file and into a folder.
    @Test func namesInputsWithNaN() throws {
        let half: [UInt8] = [0x00, 0x3C]
        // 0x7E00 is NaN and 0xFC00 an infinity in F16.
        try tool.write("a.safetensors", [StoredTensor("w", "F16", [3], bytes: half + [0x00, 0x7E] + [0x00, 0xFC])])
        try tool.write("b.safetensors", [StoredTensor("w", "F16", [3], bytes: half + half + half)])
        let warning = "tensor \"w\" of a (a.safetensors) holds 1 NaN and 1 infinity"
        for output in ["m.safetensors", "folder/"] {
            let outcome = try tool.run(
                "merge", "--method", "linear", "a.safetensors", "b.safetensors", "--output", output, "--json", "--quiet"
            )
            #expect(outcome.status == 0)
            let document = try outcome.json()
            let warnings = document["warnings"].items.map { $0.string ?? "" }
            #expect(warnings == [warning, "1 number of the result is NaN", "1 number of the result is infinite"])
            #expect(outcome.errors == warnings.map { "warning: \($0)\n" }.joined())
            #expect(document["nan"].int == 1 && document["inf"].int == 1)
        }
        _ = try tool.folder.write(
            Array(
                "merge_method: linear\noutput: r.safetensors\nmodels: [{ model: a.safetensors }, { model: b.safetensors }]\n"
                    .utf8),
            to: "r.yaml")
        let run = try tool.run("run", "r.yaml", "--json", "--quiet")
        #expect(run.status == 0 && run.errors.hasPrefix("warning: \(warning)\n"))
        #expect(try run.json()["warnings"].items.contains { $0.string == warning })
    }

    @Test func saysWhatMemoryItTook() throws {
        let outcome = try merge("ties", ["--output", "m.safetensors", "--memory", "512M"])
        #expect(outcome.output.contains("working memory at most"))
        #expect(outcome.output.contains("of 512 MiB allowed"))
    }

    /// The least that `--memory` may be is named, keeps the merge going and is kept.
    @Test(arguments: ["linear", "ties", "ties trim_scope=model", "della density=0.5", "tsv_m", "knots_ties"])
    func namesTheLeastMemory(line: String) throws {
        let words = line.split(separator: " ").map(String.init)
        func run(_ memory: String) throws -> Tool.Outcome {
            try merge(
                words[0],
                words.dropFirst().flatMap { ["--set", $0] }
                    + ["--output", "m.safetensors", "--memory", memory, "--threads", "3", "--json"])
        }
        let refusal = try run("1K")
        #expect(refusal.status == 4)
        let error = try refusal.error()
        #expect(error["code"].string == "merge.memory")
        #expect(error["message"].string?.contains("iB of working memory, but 1.00 KiB are allowed") == true)
        let least = try #require(error["hint"].string?.split(separator: " ").last.map(String.init))
        #expect(least.hasSuffix("KiB"))
        let document = try run(least).json()
        let (used, limit) = try (#require(document["memory_bytes"].int), #require(document["memory_limit_bytes"].int))
        #expect(used <= limit)
        #expect(try run("\(limit / 1024 - 1)KiB").status == 4)
    }

    @Test func aDryRunWritesNothing() throws {
        let before = try tool.names(in: ".")
        let outcome = try merge("tsv_m", ["--output", "dir/", "--dry-run", "--json"])
        #expect(outcome.status == 0)
        let document = try outcome.json()
        #expect(
            document.keys == [
                "method", "units", "tensors", "parameters", "passes", "input_bytes", "read_bytes", "output_bytes",
                "memory_bytes", "memory_limit_bytes", "threads", "warnings", "disk",
            ])
        #expect(document["tensors"].keys == ["elementwise", "matrices", "copied"])
        #expect(document["passes"].int == 1)
        #expect(document["units"].int == 30)
        #expect(document["read_bytes"].int == document["input_bytes"].int)
        #expect(document["disk"]["needed_bytes"].int == document["output_bytes"].int)
        #expect((document["disk"]["free_bytes"].int ?? 0) > 0)
        #expect(document["tensors"]["matrices"].int == 8)
        #expect(document["tensors"]["elementwise"].int == 22)
        #expect(try merge("ties", ["--dry-run"]).output.contains("passes over the inputs"))
        #expect(try tool.names(in: ".") == before)
    }

    /// The run would stop at it.
    @Test func aDryRunWarnsOfAFullDisk() throws {
        // A sparse file: more than any disk has, and nothing on this one.
        try InterruptionTests.writeSparseCheckpoint(
            byteCount: 1 << 42, dtype: "F16", to: tool.folder.file("large.safetensors").string)
        let arguments = ["merge", "--method", "average", "large.safetensors", "--output", "out/"]
        let plan = try tool.run(arguments + ["--dry-run", "--json"])
        #expect(plan.status == 0)
        let warning = try plan.json()["warnings"].items.compactMap(\.string).first ?? ""
        #expect(warning.hasPrefix("out/ needs 4.00 TiB and its disk has ") || warning.hasPrefix("out needs 4.00 TiB"))
        #expect(plan.errors == "warning: \(warning)\n")
        #expect(try tool.run(arguments + ["--json"]).error()["code"].string == "io.space")
    }

    @Test func listsItsMethods() throws {
        let methods = try tool.run("merge", "--list-methods", "--json").json()["methods"]
        let text = try tool.run("merge", "--list-methods").output
        // Whole numbers have no fraction.
        #expect(
            try tool.run("merge", "--list-methods", "--json").output.contains(
                "\"kind\": \"whole number\",\n          \"default\": 2,\n          \"minimum\": 0,\n"))
        #expect(methods.items.count == 37)
        for method in methods.items {
            #expect(
                method.keys == ["name", "summary", "paper", "needs_base", "uses_base", "experts", "parameters"])
            #expect(method["experts"].keys == ["minimum", "maximum"])
            let (name, paper) = (method["name"].string ?? "?", method["paper"].string ?? "?")
            #expect(paper.contains("arXiv:"))
            #expect(text.contains("\(name) (") && text.contains("\n  \(paper)\n"), "\(name)")
            for parameter in method["parameters"].items {
                #expect(
                    parameter.keys == [
                        "name", "kind", "default", "minimum", "maximum", "choices", "takes", "per_expert", "required",
                        "help",
                    ])
                #expect(text.contains("  \(parameter["name"].string ?? "?") "))
            }
        }
        // The parameters that all have are printed once.
        #expect(text.components(separatedBy: "lines_alpha").count == 2)
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 140 })
    }

    /// `docs/methods` says of every method what the tool says.
    @Test func hasAPageForEveryMethod() throws {
        let folder = Fixtures.folder.removingLastComponent().appending("docs/methods")
        func page(_ name: String) throws -> String {
            try String(contentsOfFile: folder.appending(name).string, encoding: .utf8)
        }
        let index = try page("README.md")
        for method in try tool.run("merge", "--list-methods", "--json").json()["methods"].items {
            let name = method["name"].string ?? "?"
            // | [`name`](page.md) | summary | ...
            let entry = try #require(index.split(separator: "\n").first { $0.hasPrefix("| [`\(name)`](") }, "\(name)")
            #expect(entry.contains("| \(method["summary"].string ?? "?") |"), "\(name)")
            let file = entry.split(separator: "(")[1].split(separator: ")")[0]
            let text = try page(String(file))
            // A page about several methods has a table that holds for all, or one for each under its name.
            let own = text.components(separatedBy: "\n### `\(name)`\n").dropFirst().first ?? text
            for parameter in method["parameters"].items {
                let key = parameter["name"].string ?? "?"
                let common = ["lines_": "lines.md", "svc_": "spectrum.md", "boost_": "spectrum.md"]
                let place = try common.first { key.hasPrefix($0.key) }.map { try page($0.value) } ?? own
                let rows = place.split(separator: "\n").filter { $0.hasPrefix("| `\(key)` |") }
                #expect(rows.first.map(String.init) == row(parameter), "\(file), \(name)")
            }
        }
    }

    /// The column of passes in `docs/methods/README.md` is what `--dry-run` counts.
    @Test func saysHowOftenInputsAreRead() throws {
        let index = Fixtures.folder.removingLastComponent().appending("docs/methods/README.md")
        let lines = try String(contentsOfFile: index.string, encoding: .utf8).split(separator: "\n")
        // Ones are a Fisher information, and X'X of inputs that are all 1.
        let layer = try TensorDescriptor(name: "blocks.0.attn.proj.weight", dtype: .f32, shape: [64, 64])
        let statistics = ["s1.safetensors", "s2.safetensors", "s3.safetensors"]
        for name in statistics {
            let writer = try CheckpointFormat.makeWriter(
                .safetensors, at: tool.folder.file(name), declaring: [layer])
            try [Float](repeating: 1, count: 64 * 64).withUnsafeBytes { try writer.write($0, tensor: 0, at: 0) }
            _ = try writer.finish()
        }
        for method in try tool.run("merge", "--list-methods", "--json").json()["methods"].items {
            let name = method["name"].string ?? "?"
            let parameters = method["parameters"].items.compactMap { $0["name"].string }
            func passes(_ settings: String...) throws -> Int? {
                let count = min(method["experts"]["maximum"].int ?? 3, 3)
                let own = statistics.prefix(count).joined(separator: ",")
                let settings = settings + (parameters.contains("statistics") ? ["statistics=\(own)"] : [])
                let experts = (experts + experts).prefix(count)
                let run = try tool.run(
                    [
                        "merge", "--method", name, "--base", TinySuite.base, "--dry-run", "--json", "--output",
                        "unused.npz",
                    ]
                        + settings.flatMap { ["--set", $0] } + experts)
                return try run.json()["passes"].int
            }
            let row = try #require(lines.first { $0.hasPrefix("| [`\(name)`](") })
            let numbers =
                row.split(separator: "|").last { $0 != " " }?.split { !$0.isNumber }.compactMap { Int($0) } ?? []
            #expect(try passes() == numbers.first, "\(name)")
            if let share = ["density", "select_topk"].first(where: parameters.contains), name != "knots_ties" {
                #expect(try passes("\(share)=0.4") == numbers.dropFirst().first, "\(name)")
            }
        }
    }

    /// A parameter's line in the table of its page.
    private func row(_ parameter: JSONValue) -> String {
        func text(_ number: JSONValue) -> String {
            let value = number.double ?? .nan
            return Int(exactly: value).map(String.init) ?? "\(value)"
        }
        let (kind, standard) = (parameter["kind"].string ?? "?", parameter["default"])
        let words =
            switch kind {
            case "path": "required"
            case "flag": standard.bool == true ? "`true`" : "`false`"
            case "patterns": "`\(standard.items.compactMap(\.string).joined(separator: ","))`"
            case "choice": "`\(standard.string ?? "?")`"
            default: "`\(standard.string ?? text(standard))`"
            }
        let range =
            switch kind {
            case "path": "a checkpoint"
            case "flag": "`true`, `false`"
            case "patterns": "tensor names with `*` and `?`"
            case "choice": parameter["choices"].items.map { "`\($0.string ?? "?")`" }.joined(separator: ", ")
            default:
                parameter["minimum"].isNull
                    ? "any"
                    : parameter["maximum"].isNull
                        ? "at least \(text(parameter["minimum"]))"
                        : "\(text(parameter["minimum"])) to \(text(parameter["maximum"]))"
            }
        let word = kind == "number or word" ? parameter["choices"].items.map { ", `\($0.string ?? "?")`" }.joined() : ""
        let type = kind + (parameter["per_expert"].bool == true ? ", per expert" : "")
        return
            "| `\(parameter["name"].string ?? "?")` | \(type) | \(words) | \(range + word) | \(parameter["help"].string ?? "?") |"
    }

    @Test func runsARecipe() throws {
        _ = try tool.folder.write(
            Array(
                """
                merge_method: linear
                models:
                  - model: \(TinySuite.expert("digits"))
                    parameters: { weight: 3 }
                  - model: \(TinySuite.expert("latin_lower"))
                parameters: { int8_mask: true }
                dtype: bfloat16

                """.utf8), to: "r.yaml")
        let outcome = try tool.run("merge", "r.yaml", "a.safetensors")
        #expect(outcome.status == 0)
        #expect(outcome.errors.contains("warning: line 6: method linear has no parameter \"int8_mask\", ignored"))
        #expect(try tool.run("merge", "r.yaml", "x.safetensors", "--strict").status == 3)
        let arguments = ["merge", "--method", "linear", TinySuite.expert("digits"), TinySuite.expert("latin_lower")]
        let same = try tool.run(arguments + ["--set", "weight=[3, 1]", "--dtype", "BF16", "--output", "b.safetensors"])
        #expect(same.status == 0)
        #expect(try tool.run("diff", "a.safetensors", "b.safetensors").status == 0)
        // The recipe is not blamed for it.
        let integers = try tool.run("merge", "r.yaml", "x.safetensors", "--dtype", "I8")
        #expect(integers.errors.contains("error: the result cannot be I8   [merge.unsupported_dtype]\n"))
        #expect(try tool.run("merge", "r.yaml", "c.safetensors", "--set", "normalize=false").status == 0)
        #expect(try tool.run("diff", "a.safetensors", "c.safetensors").status == 1)
    }

    @Test func saysWhatACheckpointIsInThePlaceOfARecipe() throws {
        let outcome = try tool.run("merge", TinySuite.base, experts[0], "--output", "m.safetensors")
        #expect(outcome.errors.contains("\(TinySuite.base) is a checkpoint, not a recipe"))
        #expect(outcome.errors.contains("give --method"))
    }

    /// Folders above the output are made for it, and go with it when it fails.
    @Test func leavesNoFolderWhenItFails() throws {
        var tensors = [StoredTensor("w", [2, 2], [1, .nan, 3, 4])]
        try tool.write("nan.safetensors", tensors)
        tensors[0] = StoredTensor("w", [2, 2], [1, 2, 3, 4])
        try tool.write("one.safetensors", tensors)
        _ = try tool.shell("mkdir there")
        for output in ["a/b/m.safetensors", "c/d/", "there/e/m.safetensors"] {
            let outcome = try tool.run(
                "merge", "--method", "tsv_m", "--base", "one.safetensors", "nan.safetensors", "one.safetensors",
                "--output", output)
            #expect(outcome.status == 3, "\(outcome.errors)")
        }
        #expect(tool.exists("there"))
        for made in ["a", "c", "there/e"] { #expect(!tool.exists(made), "\(made)") }
    }

    @Test func writesFoldersAndOverInputs() throws {
        #expect(try merge("average", ["--output", "dir/"]).status == 0)
        #expect(try tool.names(in: "dir") == ["README.md", "config.json", "mergekit_config.yml", "model.safetensors"])
        #expect(try merge("average", ["--output", "dir"]).status == 4)
        #expect(try merge("average", ["--output", "dir", "--force"]).status == 0)
        #expect(try tool.run("convert", experts[0], "e.safetensors").status == 0)
        let arguments = ["merge", "--method", "average", "e.safetensors", experts[1], "--output"]
        #expect(try tool.run(arguments + ["sum.safetensors"]).status == 0)
        #expect(try tool.run(arguments + ["e.safetensors"]).status == 4)
        #expect(try tool.run(arguments + ["e.safetensors", "--force"]).status == 0)
        #expect(try tool.run("diff", "e.safetensors", "sum.safetensors").status == 0)
    }

    @Test(
        arguments: [
            ([], 2, "usage"), (["r.yaml"], 2, "usage"), (["a", "b", "c"], 2, "usage"),
            (["--method", "ties"], 2, "usage"),
            (["--method", "ties", TinySuite.base], 2, "usage"),
            (["--method", "ties", TinySuite.base, "--output", "m.safetensors"], 2, "merge.missing_base"),
            (["--method", "average", TinySuite.base, "--output", "m.pt"], 2, "usage.output_format"),
            (
                ["--method", "average", TinySuite.base, "--output", "m.safetensors", "--only", "none"], 3,
                "merge.nothing_selected"
            ),
            (["--method", "average", TinySuite.base, "--output", "m"], 2, "usage.output_format"),
            (
                ["--method", "average", TinySuite.base, "--output", "m.safetensors", "--shard-size", "0"], 2,
                "usage.shard_size"
            ),
            (
                ["--method", "average", TinySuite.base, "--output", "m.npz", "--shard-size", "1M", "--dry-run"], 2,
                "usage.shard_size"
            ),
            (
                ["--method", "average", TinySuite.base, "--output", "m/", "--format", "npz", "--shard-size", "1M"], 2,
                "usage.shard_size"
            ),
            (["--method", "average", TinySuite.base, "--output", "/proc/m.safetensors"], 3, "io.not_found"),
            (["--method", "average", "none.safetensors", "--output", "m.safetensors"], 3, "io.not_found"),
            (
                ["--method", "linear", TinySuite.base, "--set", "weight", "--output", "m.safetensors"], 2,
                "merge.bad_parameter"
            ),
            (
                ["--method", "linear", TinySuite.base, "--set", "weight=1,2", "--output", "m.safetensors"], 2,
                "merge.bad_parameter"
            ),
            (
                ["--method", "linear", TinySuite.base, "--set", "weight=nan", "--output", "m.safetensors"], 2,
                "merge.bad_parameter"
            ),
            (
                ["--method", "linear", TinySuite.base, "--set", "weight=0", "--output", "m.safetensors"], 2,
                "merge.bad_parameter"
            ),
            (
                [
                    "--method", "average", TinySuite.base, "\(TinySuite.folder)/heads_digits.safetensors", "--output",
                    "m.safetensors",
                ], 3, "merge.incompatible"
            ),
            (["--method", "average", TinySuite.base, "--output", "."], 2, "usage"),
            (["none.yaml", "m.safetensors"], 3, "io.not_found"),
            ([TinySuite.base, "m.safetensors"], 2, "usage"), ([TinySuite.folder, "m/"], 2, "usage"),
            (
                ["--method", "average", TinySuite.base, "--dtype", "I8", "--output", "m.safetensors"], 2,
                "merge.unsupported_dtype"
            ),
            (
                [
                    "--method", "linear", TinySuite.base, "--set", "weight=1", "--set", "weight=2", "--output",
                    "m.safetensors",
                ], 2, "usage"
            ),
        ] as [([String], Int32, String)]) func refuses(arguments: [String], status: Int32, code: String) throws
    {
        let outcome = try tool.run(["merge", "--json"] + arguments)
        #expect(outcome.status == status)
        #expect(outcome.output == "")
        #expect(try outcome.error()["code"].string == code)
        #expect(!tool.exists("m.safetensors"))
    }
}
