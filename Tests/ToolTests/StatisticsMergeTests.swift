import Checkpoints
import TensorCore
import TestSupport
import Testing

/// `regmean` and `fisher` with statistics from files, against what can be worked out by hand.
@Suite struct StatisticsMergeTests {
    private let tool: Tool

    init() throws { tool = try Tool() }

    private func write(_ name: String, _ tensors: [(TensorName, Shape, [Float])]) throws {
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: tool.folder.file(name),
            declaring: try tensors.map { try TensorDescriptor(name: $0.0, dtype: .f32, shape: $0.1) },
            options: WriteOptions(force: true, sync: false))
        for (place, tensor) in tensors.enumerated() {
            try tensor.2.withUnsafeBytes { try writer.write($0, tensor: place, at: 0) }
        }
        _ = try writer.finish()
    }

    private func values(_ name: TensorName, of file: String = "m.safetensors") throws -> [Float] {
        let bytes = try #require(try TensorStore(opening: tool.folder.file(file)).bytes(of: name))
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    /// Merges `a` and `b`, with `base` for methods that need one, and `ga` and `gb` as statistics.
    private func merge(_ method: String, _ settings: [String] = []) throws -> Tool.Outcome {
        try tool.run(
            ["merge", "--method", method]
                + (method == "regmean" ? ["--base", "base.safetensors"] : [])
                + ["a.safetensors", "b.safetensors", "--set", "statistics=ga.safetensors,gb.safetensors"]
                + settings.flatMap { ["--set", $0] }
                + ["--output", "m.safetensors", "--force", "--no-sync", "--quiet"])
    }

    private func expect(_ name: TensorName, _ expected: [Float], within tolerance: Float = 1e-5) throws {
        let merged = try values(name)
        #expect(merged.count == expected.count)
        for (value, expected) in zip(merged, expected) {
            #expect(abs(value - expected) <= tolerance, "\(name): \(merged)")
        }
    }

    // MARK: - RegMean

    /// A layer of two inputs and two outputs, its bias, and a table that no statistics speak of.
    private func writeLayers(base: Float) throws {
        func write(_ file: String, _ weight: [Float], bias: Float) throws {
            try self.write(
                file,
                [
                    ("layer.weight", [2, 2], weight), ("layer.bias", [2], [bias, -bias]),
                    ("other.weight", [2, 2], weight.map { 2 * $0 }),
                ])
        }
        try write("base.safetensors", [base, base, base, base], bias: 0)
        try write("a.safetensors", [8, 0, 4, 0], bias: 1)
        try write("b.safetensors", [0, 8, 0, 12], bias: 3)
    }

    /// Without inner products between inputs every column is a mean of its own: (W_a g_a + W_b g_b) / (g_a + g_b).
    @Test(arguments: ["layer.weight", "layer"] as [TensorName])
    func regmeanOfDiagonalStatisticsIsAMeanByColumn(name: TensorName) throws {
        try writeLayers(base: 1)
        try write("ga.safetensors", [(name, [2, 2], [1, 0, 0, 3])])
        try write("gb.safetensors", [(name, [2, 2], [3, 0, 0, 1])])
        // Whatever the factor of what is not there.
        for scale in ["0", "0.9", "1"] {
            let outcome = try merge("regmean", ["off_diagonal_scale=\(scale)"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            try expect("layer.weight", [8 / 4, 8 / 4, 4 / 4, 12 / 4])
            try expect("layer.bias", [2, -2])
            try expect("other.weight", [8, 8, 4, 12])
        }
        #expect(try merge("regmean", ["lambda=0.5", "others=base"]).status == 0)
        try expect("layer.weight", [1.5, 1.5, 1, 2])
        try expect("layer.bias", [0, 0])
    }

    /// The sum of the statistics is 4 times the identity whatever the factor s, so W = (W_a G_a + W_b G_b) / 4.
    @Test(arguments: [("0", [4, 4, 2, 6]), ("0.5", [2, 6, -1, 7]), ("1", [0, 8, -4, 8])] as [(String, [Float])])
    func regmeanScalesInnerProductsOfDifferentInputs(scale: String, expected: [Float]) throws {
        try writeLayers(base: -3)
        try write("ga.safetensors", [("layer", [2, 2], [2, 2, 2, 2])])
        try write("gb.safetensors", [("layer", [2, 2], [2, -2, -2, 2])])
        #expect(try merge("regmean", ["off_diagonal_scale=\(scale)"]).status == 0)
        try expect("layer.weight", expected)
    }

    // MARK: - Fisher

    /// Norms over both tensors of 5 and 10, and `c` without statistics.
    private func writeEntries() throws {
        try write("a.safetensors", [("a", [1], [7]), ("b", [1], [7]), ("c", [2], [8, 0])])
        try write("b.safetensors", [("a", [1], [0]), ("b", [1], [0]), ("c", [2], [0, 4])])
        try write("ga.safetensors", [("a", [1], [3]), ("b", [1], [4])])
        try write("gb.safetensors", [("a", [1], [8]), ("b", [1], [6])])
    }

    @Test(
        arguments: [
            // 3/5 and 8/10 of a, 4/5 and 6/10 of b.
            ([], 3, 4, [4, 2]),
            // 3 and 8, 4 and 6.
            (["normalize=false"], 21.0 / 11, 28.0 / 10, [4, 2]),
            // 3 * 3/5 and 8/10, 3 * 4/5 and 6/10.
            (["weight=3,1"], 7 * 18.0 / 26, 7 * 24.0 / 30, [6, 1]),
            (["weight=3,1", "normalize=false"], 7 * 9.0 / 17, 7 * 12.0 / 18, [6, 1]),
            (["weight=0,1"], 0, 0, [0, 4]),
        ] as [([String], Double, Double, [Float])])
    func fisherWeighsEveryEntry(settings: [String], a: Double, b: Double, c: [Float]) throws {
        try writeEntries()
        let outcome = try merge("fisher", settings)
        #expect(outcome.status == 0, "\(outcome.errors)")
        try expect("a", [Float(a)])
        try expect("b", [Float(b)])
        try expect("c", c)
    }

    /// A recipe names statistics from its own folder.
    @Test func aRecipeHasStatisticsByModel() throws {
        try writeEntries()
        let text = """
            merge_method: fisher
            models:
              - { model: a.safetensors, parameters: { statistics: ga.safetensors } }
              - { model: b.safetensors, parameters: { statistics: gb.safetensors } }
            """
        _ = try tool.folder.write(Array(text.utf8), to: "r.yaml")
        let outcome = try tool.shell("mkdir sub && cd sub && untangle merge ../r.yaml ../m.safetensors --no-sync")
        #expect(outcome.status == 0, "\(outcome.errors)")
        try expect("a", [3])
        try expect("b", [4])
        try expect("c", [4, 2])
    }

    /// Paths of statistics are others from another folder, and the merge is the same.
    @Test func aRunFromElsewhereIsTheSame() throws {
        try writeEntries()
        let text = """
            merge_method: fisher
            models:
              - { model: a.safetensors, parameters: { statistics: ga.safetensors } }
              - { model: b.safetensors, parameters: { statistics: gb.safetensors } }
            output: m.safetensors
            """
        _ = try tool.folder.write(Array(text.utf8), to: "r.yaml")
        #expect(try tool.run("run", "r.yaml", "--quiet", "--no-sync").status == 0)
        let again = try tool.shell("mkdir sub && cd sub && untangle run ../r.yaml --quiet --json")
        #expect(again.status == 0, "\(again.errors)")
        #expect(try again.json()["skipped"].items.map(\.string) == ["merge"])
    }

    /// Statistics that the command line names over a recipe are inputs as well.
    @Test func partsWithOtherStatisticsAreNotJoined() throws {
        try writeEntries()
        let text = "merge_method: fisher\nmodels: [{ model: a.safetensors }, { model: b.safetensors }]\n"
        _ = try tool.folder.write(Array(text.utf8), to: "r.yaml")
        func merge(_ step: String...) throws -> Tool.Outcome {
            try tool.run(
                ["merge", "r.yaml", "m/", "--set", "statistics=ga.safetensors,gb.safetensors", "--shard-size", "8B"]
                    + ["--no-sync"] + step)
        }
        #expect(try merge("--part", "1/2").status == 0)
        #expect(try tool.shell("touch -d 2020-01-01 gb.safetensors").status == 0)
        #expect(try merge("--part", "2/2").status == 0)
        let joined = try merge("--join", "--json")
        #expect(joined.status == 3)
        #expect(
            try joined.error()["message"].string
                == "part 1/2 was merged otherwise: the file of statistics of expert 2 has another size or time of change"
        )
    }

    // MARK: - What does not fit

    @Test func saysWhatToDoWhereOneExpertLacksStatistics() throws {
        try writeLayers(base: 0)
        try write("ga.safetensors", [("layer.weight", [2, 2], [1, 0, 0, 1])])
        try write("none.safetensors", [("layer.gate", [2, 2], [1, 0, 0, 1])])
        let outcome = try tool.run(
            "merge", "--method", "esm", "--base", "base.safetensors", "a.safetensors", "b.safetensors", "--set",
            "statistics=ga.safetensors,none.safetensors", "--output", "m.safetensors", "--json")
        #expect(try outcome.error()["code"].string == "merge.statistics")
        #expect(try outcome.error()["hint"].string?.contains("for all experts or for none") == true)
    }

    @Test(arguments: ["regmean", "fisher"])
    func refusesStatisticsThatDoNotFit(method: String) throws {
        try writeLayers(base: 0)
        func code(_ statistics: String) throws -> String? {
            let outcome = try tool.run(
                "merge", "--method", method, "--base", "base.safetensors", "a.safetensors", "b.safetensors", "--set",
                "statistics=\(statistics)", "--output", "m.safetensors", "--json")
            #expect(outcome.status == 3 || outcome.status == 2)
            return try outcome.error()["code"].string
        }
        try write("ga.safetensors", [("layer.weight", [2, 2], [1, 0, 0, 1])])
        try write("long.safetensors", [("layer.weight", [3, 3], [Float](repeating: 1, count: 9))])
        try write("none.safetensors", [("layer.gate", [2, 2], [1, 0, 0, 1])])
        for statistics in [
            "ga.safetensors,long.safetensors", "ga.safetensors,none.safetensors", "ga.safetensors,missing.safetensors",
            "ga.safetensors,ga.safetensors",
        ] {
            #expect(try code(statistics) == "merge.statistics", "\(statistics)")
        }
        #expect(!tool.exists("m.safetensors"))
    }

    /// One number that is none would outweigh all others of an expert, or take its weight away.
    @Test(arguments: ["fisher normalize=true", "fisher normalize=false"]) func statisticsWithNaNAreRefused(line: String)
        throws
    {
        let words = line.split(separator: " ").map(String.init)
        for name in ["a", "b", "ga"] { try write("\(name).safetensors", [("w", [3], [1, 2, 3]), ("n", [1], [1])]) }
        for (value, count) in [(Float.nan, "1 NaN"), (.infinity, "1 infinity")] {
            try write("gb.safetensors", [("w", [3], [1, value, 3]), ("n", [1], [1])])
            let outcome = try merge(words[0], [words[1]])
            #expect(outcome.status == 3)
            #expect(outcome.errors.contains("\"w\" in the statistics of expert 2, gb.safetensors, holds \(count)"))
            #expect(outcome.errors.contains("[merge.statistics]"))
            #expect(!tool.exists("m.safetensors"))
        }
    }
}
