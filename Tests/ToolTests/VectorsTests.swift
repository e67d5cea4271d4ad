import Foundation
import TestSupport
import Testing

@Suite struct VectorsTests {
    private let suite = "Fixtures/suites/tiny"
    private var models: [String] {
        [
            "--base", "\(suite)/base.safetensors", "\(suite)/expert_digits.safetensors",
            "\(suite)/expert_latin_lower.safetensors",
        ]
    }

    @Test func jsonHasTheKeysOfTheContract() throws {
        let document = try Tool().run(["vectors", "--json"] + models).json()
        #expect(
            document.keys == [
                "base", "experts", "sign_conflict", "sign_conflict_weighted", "pairs", "tensors", "not_measured",
                "not_finite",
            ])
        #expect(document["not_finite"].count == 0)
        #expect(document["base"].string == "\(suite)/base.safetensors")
        #expect(document["experts"][0].keys == ["name", "norm", "relative_norm", "unchanged", "largest"])
        #expect(document["tensors"][0]["experts"][0].keys == ["name", "norm", "relative_norm", "unchanged"])
        #expect(document["pairs"][0].keys == ["a", "b", "cosine", "sign_conflict", "topk_overlap"])
        #expect(document["pairs"][0]["a"].string == "expert_digits")
        #expect(document["tensors"].count == 30)
    }

    /// NumPy on the same files: `v = expert - base` over all tensors in F64.
    @Test func figuresAreThoseOfNumPy() throws {
        let document = try Tool().run(["vectors", "--json", "--per", "model"] + models).json()
        let (first, pair) = (document["experts"][0], document["pairs"][0])
        #expect(abs(try #require(first["norm"].double) - 2.248_818_796) < 1e-5)
        #expect(abs(try #require(first["relative_norm"].double) - 0.064_478_060) < 1e-6)
        #expect(abs(try #require(pair["cosine"].double) - 0.052_482_905) < 1e-6)
        #expect(abs(try #require(pair["sign_conflict"].double) - 0.478_438_6) < 1e-6)
    }

    @Test func savedVectorsAddUpToTheExpert() throws {
        let tool = try Tool()
        #expect(try tool.run(["vectors", "--save", "tau"] + models).status == 0)
        let merge = try tool.run(
            "merge", "--method", "linear", "--set", "weight=1,1", "--set", "normalize=false", "--output",
            "sum.safetensors",
            "\(suite)/base.safetensors", "tau/expert_digits.safetensors")
        #expect(merge.status == 0)
        let difference = try tool.run(
            "diff", "sum.safetensors", "\(suite)/expert_digits.safetensors", "--tolerance", "1e-6")
        #expect(difference.status == 0, "\(difference.output)")
    }

    @Test func spectrumAndReportAreWritten() throws {
        let tool = try Tool()
        let outcome = try tool.run(["vectors", "--spectrum", "--report", "v.html"] + models)
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("singular interference"))
        #expect(try tool.shell("grep -c 'counted twice' v.html").output != "0\n")
    }

    @Test func theSameBytesForAnyNumberOfThreads() throws {
        let tool = try Tool()
        let one = try tool.run(["vectors", "--json", "--spectrum", "--threads", "1"] + models)
        #expect(one.status == 0)
        for threads in ["2", "5"] {
            #expect(
                try tool.run(["vectors", "--json", "--spectrum", "--threads", threads] + models).output == one.output)
        }
    }

    /// Norms are 1, 2 and 4; the experts agree in `a`, differ in half of `b`, and in all of `c`.
    @Test func whatStandsOutComesFirst() throws {
        let tool = try Tool()
        for (name, a, b, c) in [
            ("base", [0, 0], [0, 0], [0, 0]), ("x", [4, 0], [1, 1], [2, 0]), ("y", [4, 0], [1, -1], [-2, 0]),
        ] as [(String, [Float], [Float], [Float])] {
            try tool.write(
                "\(name).safetensors",
                [StoredTensor("a", [2], a), StoredTensor("b", [2], b), StoredTensor("c", [2], c)])
        }
        let arguments = ["vectors", "--base", "base.safetensors", "x.safetensors", "y.safetensors", "--quiet"]
        for (sort, names) in [("conflict", ["c", "b", "a"]), ("norm", ["a", "c", "b"]), ("cosine", ["c", "b", "a"])] {
            let all = try tool.run(arguments + ["--json", "--sort", sort]).json()["tensors"].items
            #expect(all.map { $0["name"].string } == names)
            let top = try tool.run(arguments + ["--json", "--sort", sort, "--top", "1"]).json()["tensors"].items
            #expect(top.map { $0["name"].string } == [names[0]])
        }
        let text = try tool.run(arguments + ["--sort", "norm", "--top", "2"]).output
        let listed = try #require(text.components(separatedBy: "\n\n").first { $0.hasPrefix("tensor") })
        #expect(listed.contains("\nc  ") && !listed.contains("\nb  "))
        #expect(text.contains("x and y") && text.contains("Conflict is highest by layer in c (100.0 %)"))
        for wrong in [["--top", "0"], ["--top-share", "0"], ["--per", "model", "--sort", "norm"]] {
            #expect(try tool.run(arguments + wrong).status == 2)
        }
        let kinds = try tool.run(arguments + ["--json", "--per", "kind"]).json()["tensors"].items
        #expect(kinds.map { $0["name"].string } == ["other"])
    }

    /// A tensor of one entry, which two experts moved in opposite ways, tells less than 256 entries of which most are so.
    @Test func fewEntriesDoNotStandOut() throws {
        let tool = try Tool()
        for (name, bias, sign) in [("base", 0, 0), ("x", 1, 1), ("y", -1, -1)] as [(String, Float, Float)] {
            let weights = (0..<256).map { sign * ($0 < 200 ? 1 : -sign) }
            try tool.write(
                "\(name).safetensors", [StoredTensor("bias", [1], [bias]), StoredTensor("weight", [16, 16], weights)])
        }
        for order in ["conflict", "cosine"] {
            let document = try tool.run(
                "vectors", "--json", "--quiet", "--sort", order, "--base", "base.safetensors", "x.safetensors",
                "y.safetensors")
            #expect(try document.json()["tensors"].items.map { $0["name"].string } == ["weight", "bias"])
        }
    }

    /// What the summary says of layers and kinds stands below it, also in a terminal.
    @Test func figuresOfTheSummaryAreShown() throws {
        let text = try Tool().run(["vectors", "--quiet"] + models).output
        let sentence = try #require(
            text.firstMatch(of: /by layer in (\S+) \(([\d.]+ %)\), by kind in (\S+) \(([\d.]+ %)\)/))
        for (name, share) in [(sentence.1, sentence.2), (sentence.3, sentence.4)] {
            #expect(text.split(separator: "\n").contains { $0.hasPrefix("\(name) ") && $0.contains("  \(share)") })
        }
    }

    /// Folders keep all of their names, and models of one name take more of their paths; files of task vectors have no folders in theirs.
    @Test func expertsAreTold() throws {
        let tool = try Tool()
        for (path, value) in [
            ("base", 0), ("Qwen2.5-Math-7B", 1), ("Qwen2.5-Coder-7B", 2), ("d1/x", 3), ("d2/x", 4), ("x-2", 5),
        ] as [(String, Float)] {
            _ = try tool.shell("mkdir -p \(path)")
            try tool.write("\(path)/model.safetensors", [StoredTensor("w", [1], [value])])
        }
        let experts = ["Qwen2.5-Math-7B", "Qwen2.5-Coder-7B", "d1/x", "d2/x", "x-2"]
        let document = try tool.run(["vectors", "--json", "--quiet", "--save", "tau", "--base", "base"] + experts)
            .json()
        #expect(document["experts"].items.map { $0["name"].string } == experts)
        let saved = try tool.shell("ls tau").output.split(separator: "\n").map(String.init)
        #expect(
            saved == [
                "Qwen2.5-Coder-7B.safetensors", "Qwen2.5-Math-7B.safetensors", "d1-x.safetensors", "d2-x.safetensors",
                "x-2.safetensors",
            ])
    }

    /// Sentences and pictures are about all matrices, tables about those of what is listed.
    @Test func theSummaryIsAboutEverything() throws {
        let tool = try Tool()
        let options = ["vectors", "--quiet", "--spectrum"] + models
        let all = try tool.run(options + ["--report", "all.html"]).output
        for level in ["tensor", "layer"] {
            let top = try tool.run(
                options + ["--per", level, "--sort", "norm", "--top", "1", "--report", "\(level).html"]
            ).output
            let sentences = [all, top].map { $0.components(separatedBy: "\n\n")[0] }
            #expect(sentences[0] == sentences[1] && sentences[0].contains("Singular interference is largest in "))
            let captions = try ["all", level].map { page in
                String(decoding: try tool.data("\(page).html"), as: UTF8.self).matches(
                    of: /<figcaption>([^<]*\(largest [^<]*)</
                ).map { String($0.1) }
            }
            #expect(captions[0] == captions[1] && !captions[0].isEmpty)
            let document = try tool.run(options + ["--per", level, "--sort", "norm", "--top", "1", "--json"]).json()
            let listed = try #require(document["tensors"][0]["name"].string)
            let matrices = document["spectra"].items.compactMap { $0["name"].string }
            #expect(matrices.isEmpty == (level == "tensor") && matrices.allSatisfy { $0.hasPrefix("\(listed).") })
        }
    }

    @Test func anExpertThatIsItsBaseDidNotMove() throws {
        let outcome = try Tool().run(
            "vectors", "--spectrum", "--base", "\(suite)/base.safetensors", "\(suite)/base.safetensors")
        #expect(outcome.status == 0)
        #expect(outcome.output.hasPrefix("base did not move: what was measured equals the base.\n"))
    }

    /// Eight experts of 24 layers, every tensor listed and every matrix decomposed.
    @Test func aPageOfManyLayersIsUnderAMegabyte() throws {
        let tool = try Tool()
        let names = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"]
        for model in 0...8 {
            try tool.write(
                "m\(model).safetensors",
                (0..<24).flatMap { layer in
                    names.enumerated().map { place, name in
                        StoredTensor(
                            "blocks.\(layer).\(name).weight", [16, 16],
                            (0..<256).map { Float(($0 * (7 + model) + layer * 5 + place) % 23) / 23 })
                    }
                })
        }
        let experts = (1...8).map { "m\($0).safetensors" }
        let outcome = try tool.run(
            ["vectors", "--quiet", "--spectrum", "--per", "tensor", "--base", "m0.safetensors", "--report", "p.html"]
                + experts)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let page = try tool.data("p.html")
        // All are on it, and that is less than the bound.
        #expect(String(decoding: page, as: UTF8.self).contains("blocks.23.mlp.fc2.weight"))
        #expect(page.count > 100_000 && page.count < 1_000_000, "\(page.count)")
    }

    /// A row of a table, cell by cell. Cells of figures hold single spaces at most.
    private func cells(_ table: Substring) -> [[String]] {
        table.split(separator: "\n").dropFirst().map { line in
            line.split(separator: "  ").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        }
    }

    /// A figure of JSON as tables print it, to four digits.
    private func text(_ value: JSONValue) -> String {
        value.double.map { String(format: "%.4g", $0) } ?? (value.isNull ? "-" : value.string ?? "?")
    }

    private func percent(_ value: JSONValue) -> String {
        value.double.map { String(format: "%.1f %%", 100 * $0) } ?? (value.isNull ? "-" : "nan")
    }

    private func decimals(_ value: JSONValue, _ count: Int = 4) -> String {
        value.double.map { String(format: "%.\(count)f", $0) } ?? (value.isNull ? "-" : "nan")
    }

    /// A count with commas, below a million.
    private func grouped(_ value: JSONValue) -> String? {
        value.int.map { $0 < 1000 ? "\($0)" : "\($0 / 1000)," + String(format: "%03d", $0 % 1000) }
    }

    /// The JSON document has whatever the tables have, whatever statistics are gathered over.
    @Test(arguments: ["tensor", "layer", "model"], [false, true])
    func tablesAndJSONAgree(level: String, spectrum: Bool) throws {
        let tool = try Tool()
        let arguments =
            ["vectors", "--quiet", "--per", level, "--only", "blocks.0.*", "--only", "norm.weight"]
            + (spectrum ? ["--spectrum"] : []) + models
        // The summary comes first, then the experts and two figures of all.
        var tables = try tool.run(arguments).output.split(separator: "\n\n").dropFirst().map(cells)
        tables.remove(at: 1)
        let document = try tool.run(arguments + ["--json"]).json()
        // Conflict by layer and by kind stands there as well, where the table of parts does not have it.
        #expect(tables.count == 2 + (level == "model" ? 0 : 1) + (level == "layer" ? 1 : 2) + (spectrum ? 2 : 0))
        let (experts, pair) = (document["experts"], document["pairs"][0])
        for (row, expert) in zip(tables[0], experts.items) {
            let largest = expert["largest"][0]
            #expect(
                row == [
                    expert["name"].string, text(expert["norm"]), text(expert["relative_norm"]),
                    percent(expert["unchanged"]), largest["tensor"].string, text(largest["norm"]),
                ])
        }
        #expect(
            tables[1] == [
                [
                    "expert_digits / expert_latin_lower", decimals(pair["cosine"]), percent(pair["sign_conflict"]),
                    percent(pair["topk_overlap"]),
                ]
            ])
        let groups = document["tensors"].items
        #expect(groups.count == ["tensor": 13, "layer": 2, "model": 0][level])
        if level != "model" {
            for (row, group) in zip(tables[2], groups) {
                let pair = group["pairs"][0]
                #expect(
                    row == [group["name"].string, grouped(group["parameters"])]
                        + group["experts"].items.map { text($0["norm"]) }
                        + [decimals(pair["cosine"]), percent(pair["sign_conflict"])])
            }
        }
        let matrices = level == "tensor" ? groups.filter { $0.keys.contains("spectrum") } : document["spectra"].items
        #expect(matrices.count == (spectrum ? 4 : 0))
        #expect(document.keys.contains("spectra") == (spectrum && level != "tensor"))
        guard spectrum else { return }
        let (spectra, subspaces) = (tables[tables.count - 2], tables[tables.count - 1])
        #expect(spectra.count == 8 && subspaces.count == 4)
        for (place, matrix) in matrices.enumerated() {
            let found = matrix["spectrum"]
            for (row, expert) in zip(spectra[(2 * place)...], found["experts"].items) {
                #expect(
                    row == [
                        matrix["name"].string, expert["name"].string, text(expert["singular_values"][0]),
                        expert["rank"].int.map(String.init), text(expert["stable_rank"]),
                        text(expert["effective_rank"]),
                        percent(expert["top_energy"]), decimals(expert["alignment_ratio"], 3),
                        decimals(expert["svc"], 3),
                    ])
            }
            #expect(
                subspaces[place] == [
                    matrix["name"].string, text(found["singular_interference"]), text(found["alignments"][0]["value"]),
                    decimals(found["svc"]["mean"], 3), percent(found["svc"]["counted_twice"]),
                ])
        }
    }

    /// Every figure that has to do with a tensor of NaN is nan, in the tables and in JSON; the others are those worked out by hand.
    @Test func figuresOfTensorsWithNaNAreNaN() throws {
        let tool = try Tool()
        for (name, w, v) in [
            ("base", [1, 1, 1, 1], [1, 1]), ("x", [2, 1, 1, 1], [1, 3]), ("bad", [.nan, .infinity, 1, .nan], [1, 2]),
        ] as [(String, [Float], [Float])] {
            try tool.write("\(name).safetensors", [StoredTensor("w", [2, 2], w), StoredTensor("v", [2], v)])
        }
        let arguments = ["vectors", "--base", "base.safetensors", "x.safetensors", "bad.safetensors", "--spectrum"]
        let warning = "warning: tensor \"w\" of bad (bad.safetensors) holds 2 NaN and 1 infinity\n"
        let table = try tool.run(arguments + ["--quiet", "--per", "tensor"])
        #expect(table.errors == warning)
        #expect(table.output.contains("x       2.236    0.9129     66.7 %  v                2\n"))
        #expect(table.output.contains("bad       nan       nan        nan  v                1\n"))
        #expect(table.output.contains("x / bad     nan            nan          nan\n"))
        for threads in ["1", "2", "5"] {
            let outcome = try tool.run(arguments + ["--quiet", "--json", "--threads", threads])
            #expect(outcome.status == 0 && outcome.errors == warning)
            let document = try outcome.json()
            let found = document["not_finite"]
            #expect(found.count == 1 && found[0].keys == ["model", "file", "tensor", "nan", "inf"])
            #expect(found[0]["model"].string == "bad" && found[0]["file"].string == "bad.safetensors")
            #expect(found[0]["tensor"].string == "w" && found[0]["nan"].int == 2 && found[0]["inf"].int == 1)
            let (w, v) = (document["tensors"][0], document["tensors"][1])
            for key in ["norm", "relative_norm", "unchanged"] {
                #expect(document["experts"][1][key].string == "nan" && w["experts"][1][key].string == "nan")
            }
            for key in ["cosine", "sign_conflict", "topk_overlap"] {
                #expect(document["pairs"][0][key].string == "nan" && w["pairs"][0][key].string == "nan")
            }
            let spectrum = w["spectrum"]
            for key in ["rank", "stable_rank", "effective_rank", "top_energy"] {
                #expect(spectrum["experts"][1][key].string == "nan")
            }
            #expect(spectrum["experts"][1]["singular_values"].items.map(\.string) == ["nan", "nan"])
            #expect(spectrum["experts"][0]["rank"].int == 1)
            #expect(spectrum["singular_interference"].string == "nan")
            #expect(spectrum["alignments"][0]["value"].string == "nan")
            // In `v` the experts moved by 2 and 1 in one of two entries.
            #expect(v["experts"].items.map { $0["norm"].double } == [2, 1])
            #expect(v["pairs"][0]["cosine"].double == 1 && v["pairs"][0]["sign_conflict"].double == 0)
        }
    }

    @Test func tenTensorsAreNamedAndTheRestCounted() throws {
        let tool = try Tool()
        let names = (0..<12).map { "t\($0 < 10 ? "0" : "")\($0)" }
        // 0x7E00 is NaN.
        for (model, byte) in [("b", 0x00), ("nan", 0x7E)] as [(String, UInt8)] {
            try tool.write("\(model).safetensors", names.map { StoredTensor($0, "F16", [1], bytes: [0, byte]) })
        }
        let outcome = try tool.run("vectors", "--base", "b.safetensors", "nan.safetensors", "--json", "--quiet")
        let lines = outcome.errors.split(separator: "\n")
        #expect(lines.count == 11)
        #expect(lines[9] == "warning: tensor \"t09\" of nan (nan.safetensors) holds 1 NaN")
        #expect(lines[10] == "warning: 2 more tensors hold NaN or infinities")
        #expect(try outcome.json()["not_finite"].count == 12)
    }

    @Test func modelsThatDoNotFitAreRefused() throws {
        let outcome = try Tool().run(
            "vectors", "--json", "--base", "\(suite)/base.safetensors", "\(suite)/heads_digits.safetensors")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "analysis.incompatible")
    }
}
