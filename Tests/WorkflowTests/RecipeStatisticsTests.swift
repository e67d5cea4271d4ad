import Checkpoints
import Merging
import Recipes
import SystemPackage
import TensorCore
import Work
import Testing
import TestSupport
import Workflow

/// Methods that read statistics of the experts, under recipes that give layers other numbers.
@Suite struct RecipeStatisticsTests {
    private let folder = TemporaryFolder()
    private static let layers = 0..<4

    private static func name(_ layer: Int) -> TensorName { TensorName("model.layers.\(layer).w.weight") }

    /// A base of zeros, an expert of ones that matters in layers 2 and 3, and one of twos that matters in layers 0 and 1.
    init() throws {
        for (name, value) in [("base", 0), ("one", 1), ("two", 2)] as [(String, Float)] {
            try folder.checkpoint(
                "\(name).safetensors",
                Self.layers.map { TestTensor(Self.name($0), [2, 2], [value, value, value, value]) }
                    + [TestTensor("model.norm.weight", [1], [value])])
        }
        try statistics("s1.safetensors") { layer in layer < 2 ? 0 : 1 }
        try statistics("s2.safetensors") { layer in layer < 2 ? 1 : 0 }
    }

    /// What both methods read: an entry for each of four parameters, or products of two inputs.
    private func statistics(_ file: String, suffix: String = ".weight", _ value: (Int) -> Float) throws {
        try folder.checkpoint(
            file,
            Self.layers.map { layer in
                let name = TensorName(String(Self.name(layer).text.dropLast(".weight".count)) + suffix)
                return TestTensor(name, [2, 2], [value(layer), 0, 0, value(layer)])
            })
    }

    private func stage(_ text: String) throws -> MergeJob {
        let recipe = try RecipeFile.parse(text, path: folder.file("r.yaml"))
        return try MergeJob(
            recipe, stores: try recipe.stores(warn: { _ in }) { try TensorStore(opening: $0) }, in: testContext)
    }

    /// The first number of every layer of the result.
    private func merged(_ text: String) throws -> [Float] {
        let store = try stage(text).merged().store
        return try store.descriptors.filter { LayerName($0.name) != nil }.map { descriptor in
            try #require(try store.bytes(of: descriptor.name)).withUnsafeBytes { $0.loadUnaligned(as: Float.self) }
        }
    }

    private func slice(_ method: String, one: Range<Int>, two: Range<Int>) -> String {
        func range(_ layers: Range<Int>) -> String { "layer_range: [\(layers.lowerBound), \(layers.upperBound)]" }
        let base = method == "regmean" ? "\n      - { model: base.safetensors, \(range(one)) }" : ""
        return """
            merge_method: \(method)
            \(method == "regmean" ? "base_model: base.safetensors" : "parameters: { normalize: false }")
            slices:
              - sources:\(base)
                  - { model: one.safetensors, \(range(one)), parameters: { statistics: s1.safetensors } }
                  - { model: two.safetensors, \(range(two)), parameters: { statistics: s2.safetensors } }
            """
    }

    /// Layers get new numbers, and statistics keep those of the experts' models.
    @Test(arguments: ["fisher", "regmean"])
    func statisticsGoByTheNamesOfTheExpert(method: String) throws {
        func expect(_ text: String, _ expected: [Float]) throws {
            let values = try merged(text)
            #expect(values.count == expected.count)
            for (a, b) in zip(values, expected) { #expect(abs(a - b) < 1e-4, "\(values) \(expected)") }
        }
        try expect(slice(method, one: 0..<4, two: 0..<4), [2, 2, 1, 1])
        try expect(slice(method, one: 2..<4, two: 2..<4), [1, 1])
        try expect(slice(method, one: 1..<3, two: 1..<3), [2, 1])
        // In layer 2 and 3 of the one and 0 and 1 of the other, both matter equally.
        try expect(slice(method, one: 2..<4, two: 0..<2), [1.5, 1.5])
        if method == "regmean" {
            try statistics("s1.safetensors", suffix: "") { layer in layer < 2 ? 0 : 1 }
            try statistics("s2.safetensors", suffix: "") { layer in layer < 2 ? 1 : 0 }
            try expect(slice(method, one: 1..<3, two: 1..<3), [2, 1])
        }
    }

    /// Statistics with other names would make a plain mean.
    @Test(arguments: ["fisher", "regmean"])
    func refusesStatisticsThatMatchNothing(method: String) throws {
        let text = slice(method, one: 1..<3, two: 1..<3)
        for name in ["s1", "s2"] {
            try folder.checkpoint(
                "\(name).safetensors", [TestTensor("outer.layers.0.w.weight", [2, 2], [1, 0, 0, 1])])
        }
        let error = try #require(throws: RecipeError.self) { _ = try stage(text) }
        #expect(error.code == "merge.statistics" && error.severity == .badInput)
        // The slice begins with the second layer.
        #expect(error.message.contains("\"model.layers.1.w.weight\""), "\(error.message)")
        #expect(error.message.contains("\"outer.layers.0.w.weight\""), "\(error.message)")
        #expect(error.line == 6 + (method == "regmean" ? 1 : 0))
    }

    @Test(arguments: ["fisher", "regmean"])
    func warnsOfTensorsWithoutStatistics(method: String) throws {
        for name in ["s1", "s2"] {
            try folder.checkpoint("\(name).safetensors", [TestTensor(Self.name(1), [2, 2], [1, 0, 0, 1])])
        }
        let warnings = try stage(slice(method, one: 0..<4, two: 0..<4)).plan.summary.warnings.map(\.text)
        // The norm is no matrix, of which RegMean expects nothing.
        let count = method == "regmean" ? "3 of 4" : "4 of 5"
        #expect(
            warnings == [
                "\(count) tensors have no statistics, such as \"model.layers.0.w.weight\", and are averaged without"
            ])
    }

    /// Layers of one model have the statistics of that model, which elsewhere is a slip.
    @Test func mergesLayersOfOneModel() throws {
        let text = slice("fisher", one: 0..<2, two: 2..<4)
            .replacing("two.safetensors", with: "one.safetensors").replacing("s2", with: "s1")
        #expect(try merged(text) == [1, 1])
        let whole = "merge_method: fisher\nmodels: [{ model: one.safetensors }, { model: two.safetensors }]\n"
        #expect(code { _ = try stage(whole + "parameters: { statistics: s1.safetensors }\n") } == "merge.statistics")
    }
}
