import Foundation
import TensorCore
import TestSupport
import Testing

/// Models that were published quantised, as inputs like any other.
@Suite struct QuantizedModelTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    private static let projection = "model.layers.0.self_attn.q_proj.weight"

    private func makeModel(_ folder: String, _ parts: [StoredTensor], config: String = "") throws {
        _ = try tool.shell("mkdir -p \(folder)")
        try tool.write("\(folder)/model.safetensors", parts)
        let text = #"{"model_type": "llama", "torch_dtype": "bfloat16"\#(config), "vocab_size": 8}"#
        _ = try tool.folder.write(Array(text.utf8), to: "\(folder)/config.json")
    }

    private static let fp8 = #", "quantization_config": {"quant_method": "fp8", "weight_block_size": [2, 4]}"#

    private func bytes(_ numbers: [Float]) -> [UInt8] {
        numbers.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
    }

    /// Codes of 1, 1.5, 2 and 3 in turn, in blocks of 2 x 4 of which the last ones are cut off.
    private func makeFP8(_ folder: String, scales: [Float]) throws {
        let codes: [UInt8] = [0x38, 0x3C, 0x40, 0x44]
        try makeModel(
            folder,
            [
                StoredTensor(Self.projection, "F8_E4M3", [3, 5], bytes: (0..<15).map { codes[$0 % 4] }),
                StoredTensor(Self.projection + "_scale_inv", "F32", [2, 2], bytes: bytes(scales)),
                StoredTensor("model.layers.0.self_attn.q_proj.input_scale", "F32", [], bytes: bytes([9])),
                StoredTensor("model.norm.weight", "BF16", [2], bytes: [0x80, 0x3F, 0x80, 0x3F]),
            ], config: Self.fp8)
    }

    /// What the codes and scales stand for, by the rule.
    private func weight(_ scales: [Float]) -> [Float] {
        (0..<15).map { [1, 1.5, 2, 3][$0 % 4] * scales[$0 / 5 / 2 * 2 + $0 % 5 / 4] }
    }

    private let one: [Float] = [1, 0.5, 2, 4]
    private let two: [Float] = [3, 0.25, 1, 8]

    @Test func numbersAreWrittenWithoutTheConfigurationOfCodes() throws {
        try makeFP8("q", scales: one)
        let outcome = try tool.run("convert", "q", "o/", "--dequantize")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("1 weight is worked on as the numbers that codes and scales stand for"))
        #expect(outcome.errors.contains("1 scale of activations and caches left out"))
        let data = Array(try tool.data("o/model.safetensors"))
        #expect(contains(data, bytes(weight(one))))
        #expect(
            try tool.shell("cat o/config.json").output
                == #"{"model_type": "llama", "torch_dtype": "float32", "vocab_size": 8}"#)
        // A type that is asked for is the only rounding.
        #expect(try tool.run("convert", "q", "b.safetensors", "--dequantize", "--dtype", "BF16").status == 0)
        #expect(
            try tool.run("diff", "b.safetensors", "o/", "--tolerance", "0.01", "--json").json()["changed"].items
                .allSatisfy {
                    $0["max_abs"].double == 0
                })
        #expect(
            try tool.run("convert", "o/", "p.safetensors", "--dequantize", "--json").error()["code"].string
                == "usage.dequantize")
        #expect(try tool.run("convert", "q", "g.safetensors").status == 0)
        #expect(try tool.run("inspect", "g.safetensors", "--json").json()["tensors"].items.count == 4)
    }

    /// Formats without a place for the parts are told of, before their own rules speak of single tensors.
    @Test(arguments: ["x.gguf", "x.npz"]) func partsThatAFormatCannotHoldAreRefused(output: String) throws {
        try makeFP8("q", scales: one)
        let error = try tool.run("convert", "q", output, "--json").error()
        #expect(error["code"].string == "input.quantized")
        #expect(error["hint"].string?.hasPrefix("--dequantize") == true)
        let numbers = try tool.run("convert", "q", "x.npz", "--dequantize", "--exclude", "*norm*")
        #expect(numbers.status == 0, "\(numbers.errors)")
    }

    /// Parts that are kept, since they are the same in all models, count for all of them.
    @Test func keptPartsCountInTheNormsOfAllModels() throws {
        func model(_ name: String) throws {
            try makeModel(
                name,
                [
                    StoredTensor("model.a.qweight", "I32", [4, 2], bytes: [UInt8](repeating: 7, count: 32)),
                    StoredTensor("model.a.scales", [1, 4], [3, 4, 5, 6]),
                    StoredTensor("model.norm.weight", [2], [1, 2]),
                ], config: #", "quantization_config": {"quant_method": "hqq"}"#)
        }
        try model("a")
        try model("b")
        let outcome = try tool.run("merge", "--method", "average", "a", "b", "--output", "m/", "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let inputs = try outcome.json()["folder"]["sanity"]["inputs"].items
        #expect(inputs.map { $0["ratio"].double } == [1, 1])
        #expect(inputs[0]["norm"].double == inputs[1]["norm"].double)
    }

    private func contains(_ data: [UInt8], _ part: [UInt8]) -> Bool {
        data.indices.contains { data[$0...].starts(with: part) }
    }

    @Test func mergesAreThoseOfTheNumbers() throws {
        try makeFP8("q1", scales: one)
        try makeFP8("q2", scales: two)
        for name in ["1", "2"] {
            #expect(try tool.run("convert", "q\(name)", "d\(name)/", "--dequantize").status == 0)
        }
        for (method, models) in [
            ("linear", ["X1", "X2"]), ("task_arithmetic", ["--base", "X1", "X2"]), ("ties", ["--base", "X2", "X1"]),
        ] {
            func merge(_ letter: String) throws -> [UInt8] {
                let outcome = try tool.run(
                    ["merge", "--method", method] + models.map { $0.replacing("X", with: letter) } + [
                        "--dtype", "BF16", "--output", "\(letter).safetensors", "--force",
                    ])
                #expect(outcome.status == 0, "\(method): \(outcome.errors)")
                return Array(try tool.data("\(letter).safetensors"))
            }
            let (codes, numbers) = (try merge("q"), try merge("d"))
            #expect(codes.count == numbers.count && codes.elementsEqual(numbers), "\(method)")
        }
        // A folder has numbers in the type that the model had, and says nothing of codes.
        let merged = try tool.run("merge", "--method", "linear", "q1", "q2", "--output", "m/")
        #expect(merged.status == 0, "\(merged.errors)")
        let tensors = try tool.run("inspect", "m", "--json").json()["tensors"].items
        #expect(tensors.map { $0["dtype"].string } == ["BF16", "BF16"])
        #expect(
            try tool.shell("cat m/config.json").output
                == #"{"model_type": "llama", "torch_dtype": "bfloat16", "vocab_size": 8}"#)
        // What is kept from the base is kept as numbers.
        #expect(
            try tool.run(
                "merge", "--method", "linear", "q1", "q2", "--keep-base", "*q_proj*", "--output", "k.safetensors"
            ).status == 0)
        #expect(try tool.run("convert", "q1", "b.safetensors", "--dequantize", "--dtype", "BF16").status == 0)
        #expect(try tool.run("diff", "k.safetensors", "b.safetensors").status == 0)
    }

    @Test func aQuantisedModelMeetsAnOrdinaryOne() throws {
        try makeFP8("q", scales: one)
        #expect(try tool.run("convert", "q", "d/", "--dequantize", "--dtype", "BF16").status == 0)
        #expect(try tool.run("merge", "--method", "linear", "d", "q", "--output", "o.safetensors").status == 0)
        #expect(try tool.run("diff", "o.safetensors", "d").status == 0)
        let vectors = try tool.run("vectors", "--base", "d", "q", "--json").json()
        #expect(vectors["not_measured"].items.isEmpty)
        #expect(vectors["experts"][0]["norm"].double == 0)
    }

    @Test func figuresAreOfTheNumbers() throws {
        try makeFP8("q", scales: one)
        let stats = try tool.run("inspect", "q", "--stats", "--json").json()["tensors"].items
        #expect(stats.map { $0["name"].string } == [Self.projection, "model.norm.weight"])
        #expect(stats[0]["stats"]["max"].double == Double(weight(one).max() ?? 0))
        #expect(try tool.run("inspect", "q", "--stats", "--json").json()["files"].items.count == 1)
        let raw = try tool.run("inspect", "q", "--stats", "--raw", "--json").json()["tensors"].items
        #expect(raw.count == 4 && raw[0]["stats"]["max"].double == 3)
        // Other codes and scales that stand for the same numbers are no difference, unless parts are compared.
        try makeFP8("same", scales: one)
        #expect(try tool.run("diff", "q", "same").status == 0)
        _ = try tool.shell("sed -i 's/input_scale/other_scale/' same/model.safetensors")
        #expect(try tool.run("diff", "q", "same", "--raw").status == 1)
    }

    @Test func matricesAreQuantisedAndReadBack() throws {
        let numbers = (0..<256 * 128).map { Float($0 % 97 - 48) / 64 }
        let weights = [
            StoredTensor(Self.projection, "F32", [256, 128], bytes: bytes(numbers)),
            StoredTensor("model.embed_tokens.weight", "F32", [1, 128], bytes: bytes(Array(numbers.prefix(128)))),
            StoredTensor("lm_head.weight", "F32", [1, 128], bytes: bytes(Array(numbers.prefix(128)))),
        ]
        try makeModel("m", weights)
        for (layout, scales) in [("fp8", [2, 1]), ("fp8-channel", [256, 1])] {
            let outcome = try tool.run("convert", "m", "q/", "--quantize", layout, "--force")
            #expect(outcome.status == 0, "\(outcome.errors)")
            let tensors = try tool.run("inspect", "q", "--json").json()["tensors"].items
            #expect(tensors.compactMap { $0["dtype"].string }.sorted() == ["F32", "F32", "F32", "F8_E4M3"])
            let scale = try #require(tensors.first { $0["name"].string?.contains("weight_scale") == true })
            #expect(scale["shape"].items.compactMap(\.int) == scales)
            #expect(try tool.shell("cat q/config.json").output.contains("lm_head"))
            // E4M3 has 3 bits of a fraction: an error of at most a sixteenth, and of half a step below the normal numbers.
            #expect(try tool.run("convert", "q", "back.safetensors", "--dequantize", "--force").status == 0)
            let changed = try tool.run("diff", "m", "back.safetensors", "--json").json()["changed"].items
            #expect(changed.count == 1)
            #expect(changed[0]["max_abs"].double ?? 1 <= 0.75 / 16)
            // What lies on the grid comes back.
            #expect(
                try tool.run("convert", "back.safetensors", "again.safetensors", "--quantize", layout, "--force").status
                    == 0)
            #expect(try tool.run("diff", "again.safetensors", "back.safetensors", "--tolerance", "1e-6").status == 0)
        }
        #expect(
            try tool.run("convert", "q", "r/", "--quantize", "fp8", "--json").error()["code"].string
                == "input.quantized")
        try makeModel("small", [StoredTensor(Self.projection, "F32", [2, 2], bytes: bytes([1, 2, 3, 4]))])
        #expect(
            try tool.run("convert", "small", "s/", "--quantize", "fp8", "--json").error()["code"].string
                == "convert.nothing_to_quantize")
        try makeModel("nan", [StoredTensor(Self.projection, "F32", [2, 2], bytes: bytes([1, .nan, 3, 4]))])
        let refused = try tool.run("convert", "nan", "n/", "--quantize", "fp8-channel", "--json")
        #expect(try refused.error()["code"].string == "convert.not_finite")
        #expect(!tool.exists("n/model.safetensors"))
    }

    private func refusal(_ arguments: String...) throws -> String? {
        let outcome = try tool.run(arguments + ["--json"])
        #expect(outcome.status == 3, "\(arguments): \(outcome.output)")
        return try outcome.error()["code"].string
    }

    /// Layouts that are not known: refused by all that computes, whatever the names are.
    @Test(arguments: [
        [
            StoredTensor("l.fc.weight", "F8_E4M3", [2, 2], bytes: [0x38, 0x40, 0xB8, 0xC0]),
            StoredTensor("l.fc.weights_scaling_factor", [1], [0.01]),
        ],
        [
            StoredTensor("l.weight.blocks", "U8", [1, 2, 1, 16], bytes: (0..<32).map { $0 }),
            StoredTensor("l.weight.scales", "U8", [1, 2, 1], bytes: [127, 126]),
        ],
        [
            StoredTensor("l.packed", "I32", [2, 2], bytes: (0..<16).map { $0 }), StoredTensor("l.s", [2], [1, 2]),
        ],
    ])
    func partsOfUnknownLayoutsAreRefused(parts: [StoredTensor]) throws {
        let norm = StoredTensor("n.weight", [2], [1, 2])
        try tool.write("a.safetensors", parts + [norm])
        let other = StoredTensor(
            parts[1].name, parts[1].dtype, parts[1].shape, bytes: parts[1].bytes.map { $0 == 0 ? 0 : $0 ^ 1 })
        try tool.write("b.safetensors", [parts[0], other, norm])
        let merge = ["merge", "--method", "linear", "a.safetensors", "b.safetensors", "--output", "o.safetensors"]
        for options in [[], ["--keep-base", parts[0].name]] {
            let outcome = try tool.run(merge + options + ["--json"])
            #expect(outcome.status == 3 && !tool.exists("o.safetensors"))
            #expect(try outcome.error()["code"].string == "input.quantized")
        }
        if parts[0].dtype == "F8_E4M3" {
            #expect(try refusal("convert", "a.safetensors", "o.safetensors", "--dtype", "BF16") == "input.quantized")
        }
        try tool.write("c.safetensors", parts + [StoredTensor("n.weight", [2], [1, 3])])
        #expect(
            try refusal("lora", "extract", "--base", "a.safetensors", "c.safetensors", "--rank", "1", "--output", "e/")
                == "input.quantized")
        let vectors = try tool.run("vectors", "--base", "a.safetensors", "c.safetensors", "--json").json()
        #expect(vectors["not_measured"][0]["reason"].string?.hasPrefix("quantised") == true)
    }

    @Test func codesAreNotSeparatedFromTheirScales() throws {
        try makeFP8("q", scales: one)
        #expect(try refusal("convert", "q", "c.safetensors", "--only", "*.weight") == "input.quantized")
        #expect(try refusal("convert", "q", "c.safetensors", "--exclude", "*_scale_inv") == "input.quantized")
        #expect(!tool.exists("c.safetensors"))
        for selection in [["--only", "*norm*"], ["--exclude", "*input_scale"], ["--only", "*_scale_inv"]] {
            let outcome = try tool.run(["convert", "q", "c.safetensors", "--force"] + selection)
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        let numbers = try tool.run("convert", "q", "c.safetensors", "--force", "--dequantize", "--only", "*.weight")
        #expect(numbers.status == 0, "\(numbers.errors)")
    }

    private static let stack = """
        merge_method: passthrough
        slices:
          - sources: [{ model: q, layer_range: [0, 1] }]
          - sources: [{ model: other, layer_range: [0, 1] }]
        """

    /// One configuration speaks of all parts.
    @Test func stacksOfPartsAreQuantisedAlike() throws {
        _ = try tool.folder.write(Array(Self.stack.utf8), to: "r.yml")
        try makeFP8("q", scales: one)
        try makeFP8("other", scales: two)
        #expect(try tool.run("merge", "r.yml", "o/").status == 0)
        #expect(try tool.shell("cat o/config.json").output.contains("weight_block_size"))
        _ = try tool.shell("sed -i 's/\\[2, 4\\]/[2, 3]/' other/config.json")
        #expect(try refusal("merge", "r.yml", "p/") == "input.quantized")
        _ = try tool.shell("rm -r other")
        #expect(try tool.run("convert", "q", "other/", "--dequantize").status == 0)
        #expect(try refusal("merge", "r.yml", "p/") == "input.quantized")
        // The other way round the configuration would know of no codes.
        _ = try tool.shell("mv q x && mv other q && mv x other")
        #expect(try refusal("merge", "r.yml", "p/") == "input.quantized")
        #expect(!tool.exists("p/model.safetensors"))
    }

    /// The result says nothing of codes, so that it does not matter what the models say.
    @Test func theConfigurationOfCodesIsNoDifference() throws {
        try makeFP8("q", scales: one)
        #expect(try tool.run("convert", "q", "d/", "--dequantize", "--dtype", "BF16").status == 0)
        for models in [["q", "d"], ["d", "q"]] {
            let outcome = try tool.run(["merge", "--method", "linear"] + models + ["--output", "m/", "--force"])
            #expect(outcome.status == 0 && !outcome.errors.contains("config.json differs"), "\(outcome.errors)")
        }
    }

    /// Blocks of other sizes make other numbers of the same weights.
    @Test func aRecordKnowsTheConfiguration() throws {
        try makeFP8("q", scales: one)
        let recipe =
            "merge_method: linear\nmodels:\n  - { model: q, parameters: { weight: 1 } }\noutput: o.safetensors\n"
        _ = try tool.folder.write(Array(recipe.utf8), to: "r.yml")
        #expect(try tool.run("run", "r.yml").status == 0)
        #expect(try tool.run("run", "r.yml", "--json").json()["skipped"].items.count == 1)
        _ = try tool.shell("sed -i 's/\\[2, 4\\]/[2, 3]/' q/config.json")
        let changed = try tool.run("run", "r.yml", "--json")
        #expect(changed.status == 4 && changed.errors.contains("model 1 has other contents"), "\(changed.errors)")
    }

    /// Rules cannot fail while they read; the merge does.
    @Test func aMergeOfDamagedPartsFails() throws {
        func integers(_ numbers: [Int32]) -> [UInt8] {
            numbers.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) }
        }
        for (name, group) in [("a", 0), ("b", 7)] as [(String, Int32)] {
            try makeModel(
                name,
                [
                    StoredTensor(
                        "l.0.qweight", "I32", [1, 8], bytes: integers(Array(repeating: 0x7654_3210, count: 8))),
                    StoredTensor("l.0.qzeros", "I32", [2, 1], bytes: integers([0, 0])),
                    StoredTensor("l.0.scales", "F32", [2, 8], bytes: bytes(Array(repeating: 1, count: 16))),
                    StoredTensor("l.0.g_idx", "I32", [8], bytes: integers(Array(repeating: group, count: 8))),
                ], config: #", "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 4}"#)
        }
        let outcome = try tool.run("merge", "--method", "linear", "a", "b", "--output", "o.safetensors", "--json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "format.bad_value")
        #expect(try outcome.error()["tensor"].string == "l.0.g_idx")
        #expect(!tool.exists("o.safetensors"))
        // The codes 0 to 7 less the zero point, 1.
        #expect(try tool.run("convert", "a", "d.safetensors", "--dequantize").status == 0)
        let stats = try tool.run("inspect", "d.safetensors", "--stats", "--json").json()["tensors"][0]
        #expect(stats["shape"].items.compactMap(\.int) == [8, 8])
        #expect(stats["stats"]["min"].double == -1 && stats["stats"]["max"].double == 6)
    }
}
