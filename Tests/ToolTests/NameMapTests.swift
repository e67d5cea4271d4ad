import Foundation
import TestSupport
import Testing

/// Models whose tensors have other names, by the built tool.
@Suite struct NameMapTests {
    private let tool: Tool
    private static let suite = "Fixtures/suites/tiny"
    private static let base = "\(suite)/base.safetensors"
    private static let expert = "\(suite)/expert_digits.safetensors"

    init() throws { tool = try Tool() }

    private func run(_ line: String) throws -> Tool.Outcome {
        try tool.run(line.split(separator: " ").map(String.init))
    }

    /// The options behind `--map` in a line.
    private func suggested(_ text: String?) throws -> String {
        let start = try #require(text?.range(of: "--map "))
        return String(try #require(text)[start.lowerBound...])
    }

    /// What each command suggests makes it work, to the bytes of what the names of the base give.
    @Test(arguments: ["=model", "blocks=model.blocks"])
    func everyCommandSuggestsTheMapThatItTakes(_ rule: String) throws {
        #expect(try run("convert \(Self.expert) other.safetensors --map \(rule)").status == 0)
        let merge = "merge --method average --base \(Self.base) other.safetensors --output o.safetensors --json"
        let refused = try run(merge)
        #expect(refused.status == 3)
        let map = try suggested(refused.error()["hint"].string)
        #expect(map == "--map model=")
        let merged = try run("\(merge) \(map)")
        #expect(merged.status == 0, "\(merged.errors)")
        #expect(try run("merge --method average --base \(Self.base) \(Self.expert) --output p.safetensors").status == 0)
        #expect(try tool.data("o.safetensors") == tool.data("p.safetensors"))

        let vectors = try run("vectors --base \(Self.base) other.safetensors --json")
        #expect(vectors.status == 3)
        #expect(try suggested(vectors.error()["hint"].string) == map)
        let measured = try run("vectors --base \(Self.base) other.safetensors --json \(map)")
        let plain = try run("vectors --base \(Self.base) \(Self.expert) --json")
        #expect(measured.status == 0)
        #expect(try measured.json()["experts"][0]["norm"].double == plain.json()["experts"][0]["norm"].double)

        let diff = try run("diff \(Self.expert) other.safetensors")
        #expect(diff.status == 1)
        #expect(diff.errors.hasSuffix("would meet with \(map)\n"))
        let equal = try run("diff \(Self.expert) other.safetensors \(map)")
        #expect(equal.status == 0 && equal.errors.isEmpty)
        #expect(try run("convert other.safetensors back.safetensors \(map)").status == 0)
        #expect(try tool.data("back.safetensors") == tool.data(Self.expert))
    }

    /// Prefixes that whole models have are found without a map.
    @Test func expertsOfANetworkAreMapped() throws {
        #expect(try run("convert \(Self.expert) other.safetensors --map blocks=inner.blocks").status == 0)
        let line =
            "--base \(Self.base) --expert digits=other.safetensors --head digits=\(Self.suite)/heads_digits.safetensors"
        let resolve = "resolve \(line) --auxiliary \(Self.suite)/aux_mixed.npz --steps 1 --batch-size 2 --output out"
        let refused = try run("\(resolve) --json")
        #expect(refused.status == 3)
        #expect(try refused.error()["hint"].string == "most names match with --map inner=")
        let resolved = try run("\(resolve) --map inner=")
        #expect(resolved.status == 0, "\(resolved.errors)")
        // Under the names of the base.
        #expect(try run("diff \(Self.base) out/digits.safetensors --json").json()["only_in_b"].count == 0)
        let measure =
            "interference \(line) --data digits=\(Self.suite)/test_digits.npz --merged other.safetensors --json"
        #expect(try run(measure).status == 3)
        let measured = try run("\(measure) --map inner=")
        #expect(measured.status == 0, "\(measured.errors)")
        #expect(try measured.json()["total"].double == 0)
    }

    @Test func recipesMapToo() throws {
        #expect(try run("convert \(Self.expert) other.safetensors --map =model").status == 0)
        func write(_ more: String) throws {
            let text =
                "merge_method: linear\nmodels: [{ model: \(Self.base), parameters: { weight: 1 } }, "
                + "{ model: other.safetensors, parameters: { weight: 1 } }]\n\(more)output: o.safetensors\n"
            _ = try tool.folder.write(Array(text.utf8), to: "r.yml")
        }
        try write("map: model=\n")
        for line in ["merge r.yml a.safetensors", "run r.yml"] {
            let outcome = try run(line)
            #expect(outcome.status == 0 && !outcome.errors.contains("warning"), "\(outcome.errors)")
        }
        #expect(try tool.data("a.safetensors").count == tool.data("o.safetensors").count)
        try write("")
        #expect(try run("run r.yml --force").status == 3)
        let mapped = try run("merge r.yml out/ --map model=")
        #expect(mapped.status == 0, "\(mapped.errors)")
        let recipe = String(decoding: try tool.data("out/mergekit_config.yml"), as: UTF8.self)
        #expect(recipe.contains("#   --map model=\n"))
        // A merge of the command line says it in its recipe, which makes the same model again.
        #expect(
            try run("merge --method average \(Self.base) other.safetensors --output line/ --map model=").status == 0)
        let line = String(decoding: try tool.data("line/mergekit_config.yml"), as: UTF8.self)
        #expect(line.contains("\nmap: [\"model=\"]\n"))
        #expect(try run("merge line/mergekit_config.yml again/").status == 3)
        _ = try tool.folder.write(Array(line.utf8), to: "line.yml")
        #expect(try run("merge line.yml again/").status == 0)
        #expect(try run("diff line again").status == 0)
        try write("map: [model=, a..b=c]\n")
        let bad = try run("run r.yml --json").error()
        #expect(bad["code"].string == "recipe.bad_value" && bad["line"].int == 3)
    }

    @Test func saysWhatAMapDoesNot() throws {
        let unused = try run("merge --method average \(Self.base) \(Self.expert) --output o.safetensors --map vision=")
        #expect(unused.status == 0)
        #expect(unused.errors == "warning: no tensor has a name that --map vision= changes\n")
        for command in ["diff \(Self.base) \(Self.base)", "convert \(Self.base) c.safetensors"] {
            let outcome = try run("\(command) --map vision= --progress json")
            #expect(outcome.status == 0)
            #expect(outcome.errors.contains(#""code":"input.unused_rename""#), "\(outcome.errors)")
        }
        for command in ["merge --method average --output x.safetensors", "diff", "vectors --base"] {
            let outcome = try run("\(command) \(Self.base) \(Self.expert) --map model --json")
            #expect(outcome.status == 2)
            #expect(try outcome.error()["code"].string == "usage.map")
        }
        let kept = try run("inspect \(Self.base) --json").json()["tensors"].items.compactMap { $0["name"].string }
        let (first, second) = ("blocks.0.norm1.weight", "blocks.1.norm1.weight")
        #expect(kept.contains(first) && kept.contains(second))
        let meet = try run("convert \(Self.base) x.safetensors --map blocks.0=b --map blocks.1=b --json").error()
        #expect(meet["code"].string == "convert.duplicate_name")
        let message = try #require(meet["message"].string)
        #expect(message.contains("\"blocks.0.") && message.contains("\"blocks.1."))
    }
}
