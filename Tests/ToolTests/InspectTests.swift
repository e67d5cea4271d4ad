import Testing

@Suite struct InspectTests {
    private let head = "Fixtures/suites/tiny/heads_digits.safetensors"
    private let base = "Fixtures/suites/tiny/base.safetensors"

    @Test func listsTensors() throws {
        let outcome = try Tool().run("inspect", head)
        #expect(outcome.status == 0)
        #expect(outcome.errors == "")
        #expect(
            outcome.output == """
                Fixtures/suites/tiny/heads_digits.safetensors: safetensors

                NAME    DTYPE  SHAPE         SIZE
                bias    F32    [10]          40 B
                weight  F32    [10, 64]  2.50 KiB

                2 tensors, 650 parameters, 2.54 KiB

                """)
    }

    /// One that cannot be read does not keep the others from being listed.
    @Test func listsSeveralCheckpoints() throws {
        let tool = try Tool()
        let outcome = try tool.run("inspect", head, "missing.npz", base)
        #expect(outcome.status == 3)
        #expect(outcome.errors.hasPrefix("error: ") && outcome.errors.contains("[io.not_found]"))
        #expect(outcome.output.hasPrefix("\(head): safetensors\n\nNAME "))
        #expect(outcome.output.contains("2.54 KiB\n\n\(base): safetensors\n"))
        let json = try tool.run("inspect", head, base, "--json")
        #expect(json.status == 0)
        #expect(try json.json().keys == ["checkpoints"])
        #expect(try json.json()["checkpoints"].items.map(\.["path"].string) == [head, base])
        #expect(
            try json.json()["checkpoints"][0].keys == [
                "path", "format", "files", "metadata", "tensors", "totals", "dtypes",
            ])
        let failing = try tool.run("inspect", "missing.npz", "gone.npz", "--json")
        #expect(failing.status == 3)
        #expect(try failing.json()["checkpoints"].count == 0)
        #expect(failing.errors.split(separator: "\n").count == 2)
        #expect(try failing.error()["file"].string == "gone.npz")
    }

    @Test func printsTheKeysOfTheContract() throws {
        let outcome = try Tool().run("inspect", "--json", "--stats", "--checksum", head)
        let document = try outcome.json()
        #expect(document.keys == ["path", "format", "files", "metadata", "tensors", "totals", "dtypes"])
        #expect(document["path"].string == head)
        #expect(document["format"].string == "safetensors")
        #expect(document["files"][0].string == head)
        #expect(document["totals"].keys == ["tensors", "parameters", "bytes"])
        #expect(document["totals"]["parameters"].int == 650)
        #expect(document["totals"]["bytes"].int == 2600)
        let weight = document["tensors"][1]
        #expect(weight.keys == ["name", "dtype", "shape", "bytes", "sha256", "stats"])
        #expect(weight["name"].string == "weight")
        #expect(weight["shape"].items.map(\.int) == [10, 64])
        #expect(weight["stats"].keys == ["min", "max", "mean", "std", "norm", "zeros", "nan", "inf"])
        #expect(
            try Tool().run("inspect", "--json", head).json()["tensors"][1].keys == ["name", "dtype", "shape", "bytes"])
    }

    /// 3, 0, 4 and what is no number: the mean of the three is 7/3, the squared deviations sum to 26/3.
    @Test func statisticsAreThoseOfFiniteElements() throws {
        let tool = try Tool()
        try tool.write(
            "n.safetensors",
            [
                StoredTensor("some", [6], [3, .nan, 0, .infinity, 4, -.infinity]),
                StoredTensor("none", [2], [.nan, .nan]),
            ])
        let tensors = try tool.run("inspect", "n.safetensors", "--stats", "--json").json()["tensors"]
        let (some, none) = (tensors[0]["stats"], tensors[1]["stats"])
        #expect(some["nan"].int == 1 && some["inf"].int == 2 && some["zeros"].int == 1)
        #expect(some["min"].double == 0 && some["max"].double == 4 && some["norm"].double == 5)
        #expect(abs(try #require(some["mean"].double) - 7.0 / 3) < 1e-15)
        #expect(abs(try #require(some["std"].double) - (26.0 / 9).squareRoot()) < 1e-15)
        for key in ["min", "max", "mean", "std"] { #expect(none[key].string == "nan") }
        #expect(none["nan"].int == 2 && none["norm"].double == 0)
    }

    /// Expected values by `numpy` 2 in F64 over the tensor that `safetensors.numpy.load_file` reads.
    @Test func measuresTensors() throws {
        let outcome = try Tool().run("inspect", base, "--only", "pos_embed", "--stats", "--checksum", "--json")
        let tensors = try outcome.json()["tensors"]
        #expect(tensors.count == 1)
        let stats = tensors[0]["stats"]
        // Compared as text: Foundation's parser is off by one in the last digit.
        #expect(outcome.output.contains("\"min\": -0.4921101927757263,"))
        #expect(outcome.output.contains("\"max\": 0.5393676161766052,"))
        for (key, expected) in [
            ("mean", 0.0014833278017062292), ("std", 0.13557727212202886), ("norm", 4.472262951955169),
        ] {
            let value = try #require(stats[key].double)
            // Sums in another order differ in the last digits.
            #expect(abs(value - expected) <= 1e-13 * max(1, abs(expected)))
        }
        #expect(stats["zeros"].int == 0 && stats["nan"].int == 0 && stats["inf"].int == 0)
        #expect(
            tensors[0]["sha256"].string == "e8d21d093bf16621a4125996307d1383d3a1bb947de7f34248cbfc9c7772b787")
    }

    @Test func givesTheSameResultOnAnyNumberOfThreads() throws {
        let tool = try Tool()
        let one = try tool.run("inspect", base, "--stats", "--checksum", "--json", "--threads", "1")
        for threads in ["2", "5"] {
            let other = try tool.run("inspect", base, "--stats", "--checksum", "--json", "--threads", threads)
            #expect(other.output == one.output)
        }
    }

    @Test func selectsAndSorts() throws {
        let tool = try Tool()
        func names(_ arguments: String...) throws -> [String?] {
            try tool.run(["inspect", base, "--json"] + arguments).json()["tensors"].items.map(\.["name"].string)
        }
        #expect(
            try names("--only", "blocks.0.norm*", "--only", "*_token", "--exclude", "*.bias") == [
                "blocks.0.norm1.weight", "blocks.0.norm2.weight", "cls_token",
            ])
        #expect(
            try names("--only", "blocks.0.mlp.*", "--sort", "size") == [
                "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight", "blocks.0.mlp.fc1.bias", "blocks.0.mlp.fc2.bias",
            ])
        let nothing = try tool.run("inspect", base, "--only", "nothing")
        #expect(nothing.status == 0)
        #expect(nothing.errors == "warning: no tensor of 30 matches the patterns\n")
    }

    @Test func sumsModules() throws {
        let tool = try Tool()
        let outcome = try tool.run("inspect", base, "--tree", "--only", "blocks.0.mlp.*", "--only", "cls_token")
        #expect(
            outcome.output == """
                Fixtures/suites/tiny/base.safetensors: safetensors
                  model: ViTModel, 2 layers, width 64, 2 heads

                MODULE     TENSORS  PARAMETERS      SIZE   SHARE
                blocks           4      16,576  64.8 KiB  99.6 %
                  0              4      16,576  64.8 KiB  99.6 %
                    mlp          4      16,576  64.8 KiB  99.6 %
                      fc1        2       8,320  32.5 KiB  50.0 %
                      fc2        2       8,256  32.2 KiB  49.6 %
                cls_token        1          64     256 B   0.4 %

                5 tensors, 16,640 parameters, 65.0 KiB, all F32

                """)
        let modules = try tool.run("inspect", base, "--tree", "--json").json()["modules"]
        #expect(modules[0].keys == ["name", "tensors", "parameters", "bytes"])
        #expect(modules.items.contains { $0["name"].string == "blocks.1.attn.qkv" && $0["parameters"].int == 12_480 })
    }

    /// 4 + 2 elements of F32 and 3 of BF16: 24 and 6 of 30 bytes.
    @Test func sumsTypes() throws {
        let tool = try Tool()
        try tool.write(
            "t.safetensors",
            [
                StoredTensor("a.w", "BF16", [3], bytes: .init(repeating: 0, count: 6)),
                StoredTensor("a.x", [2, 2], [1, 2, 3, 4]), StoredTensor("a.y", [2], [1, 2]),
            ])
        #expect(
            try tool.run("inspect", "t.safetensors", "--tree").output == """
                t.safetensors: safetensors

                DTYPE  TENSORS  PARAMETERS  SIZE   SHARE
                F32          2           6  24 B  80.0 %
                BF16         1           3   6 B  20.0 %

                MODULE  TENSORS  PARAMETERS  SIZE    SHARE
                a             3           9  30 B  100.0 %

                3 tensors, 9 parameters, 30 B

                """)
        let types = try tool.run("inspect", "t.safetensors", "--json").json()["dtypes"]
        #expect(types.items.map { $0["dtype"].string } == ["F32", "BF16"])
        #expect(types[1].keys == ["dtype", "tensors", "parameters", "bytes"])
        #expect(types[0]["bytes"].int == 24 && types[1]["parameters"].int == 3)
    }

    @Test func saysWhatTheModelIs() throws {
        let tool = try Tool()
        let model = try tool.run("inspect", base, "--json").json()["model"]
        #expect(model.keys == ["architecture", "layers", "width", "heads", "config"])
        #expect(model["architecture"].string == "ViTModel" && model["heads"].int == 2)
        #expect(model["config"].string == "Fixtures/suites/tiny/config.json")
        // A configuration that cannot be read is told of, and the rest goes on.
        try tool.write("m.safetensors", [StoredTensor("w", [1], [1])])
        _ = try tool.folder.write(Array("{\"hidden_size\": ".utf8), to: "config.json")
        let broken = try tool.run("inspect", "m.safetensors")
        #expect(broken.status == 0 && broken.output.hasPrefix("m.safetensors: safetensors\n\nNAME"))
        #expect(broken.errors.hasPrefix("warning: config.json is not used: "))
    }

    /// Expected counts by `numpy.histogram(tensor, 30)`.
    @Test func drawsAHistogram() throws {
        let tool = try Tool()
        let document = try tool.run("inspect", base, "--histogram", "pos_embed", "--json").json()
        #expect(document["histogram"].keys == ["name", "edges", "counts"])
        #expect(document["histogram"]["edges"].count == 31)
        #expect(
            document["histogram"]["counts"].items.map(\.int) == [
                1, 2, 0, 2, 7, 7, 11, 26, 24, 58, 58, 85, 117, 128, 130, 97, 80, 67, 57, 37, 36, 18, 23, 9, 2, 3, 1, 1,
                0, 1,
            ])
        #expect(try tool.run("inspect", base, "--histogram", "none").status == 2)
    }
}
