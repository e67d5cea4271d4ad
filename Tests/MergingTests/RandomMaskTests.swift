import Checkpoints
import Merging
import TensorCore
import Testing

@Suite("random masks") struct RandomMaskTests {
    static let count = 200_000

    /// A task vector of ones.
    func ones(_ names: [TensorName] = ["a"]) throws -> (base: TensorStore, expert: TensorStore) {
        func model(_ value: Double) throws -> TensorStore {
            try makeModel(names.map { TestTensor($0, [Double](repeating: value, count: Self.count)) })
        }
        return (try model(0), try model(1))
    }

    func parameters(_ values: [String: ParameterValue]) -> MergeParameters { MergeParameters(values) }

    @Test("as many entries stay as the density says", arguments: ["dare_linear", "dare_ties"], [0.1, 0.5, 0.9])
    func dropRate(method: String, density: Double) throws {
        let (base, expert) = try ones()
        let merged = try merge(
            method, base: base, [expert], parameters(["density": .number(density), "rescale": .flag(false)]))
        let values = try merged.store.values("a")
        #expect(values.allSatisfy { $0 == 0 || $0 == 1 })
        let share = values.reduce(0, +) / Double(Self.count)
        // Five standard errors of a share.
        #expect(abs(share - density) < 5 * (density * (1 - density) / Double(Self.count)).squareRoot())
    }

    @Test("what is left is scaled to the sum of magnitudes that was there", arguments: RegistryTests.randomMethods)
    func rescale(method: String) throws {
        var numbers = TestNumbers(seed: 9)
        let values = numbers.list(Self.count).map { Double(Float($0)) }
        let base = try makeModel([TestTensor("a", values.map { _ in 0 })])
        let expert = try makeModel([TestTensor("a", values)])
        let merged = try merge(method, base: base, [expert], parameters(["density": .number(0.3)])).store.values("a")
        let whole = values.reduce(0) { $0 + abs($1) }
        // A vote of one expert with its weight; della divides by it.
        #expect(abs(merged.reduce(0) { $0 + abs($1) } / whole - 1) < 1e-5)
        #expect(merged.count { $0 != 0 } < Self.count / 2)
        let ratios = zip(merged, values).filter { $0.0 != 0 }.map { $0.0 / $0.1 }
        #expect(ratios.allSatisfy { abs($0 / ratios[0] - 1) < 1e-5 })
        let plain = try merge(
            method, base: base, [expert], parameters(["density": .number(0.3), "rescale": .flag(false)]))
        for (a, b) in zip(try plain.store.values("a"), values) { #expect(a == 0 || a == b) }
    }

    @Test("a seed gives the same choice again, another seed another", arguments: RegistryTests.randomMethods)
    func seeds(method: String) throws {
        let (base, expert) = try ones()
        func merged(_ seed: Double) throws -> [UInt8] {
            try merge(method, base: base, [expert], parameters(["density": .number(0.5), "seed": .number(seed)]))
                .store.allBytes()
        }
        #expect(try merged(1) == merged(1))
        #expect(try merged(1) != merged(2))
        #expect(
            try merged(0) == merge(method, base: base, [expert], parameters(["density": .number(0.5)])).store.allBytes()
        )
        let error = try #require(throws: MergeError.self) { _ = try merged(0.5) }
        #expect(error.code == "merge.bad_parameter")
    }

    @Test(
        "choices about a tensor do not depend on the others, but on its name and the expert",
        arguments: RegistryTests.randomMethods)
    func independence(method: String) throws {
        var values: [String: ParameterValue] = [
            "density": .number(0.5), "rescale": .flag(false), "normalize": .flag(false),
        ]
        // Ranks of equal magnitudes follow their places, so that the masks would have a slope in common.
        if method.hasPrefix("della") { values["epsilon"] = .number(0) }
        let (base, expert) = try ones(["a", "b"])
        let both = try merge(method, base: base, [expert], parameters(values)).store
        let alone = try merge(
            method, base: base, [expert], parameters(values), selection: TensorSelection(only: ["b"])
        ).store
        #expect(try both.rawBytes("b") == alone.rawBytes("b"))
        let (a, b) = (try both.values("a"), try both.values("b"))
        // Independent masks of density 1/2 agree in half of the entries.
        func agreement(_ x: [Double], _ y: [Double]) -> Double {
            Double(zip(x, y).count { $0 == $1 }) / Double(x.count)
        }
        #expect(abs(agreement(a, b) - 0.5) < 0.01)
        // Two experts with the same task vector: both, one or none of two independent masks.
        let two = try merge(method, base: base, [expert, expert], parameters(values)).store.values("a")
        for (value, share) in [(0.0, 0.25), (1, 0.5), (2, 0.25)] {
            #expect(abs(Double(two.count { $0 == value }) / Double(two.count) - share) < 0.01)
        }
        let correlation = agreement(Array(a.dropLast()), Array(a.dropFirst()))
        #expect(abs(correlation - 0.5) < 0.01)
    }

    @Test("DELLA keeps large entries more often, in steps of the rank", arguments: ["della", "della_linear"])
    func ranks(method: String) throws {
        // 4000 rows of 51 entries whose magnitudes are a permutation of 1...51.
        let (rows, length) = (4000, 51)
        var values = [Double](repeating: 0, count: rows * length)
        for row in 0..<rows { for k in 0..<length { values[row * length + k] = Double((k * 7 + row) % length + 1) } }
        let base = try makeModel([TestTensor("a", values.map { _ in 0 }, shape: [rows, length])])
        let expert = try makeModel([TestTensor("a", values, shape: [rows, length])])
        let merged = try merge(
            method, base: base, [expert],
            parameters(["density": .number(0.4), "epsilon": .number(0.3), "rescale": .flag(false)])
        ).store.values("a")
        for magnitude in [1, 26, 51] {
            let kept = zip(merged, values).count { $0.0 != 0 && $0.1 == Double(magnitude) }
            let expected = 0.1 + 0.6 * Double(magnitude - 1) / 50
            #expect(abs(Double(kept) / Double(rows) - expected) < 0.04, "\(magnitude)")
        }
    }

    @Test("DELLA ranks along the second dimension, and a vector as one row")
    func rankedDimension() throws {
        // [1, 40, 3000]: along the second dimension magnitudes rise with k, along the third all are equal.
        let (length, columns) = (40, 3000)
        let values = (0..<length * columns).map { Double($0 / columns + 1) }
        func keptShares(_ shape: Shape) throws -> (low: Double, high: Double) {
            let base = try makeModel([TestTensor("a", values.map { _ in 0 }, shape: shape)])
            let expert = try makeModel([TestTensor("a", values, shape: shape)])
            let merged = try merge(
                "della_linear", base: base, [expert],
                parameters(["density": .number(0.5), "epsilon": .number(0.4), "rescale": .flag(false)])
            ).store.values("a")
            func share(_ range: Range<Int>) -> Double { Double(merged[range].count { $0 != 0 }) / Double(range.count) }
            return (share(0..<columns), share((length - 1) * columns..<length * columns))
        }
        for shape in [[1, length, columns], [length * columns]] as [Shape] {
            let (low, high) = try keptShares(shape)
            #expect(abs(low - 0.1) < 0.03 && abs(high - 0.9) < 0.03, "\(shape)")
        }
        // In rows of one entry the density counts.
        let single = try keptShares([length * columns, 1])
        #expect(abs(single.low - 0.5) < 0.04 && abs(single.high - 0.5) < 0.04)
    }

    @Test("DELLA refuses probabilities beyond 0 and 1")
    func epsilon() throws {
        let (base, expert) = try ones()
        let error = try #require(throws: MergeError.self) {
            _ = try merge("della", base: base, [expert], parameters(["density": .number(0.9)]))
        }
        #expect(error.code == "merge.bad_parameter" && error.message.contains("0.15"))
        let none = try merge("della", base: base, [expert], parameters(["density": .number(0)]))
        #expect(try none.store.allBytes() == base.allBytes())
    }

    @Test("DELLA's rows across chunks keep as many entries as those within")
    func longRows() throws {
        let shape: Shape = [3, 700_001]
        let count = 3 * 700_001
        var numbers = TestNumbers(seed: 4)
        let values = numbers.list(count).map { Double(Float($0 + 1)) }
        let base = try makeModel([TestTensor("a", values.map { _ in 0 }, shape: shape)])
        let expert = try makeModel([TestTensor("a", values, shape: shape)])
        let merged = try merge(
            "della_linear", base: base, [expert], parameters(["density": .number(0.5), "rescale": .flag(false)])
        ).store.values("a")
        for row in 0..<3 {
            let range = row * 700_001..<(row + 1) * 700_001
            #expect(abs(Double(merged[range].count { $0 != 0 }) / 700_001 - 0.5) < 0.005)
            // Values are uniform from 0.5 to 1.5, so the probability of one around v is 0.35 + 0.3 (v − 0.5).
            let high = range.filter { values[$0] > 1.4 }
            #expect(abs(Double(high.count { merged[$0] != 0 }) / Double(high.count) - 0.635) < 0.01)
        }
    }
}
