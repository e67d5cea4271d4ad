import Testing

@Suite struct DiffTests {
    private let base = "Fixtures/suites/tiny/base.safetensors"
    private let expert = "Fixtures/suites/tiny/expert_digits.safetensors"

    @Test func saysThatACheckpointEqualsItself() throws {
        let outcome = try Tool().run("diff", base, base, "--json")
        #expect(outcome.status == 0)
        let document = try outcome.json()
        #expect(document.keys == ["equal", "only_in_a", "only_in_b", "changed"])
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
