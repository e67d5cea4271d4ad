import Testing

@Suite struct DiffTests {
    private let base = "Fixtures/suites/tiny/base.safetensors"
    private let expert = "Fixtures/suites/tiny/expert_digits.safetensors"

    @Test func saysThatACheckpointEqualsItself() throws {
        let outcome = try Tool().run("diff", base, base, "--json")
        #expect(outcome.status == 0)
        let document = try outcome.json()
        #expect(document.keys == ["equal", "only_in_a", "only_in_b", "changed", "not_finite"])
        #expect(document["not_finite"].count == 0)
        #expect(document["equal"].bool == true)
    }

    /// Expected values by `numpy` in F64.
    @Test func measuresDifferences() throws {
        let tool = try Tool()
        let outcome = try tool.run("diff", base, expert, "--json", "--only", "cls_token")
        #expect(outcome.status == 1)
        let change = try outcome.json()["changed"][0]
        #expect(change.keys == ["name", "dtype", "shape", "max_abs", "rms", "differing"])
        #expect(change["name"].string == "cls_token")
        #expect(change["dtype"].items.map(\.string) == ["F32", "F32"])
        #expect(change["shape"][1].items.map(\.int) == [1, 1, 64])
        #expect(change["differing"].int == 64)
        // Compared as text: Foundation's parser is off by one in the last digit.
        #expect(outcome.output.contains("\"max_abs\": 0.012097585946321487,"))
        let rms = try #require(change["rms"].double)
        #expect(abs(rms - 0.004169631120676928) < 1e-15)
        #expect(try tool.run("diff", base, expert, "--tolerance", "1").status == 0)
        #expect(try tool.run("diff", base, expert, "--exit-zero").status == 0)
    }

    /// NaN with the same bits is equal and has no part in what differs; against a number, or with other bits, it makes figures nan.
    @Test func figuresThatDependOnNaNAreNaN() throws {
        let tool = try Tool()
        let quiet = Float(bitPattern: 0x7FC0_0001)
        let inputs: [(String, [Float], [Float])] = [
            ("same", [.nan, 1, .infinity], [.nan, 1, .infinity]),
            ("beside", [.nan, 1, .infinity], [.nan, 3, .infinity]),
            ("number", [.nan, 1, 2], [1, 1, 4]), ("bits", [.nan, 1, 2], [quiet, 1, 2]),
            ("infinity", [1, 2, 3], [1, -.infinity, 3]), ("opposite", [.infinity, 0, 0], [-.infinity, 0, 0]),
            ("fine", [1, 2], [1, 4]),
        ]
        try tool.write("a.safetensors", inputs.map { StoredTensor($0.0, [$0.1.count], $0.1) })
        try tool.write("b.safetensors", inputs.map { StoredTensor($0.0, [$0.2.count], $0.2) })
        func text(_ value: JSONValue) -> String { value.string ?? value.double.map { "\($0)" } ?? "?" }
        func figures(_ document: JSONValue) -> [String: String] {
            Dictionary(
                uniqueKeysWithValues: document["changed"].items.map {
                    ($0["name"].string ?? "", "\(text($0["max_abs"])) \(text($0["rms"])) \($0["differing"].int ?? -1)")
                })
        }
        var outputs: Set<String> = []
        for threads in ["1", "2", "5"] {
            let outcome = try tool.run(
                "diff", "a.safetensors", "b.safetensors", "--json", "--quiet", "--threads", threads)
            #expect(outcome.status == 1)
            outputs.insert(outcome.output)
        }
        #expect(outputs.count == 1)
        let document = try JSONValue(parsing: try #require(outputs.first))
        let found = figures(document)
        // The root of 4 / 3 and of 4 / 2.
        #expect(found["beside"]?.hasPrefix("2.0 1.154700538") == true)
        #expect(found["fine"]?.hasPrefix("2.0 1.414213562") == true)
        #expect(found["number"] == "nan nan 2" && found["bits"] == "nan nan 1" && found["opposite"] == "inf inf 1")
        #expect(found["infinity"] == "inf inf 1" && found["same"] == nil)
        let list = document["not_finite"].items.map { entry in
            let counts = "\(entry["nan"].int ?? -1) \(entry["inf"].int ?? -1)"
            return
                "\(entry["model"].string ?? "") \(entry["file"].string ?? "") \(entry["tensor"].string ?? "") \(counts)"
        }
        #expect(
            list == [
                "a a.safetensors same 1 1", "b b.safetensors same 1 1", "a a.safetensors beside 1 1",
                "b b.safetensors beside 1 1", "a a.safetensors number 1 0", "a a.safetensors bits 1 0",
                "b b.safetensors bits 1 0", "b b.safetensors infinity 0 1", "a a.safetensors opposite 0 1",
                "b b.safetensors opposite 0 1",
            ])
        let text = try tool.run("diff", "a.safetensors", "b.safetensors", "--only", "number")
        #expect(text.errors == "warning: tensor \"number\" of a (a.safetensors) holds 1 NaN\n")
        #expect(text.output.contains("number   F32    [3]            2      nan  nan\n"))
    }

    @Test func namesWhatOnlyOneHas() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "a.npz", "--only", "norm.*", "--only", "cls_token").status == 0)
        #expect(
            try tool.run("convert", base, "b.npz", "--only", "norm.*", "--only", "pos_embed", "--dtype", "F64").status
                == 0)
        let outcome = try tool.run("diff", "a.npz", "b.npz")
        #expect(outcome.status == 1)
        #expect(
            outcome.output == """
                only in a.npz:
                  cls_token

                only in b.npz:
                  pos_embed

                CHANGED      DTYPE       SHAPE  DIFFERING  MAX ABS  RMS
                norm.bias    F32 -> F64  [64]           0        0    0
                norm.weight  F32 -> F64  [64]           0        0    0

                2 tensors compared, 2 changed, 1 only in the first, 1 only in the second

                """)
        let document = try tool.run("diff", "a.npz", "b.npz", "--json").json()
        #expect(document["only_in_a"].items.map(\.string) == ["cls_token"])
        #expect(document["only_in_b"].items.map(\.string) == ["pos_embed"])
    }
}
