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
        #expect(document.keys == ["base", "experts", "pairs", "tensors"])
        #expect(document["base"].string == "\(suite)/base.safetensors")
        #expect(document["experts"][0].keys == ["name", "norm", "relative_norm", "unchanged"])
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
        #expect(try tool.shell("grep -c '<table>' v.html").output == "4\n")
    }

    @Test func modelsThatDoNotFitAreRefused() throws {
        let outcome = try Tool().run(
            "vectors", "--json", "--base", "\(suite)/base.safetensors", "\(suite)/heads_digits.safetensors")
        #expect(outcome.status == 3)
        #expect(try outcome.error()["code"].string == "analysis.incompatible")
    }
}
