import TensorCore
import TestSupport
import Testing

/// Merges of what people have and no merge can take as it is; the inputs are those of public reports.
@Suite struct UnmergeableTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    private func makeModel(_ folder: String, _ parts: [StoredTensor], config: String = "") throws {
        _ = try tool.shell("mkdir -p \(folder)")
        try tool.write("\(folder)/model.safetensors", parts)
        let text = #"{"model_type": "llama", "architectures": ["LlamaForCausalLM"]\#(config)}"#
        _ = try tool.folder.write(Array(text.utf8), to: "\(folder)/config.json")
    }

    /// A tensor whose bytes are all the same.
    private func part(_ name: String, _ dtype: DType, _ shape: [Int], fill: UInt8 = 0) -> StoredTensor {
        let count = shape.reduce(1, *) * dtype.bitWidth / 8
        return StoredTensor(name, dtype.rawValue, shape, bytes: Array(repeating: fill, count: count))
    }

    private static let fp8 = #", "quantization_config": {"quant_method": "fp8"}"#
    private static let projection = "model.layers.0.self_attn.q_proj.weight"

    /// A model with scales that fit nothing, so that it is not known what the codes stand for.
    private func makeUnknown(_ folder: String, code: UInt8) throws { try makeFP8(folder, code: code, grid: [3, 3]) }

    private func makeFP8(_ folder: String, code: UInt8, grid: [Int] = [1, 1]) throws {
        try makeModel(
            folder,
            [
                part(Self.projection, .f8E4M3, [8, 8], fill: code),
                part(Self.projection + "_scale_inv", .f32, grid, fill: 0x3C),
                part("model.norm.weight", .bf16, [8], fill: 0x3C),
            ], config: Self.fp8)
    }

    @Test func aCastOfFP8WeightsIsRefusedByName() throws {
        try makeFP8("q", code: 0x38)
        let outcome = try tool.run("convert", "q", "o.safetensors", "--dtype", "BF16", "--json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "input.quantized")
        #expect(try outcome.error()["message"].string?.contains("quantised (fp8)") == true)
        #expect(try outcome.error()["hint"].string == "convert --dequantize writes the numbers that they stand for")
        #expect(!tool.exists("o.safetensors"))
        // Without a cast, and of what is not quantised, it works.
        #expect(try tool.run("convert", "q", "copy.safetensors").status == 0)
        #expect(try tool.run("diff", "q", "copy.safetensors").status == 0)
        #expect(try tool.run("convert", "q", "n.safetensors", "--dtype", "F32", "--only", "*norm*").status == 0)
    }

    @Test func unknownCodesAreMergedNeitherWithEachOtherNorWithOthers() throws {
        try makeUnknown("one", code: 0x38)
        try makeUnknown("two", code: 0x39)
        try makeModel(
            "plain",
            [part(Self.projection, .bf16, [8, 8]), part("model.norm.weight", .bf16, [8])])
        let both = try tool.run("merge", "--method", "linear", "one", "two", "--output", "o/", "--json")
        #expect(both.status == 3)
        #expect(try both.error()["code"].string == "input.quantized")
        #expect(!both.errors.contains("--dtype"))
        let mixed = try tool.run("merge", "--method", "linear", "plain", "two", "--output", "o/", "--json")
        #expect(mixed.status == 3)
        #expect(try mixed.error()["message"].string == "two is quantised (fp8), plain is not")
        #expect(!tool.exists("o"))
    }

    @Test func aPassthroughWithATypeKeepsTheParts() throws {
        try makeFP8("one", code: 0x38)
        #expect(
            try tool.run("merge", "--method", "passthrough", "one", "--dtype", "F16", "--output", "o/").status == 0)
        let tensors = try tool.run("inspect", "o", "--json", "--checksum").json()["tensors"].items
        let types = Dictionary(uniqueKeysWithValues: tensors.map { ($0["name"].string ?? "", $0["dtype"].string) })
        #expect(
            types == [
                Self.projection: "F8_E4M3", Self.projection + "_scale_inv": "F32", "model.norm.weight": "F16",
            ])
        let before = try tool.run("inspect", "one", "--json", "--checksum").json()["tensors"].items
        func sum(_ list: [JSONValue], _ name: String) -> String? {
            list.first { $0["name"].string == name }?["sha256"].string
        }
        for name in [Self.projection, Self.projection + "_scale_inv"] {
            #expect(sum(tensors, name) == sum(before, name))
        }
    }

    @Test func adapterFoldersAreNotMergedAsModels() throws {
        for name in ["l1", "l2"] {
            _ = try tool.shell("mkdir -p \(name)")
            try tool.write(
                "\(name)/adapter_model.safetensors",
                [
                    part("base_model.model.q.lora_A.weight", .f32, [2, 8]),
                    part("base_model.model.q.lora_B.weight", .f32, [8, 2]),
                ])
        }
        let outcome = try tool.run("merge", "--method", "linear", "l1", "l2", "--output", "o/", "--json")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "input.adapter")
        #expect(!tool.exists("o"))
        #expect(try tool.run("vectors", "--base", "l1", "l2", "--json").error()["code"].string == "input.adapter")
    }

    /// Seven tensors in two modules, one of which is numbered like layers.
    private func makeTower(_ folder: String) throws {
        try makeModel(
            folder,
            (0..<6).map { part("tower.\($0).w", .f32, [2]) }
                + [part("projector.w", .f32, [2]), part("language_model.w", .f32, [3])])
    }

    @Test func whatAResultLacksIsCountedAndKeptByTheRemedy() throws {
        for name in ["m1", "m2"] { try makeTower(name) }
        let merge = ["merge", "--method", "linear", "m1", "m2", "--only", "language_model.*", "--output"]
        let partial = try tool.run(merge + ["part/"])
        #expect(partial.status == 0)
        #expect(partial.errors.contains("the result lacks 7 tensors that m1 has"))
        let remedy = ["--keep-base", "tower.*", "--keep-base", "projector.*"]
        #expect(partial.errors.contains("unless --keep-base 'tower.*' --keep-base 'projector.*' takes them along"))
        let whole = try tool.run(merge + ["whole/"] + remedy)
        #expect(whole.status == 0 && whole.errors == "")
        #expect(try tool.run("inspect", "whole", "--json").json()["tensors"].items.count == 8)
        // The folder says how it was made, and the recipe in it makes it again.
        #expect(
            try tool.shell("grep '^keep_base' whole/mergekit_config.yml").output
                == "keep_base: [\"tower.*\", \"projector.*\"]\n")
        _ = try tool.shell("cp whole/mergekit_config.yml again.yml")
        let again = try tool.run("merge", "again.yml", "again/", "--only", "language_model.*")
        #expect(again.status == 0)
        #expect(try tool.data("again/model.safetensors") == tool.data("whole/model.safetensors"))
    }

    @Test func aRecipeKeepsWhatItSaysAndTheCommandLineAdds() throws {
        for name in ["m1", "m2"] { try makeTower(name) }
        let recipe = "merge_method: linear\nmodels:\n  - model: m1\n  - model: m2\nkeep_base: tower.*\n"
        _ = try tool.folder.write(Array(recipe.utf8), to: "r.yml")
        let plan = try tool.run(
            "merge", "r.yml", "o/", "--keep-base", "projector.*", "--dry-run", "--json"
        ).json()
        #expect(plan["tensors"]["copied"].int == 7)
        #expect(plan["tensors"]["elementwise"].int == 1)
    }

    @Test func anInpaintingModelKeepsItsFirstLayer() throws {
        for (name, channels) in [("m1", 9), ("m2", 4)] {
            try tool.write(
                "\(name).safetensors", [part("conv_in.weight", .f32, [3, channels, 3, 3]), part("w", .f32, [4])])
        }
        let merge = ["merge", "--method", "linear", "m1.safetensors", "m2.safetensors", "--output", "o.safetensors"]
        let refused = try tool.run(merge + ["--json"])
        #expect(refused.status == 3)
        let remedy = try refused.error()["details"].items.first?["remedy"].string
        #expect(remedy?.hasPrefix("--keep-base 'conv_in.weight'") == true)
        #expect(try tool.run(merge + ["--keep-base", "conv_in.weight"]).status == 0)
        #expect(try tool.run("inspect", "o.safetensors", "--json").json()["tensors"].items.count == 2)
    }

    @Test func vectorsSayWhatTheyDoNotMeasure() throws {
        try makeUnknown("one", code: 0x38)
        try makeUnknown("two", code: 0x39)
        let outcome = try tool.run("vectors", "--base", "one", "two", "--json")
        #expect(outcome.status == 0)
        let document = try outcome.json()
        #expect(document["tensors"].items.map { $0["name"].string } == ["model.norm.weight"])
        let left = document["not_measured"][0]
        #expect(left["reason"].string == "quantised (fp8)")
        // 64 codes and 9 scales of 4 bytes, beside 8 numbers of 2 bytes.
        #expect(left["tensors"].int == 2 && left["bytes"].int == 100)
        #expect(abs((left["share"].double ?? 0) - 100.0 / 116) < 1e-12)
        #expect(outcome.errors.contains("2 tensors (86.2 % of the bytes) were not measured: quantised (fp8)"))
        try makeModel(
            "plain", [part(Self.projection, .bf16, [8, 8]), part("model.norm.weight", .bf16, [8])])
        // Where nothing can be measured, 0 would look like an expert that did not move.
        let nothing = try tool.run("vectors", "--base", "one", "two", "--only", "*q_proj*", "--json").json()
        #expect(nothing["experts"][0]["norm"].string == "nan")
        #expect(nothing["not_measured"][0]["share"].double == 1)
        let mixed = try tool.run("vectors", "--base", "one", "plain", "--json")
        #expect(mixed.status == 3)
        #expect(try mixed.error()["message"].string == "the base is quantised (fp8), plain is not")
        // Eight bits without scales are weights, and without arithmetic here.
        try tool.write("bare.safetensors", [part("w", .f8E5M2, [4]), part("n", .f32, [1])])
        let bare = try tool.run("vectors", "--base", "bare.safetensors", "bare.safetensors", "--json").json()
        #expect(bare["not_measured"][0]["reason"].string == "F8_E5M2")
        #expect(bare["not_measured"][0]["share"].double == 0.5)
    }

    @Test func figuresOfStoredNumbersSaySo() throws {
        try makeFP8("one", code: 0x38)
        try makeFP8("two", code: 0x39)
        let remark =
            "2 tensors are parts of quantised weights (fp8): figures are of the stored numbers, not of the weights"
        #expect(try tool.run("inspect", "one", "--stats", "--raw").errors.contains(remark))
        #expect(try tool.run("inspect", "one", "--stats", "--checksum").errors.contains(remark))
        #expect(try tool.run("inspect", "one").errors == "")
        #expect(try tool.run("diff", "one", "two", "--raw").errors.contains(remark))
        #expect(try tool.run("diff", "one", "one", "--raw").errors == "")
    }

    @Test func vectorsPassOverBuffersThatOnlySomeModelsHave() throws {
        let weight = part("w", .f32, [2])
        try tool.write(
            "rich.safetensors", [weight, part("rotary_emb.inv_freq", .f32, [4]), part("position_ids", .f16, [4])])
        try tool.write(
            "plain.safetensors", [weight, part("position_ids", .i64, [4]), part("bn.num_batches_tracked", .i64, [])])
        for (base, expert) in [("rich", "plain"), ("plain", "rich")] {
            let outcome = try tool.run(
                "vectors", "--base", "\(base).safetensors", "\(expert).safetensors", "--json")
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try outcome.json()["tensors"].items.map { $0["name"].string } == ["w"])
            #expect(try outcome.json()["not_measured"].items.isEmpty)
        }
    }

    /// A pattern may speak of a tensor of one slice alone.
    @Test func patternsAreLookedForInAllSlices() throws {
        for name in ["m1", "m2"] {
            try makeModel(
                name,
                [part("model.embed.weight", .f32, [2, 2])] + (0..<2).map { part("model.layers.\($0).w", .f32, [2]) }
                    + [part("model.norm.weight", .f32, [2])])
        }
        func slice(_ range: String) -> String {
            "  - sources:\n" + ["m1", "m2"].map { "      - { model: \($0), layer_range: \(range) }\n" }.joined()
        }
        let recipe =
            "merge_method: linear\nslices:\n" + slice("[0, 1]") + slice("[1, 2]")
            + "keep_base: [model.norm.weight, 'model.layers.0.*', nowhere]\n"
        _ = try tool.folder.write(Array(recipe.utf8), to: "r.yml")
        let merged = try tool.run("merge", "r.yml", "o/", "--json")
        #expect(merged.status == 0, "\(merged.errors)")
        let warnings = try merged.json()["warnings"].items.compactMap(\.string).filter { $0.contains("keep_base") }
        #expect(warnings == ["no tensor matches the pattern nowhere of --keep-base or keep_base"])
        let plan = try tool.run("merge", "r.yml", "o/", "--dry-run", "--json").json()
        #expect(plan["tensors"]["copied"].int == 2)
    }
}
