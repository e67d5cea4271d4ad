import Analysis
import Checkpoints
import Kernels
import TensorCore
import Testing

@Suite("task vectors of models with NaN, infinities and numbers at the end of their range") struct NonFiniteTests {
    func set(_ base: TensorStore, _ experts: TensorStore...) throws -> TaskVectorSet {
        try TaskVectorSet(base: base, experts: experts.enumerated().map { (name: "expert \($0 + 1)", store: $1) })
    }

    func numbers(_ group: TaskVectorGroup, _ experts: [Int]) -> [Double?] {
        experts.flatMap { [group.experts[$0].norm, group.experts[$0].relativeNorm, group.experts[$0].unchanged] }
    }

    func figures(_ pair: TaskVectorGroup.Pair) -> [Double?] { [pair.cosine, pair.signConflict, pair.topOverlap] }

    func areNaN(_ values: [Double?]) -> Bool { values.allSatisfy { $0?.isNaN == true } }

    /// Two matrices in layers of their own, and a vector.
    func model(_ seed: Float, _ change: (inout [Float]) -> Void = { _ in }) throws -> TensorStore {
        var first = (0..<6).map { seed + Float($0 * $0) * seed * 0.25 }
        change(&first)
        return try makeModel([
            ("blocks.0.w", [2, 3], first), ("blocks.1.w", [2, 2], [seed, 1, 2 * seed, 3]),
            ("norm", [2], [1, seed * seed]),
        ])
    }

    /// What the models would give if nothing were wrong with the third is what must come out about the first two.
    @Test(
        "figures of a spoilt expert are NaN where it is spoilt, all others stay",
        arguments: [Float.nan, .infinity, -.infinity])
    func spoiltExpert(poison: Float) throws {
        let (base, one, two) = (try model(1), try model(2), try model(-3))
        let fine = try TaskVectorStatistics(set(base, one, two, model(4)), level: .tensor, topShare: 0.25)
        let set = try set(base, one, two, model(4) { $0[4] = poison })
        let found = try TaskVectorStatistics(set, level: .tensor, topShare: 0.25)
        for group in [found.model, found.groups[0]] { #expect(areNaN(numbers(group, [2]))) }
        for (group, expected) in zip([found.model] + found.groups, [fine.model] + fine.groups) {
            #expect(numbers(group, [0, 1]) == numbers(expected, [0, 1]))
            // Pairs come as (0, 1), (0, 2), (1, 2).
            #expect(figures(group.pairs[0]) == figures(expected.pairs[0]))
        }
        for group in [found.model, found.groups[0]] {
            #expect(areNaN(figures(group.pairs[1]) + figures(group.pairs[2])))
        }
        // Elsewhere the expert is sound; only which of its entries are the largest depends on the whole model.
        for (group, expected) in zip(found.groups.dropFirst(), fine.groups.dropFirst()) {
            #expect(numbers(group, [2]) == numbers(expected, [2]))
            for pair in [1, 2] {
                #expect(group.pairs[pair].cosine == expected.pairs[pair].cosine)
                #expect(group.pairs[pair].signConflict == expected.pairs[pair].signConflict)
                #expect(areNaN([group.pairs[pair].topOverlap]))
            }
        }
        #expect(found.notFinite.map(\.model) == ["expert 3"])
        #expect(found.notFinite.map(\.tensor) == ["blocks.0.w"])
        #expect(found.notFinite[0].count == NonFiniteCount(nan: poison.isNaN ? 1 : 0, infinite: poison.isNaN ? 0 : 1))
        // The norms are 15 and the root of 45.
        #expect(found.largest[2].map(\.tensor) == ["norm", "blocks.1.w", "blocks.0.w"])
        #expect(found.largest[2].last?.norm.isNaN == true)
        #expect(found.largest[0] == fine.largest[0])

        let (spectra, expected) = (try set.spectra(), try self.set(base, one, two, model(4)).spectra())
        #expect(spectra[1] == expected[1])
        #expect(spectra[0].experts[..<2] == expected[0].experts[..<2])
        let spectrum = spectra[0].experts[2]
        #expect(spectrum.numericalRank == nil && spectrum.singularValues.allSatisfy(\.isNaN))
        #expect(spectrum.singularValues.count == 2)
        #expect(areNaN([spectrum.stableRank, spectrum.effectiveRank, spectrum.topEnergy, spectra[0].interference]))
        #expect(spectra[0].alignments[0] == expected[0].alignments[0])
        #expect(areNaN(spectra[0].alignments[1...].map(\.value)))
    }

    @Test("a spoilt base spoils all experts in its tensor, also where they share an infinity with it")
    func spoiltBase() throws {
        let base = try model(1) {
            $0[0] = .infinity
            $0[3] = .nan
        }
        let set = try set(base, model(2) { $0[0] = .infinity }, model(-3))
        let found = try TaskVectorStatistics(set, level: .layer)
        #expect(found.groups.map(\.name) == ["blocks.0", "blocks.1", "norm"])
        for group in [found.model, found.groups[0]] {
            #expect(areNaN(numbers(group, [0, 1]) + figures(group.pairs[0])))
        }
        // (2 - 1)² + (4 - 2)² and (-3 - 1)² + (-6 - 2)².
        #expect(found.groups[1].experts.map(\.norm) == [Double(5.0).squareRoot(), Double(80.0).squareRoot()])
        #expect(
            found.notFinite.map { "\($0.model) \($0.tensor) \($0.count.text)" } == [
                "base blocks.0.w 1 NaN and 1 infinity", "expert 1 blocks.0.w 1 infinity",
            ])
        #expect(
            found.notFinite.warnings[0].text == "tensor \"blocks.0.w\" of base ((memory)) holds 1 NaN and 1 infinity")
        #expect(areNaN(try set.spectra()[0].experts.map(\.topEnergy)))
    }

    @Test("threads change nothing")
    func threads() throws {
        let count = (1 << 20) + 5000
        var values = (0..<count).map { Float($0 % 17) - 8 }
        let base = try makeModel([("w", [count], Array(repeating: 0, count: count))])
        values[7] = .nan
        values[count - 1] = .infinity
        let set = try set(base, makeModel([("w", [count], values)]))
        for threads in [1, 2, 5] {
            let found = try TaskVectorStatistics(set, budget: ComputeBudget(threads: threads))
            #expect(found.notFinite.map(\.count) == [NonFiniteCount(nan: 1, infinite: 1)])
            #expect(found.model.experts[0].norm.isNaN)
        }
    }

    /// A model of F64.
    func wide(_ values: [Double]) throws -> TensorStore {
        let descriptor = try TensorDescriptor(name: "w", dtype: .f64, shape: [values.count, 1])
        let data = try AlignedBuffer(byteCount: descriptor.byteCount)
        values.withUnsafeBytes { data.mutableBytes.copyMemory(from: $0) }
        return TensorStore(MemoryCheckpoint(tensors: [(descriptor: descriptor, data: data)]))
    }

    @Test("differences that F32 cannot hold are taken in F64")
    func beyondF32() throws {
        let base = try makeModel([("w", [2, 2], [-3e38, -3e38, 0, 1])])
        let one = try makeModel([("w", [2, 2], [3e38, -3e38, 0, 3])])
        let two = try makeModel([("w", [2, 2], [3e38, 3e38, 0, 1])])
        let set = try set(base, one, two)
        let found = try TaskVectorStatistics(set, topShare: 0.5)
        // τ_1 = [6e38, 0, 0, 2], τ_2 = [6e38, 6e38, 0, 0], the base [-3e38, -3e38, 0, 1].
        func isClose(_ a: Double?, _ b: Double) -> Bool { a.map { abs($0 - b) < 1e-6 * abs(b) } ?? false }
        #expect(isClose(found.model.experts[0].norm, 6e38))
        #expect(isClose(found.model.experts[1].norm, 6e38 * Double(2.0).squareRoot()))
        #expect(isClose(found.model.experts[1].relativeNorm, 2))
        #expect(isClose(found.model.pairs[0].cosine, Double(0.5).squareRoot()))
        #expect(found.model.experts.map(\.unchanged) == [0.5, 0.5])
        // Two of four are the largest: of expert 2 both are infinite in F32, so that the second might be any.
        #expect(areNaN([found.model.pairs[0].topOverlap]))
        #expect(found.notFinite.isEmpty)
        #expect(found.beyondF32.map(\.count) == [1, 2])
        let spectra = try set.spectra()
        #expect(spectra[0].experts.map(\.numericalRank) == [nil, nil])
    }

    @Test("norms of numbers whose squares F64 cannot hold are right, and what cannot be had is NaN")
    func hugeSquares() throws {
        // τ_1 = [3e300, 4e300], τ_2 = [0, 2]; the base is [1e300, 0].
        let set = try set(wide([1e300, 0]), wide([4e300, 4e300]), wide([1e300, 2]))
        let found = try TaskVectorStatistics(set).model
        #expect(abs(found.experts[0].norm / 5e300 - 1) < 1e-15)
        #expect(try #require(found.experts[0].relativeNorm).rounded(.toNearestOrEven) == 5)
        #expect(found.experts[1].norm == 2)
        #expect(abs(try #require(found.experts[1].relativeNorm) / 2e-300 - 1) < 1e-15)
        // 8e300 / (5e300 · 2).
        #expect(abs(try #require(found.pairs[0].cosine) - 0.8) < 1e-15)
        let same = try TaskVectorStatistics(self.set(wide([0, 0]), wide([4e300, 4e300]), wide([1e300, 2]))).model
        #expect(areNaN([same.pairs[0].cosine]))
        #expect(same.experts[0].relativeNorm == nil)
    }
}
