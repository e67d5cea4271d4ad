import Analysis
import Checkpoints
import Kernels
import TensorCore
import Testing

@Suite("task vectors") struct TaskVectorTests {
    func set(_ base: TensorStore, _ experts: TensorStore...) throws -> TaskVectorSet {
        try TaskVectorSet(base: base, experts: experts.enumerated().map { (name: "expert \($0 + 1)", store: $1) })
    }

    func parity() throws -> TaskVectorSet {
        try TaskVectorSet(
            base: fixture("inputs/generic_float32/base"),
            experts: (1...3).map { (name: "ft\($0)", store: try fixture("inputs/generic_float32/ft\($0)")) })
    }

    func numbers(_ group: TaskVectorGroup) -> [Double?] {
        group.experts.map(\.norm) + group.experts.map(\.relativeNorm) + group.experts.map(\.unchanged)
            + group.pairs.map(\.cosine) + group.pairs.map(\.signConflict) + group.pairs.map(\.topOverlap)
    }

    @Test("NumPy's statistics over the model, by tensor and by layer")
    func golden() throws {
        let set = try parity()
        let lines = try goldenLines("task_vectors.txt").filter { $0[0] == "entries" }
        let byTensor = try TaskVectorStatistics(set, level: .tensor)
        let byLayer = try TaskVectorStatistics(set, level: .layer)
        var groups = Dictionary((byTensor.groups + byLayer.groups).map { ($0.name, $0) }) { $1 }
        groups["model"] = byTensor.model
        for words in lines {
            let group = try #require(groups[words[1]])
            expectEqual(numbers(group), Array(words[2...]), tolerance: 1e-6, words[1])
        }
        #expect(lines.count == byTensor.groups.count + 2)
        #expect(byLayer.model == byTensor.model)
        let layer = try #require(byLayer.groups.first { $0.name == "visual.transformer.resblocks.1" })
        #expect(layer.tensorCount == 10)
        #expect(try TaskVectorStatistics(set, level: .model).groups.isEmpty)
        // The largest tensors are those whose norms are largest.
        let norms = zip(set.tensors, byTensor.groups).map { ($1.experts[0].norm, $0.name) }.sorted { $0.0 > $1.0 }
        #expect(byTensor.largest[0].map(\.tensor) == norms.prefix(5).map(\.1))
    }

    /// Files have names in the order of texts, with the tenth layer before the second.
    @Test("layers come in the order of their numbers")
    func layersInOrder() throws {
        let places = (0..<12).map(String.init).sorted()
        let names = places.map { TensorName("blocks.\($0).w") } + ["head.bias", "head.weight"]
        let base = try makeModel(names.map { ($0, [1], [0]) })
        let found = try TaskVectorStatistics(try set(base, base), level: .layer)
        #expect(found.layers.map(\.name) == (0..<12).map { "blocks.\($0)" } + ["head"])
        #expect(found.groups == found.layers)
        func ordered(_ names: [String]) -> [String] { names.inOrderOfNumbers { TensorName($0) } }
        #expect(
            ordered(["x.10", "b", "x.9", "y.3", "x.007", "y.1", "7", "x.b"])
                == ["x.007", "b", "x.9", "y.1", "x.10", "y.3", "7", "x.b"])
        // More digits than an integer has.
        #expect(ordered(["1" + String(repeating: "0", count: 30), "9"])[0] == "9")
    }

    @Test("threads change no bit")
    func determinism() throws {
        let set = try parity()
        let one = try TaskVectorStatistics(set, budget: ComputeBudget(threads: 1))
        for threads in [2, 5] {
            #expect(try TaskVectorStatistics(set, budget: ComputeBudget(threads: threads)) == one)
        }
        let spectra = try set.spectra(budget: ComputeBudget(threads: 1))
        #expect(try set.spectra(budget: ComputeBudget(threads: 5), memory: 1) == spectra)
    }

    @Test("NumPy's spectra, interference and alignment in F64")
    func spectra() throws {
        let set = try parity()
        let found = try set.spectra()
        let lines = try goldenLines("task_vectors.txt").filter { $0[0] == "spectra" }
        #expect(found.count == lines.count + 1 && found.count == set.matrices.count)
        for words in lines {
            let matrix = try #require(found.first { $0.matrix.name == words[1] })
            let numbers =
                matrix.experts.map(\.stableRank) + matrix.experts.map(\.effectiveRank) + matrix.experts.map(\.topEnergy)
                + [matrix.interference] + matrix.alignments.map(\.value)
            expectEqual(numbers, Array(words[2...]), tolerance: 2e-5, words[1])
        }
        // Directions of rounding noise are left out: the changes of this one have rank 2.
        let lowRank = try #require(found.first { $0.matrix.name == "lowrank.weight" })
        #expect(lowRank.experts.map(\.numericalRank) == [2, 2, 2])
    }

    @Test("spectra worked out by hand")
    func spectraByHand() throws {
        // τ_1 = diag(3, 1), τ_2 has the same vectors, the strongest exchanged: diag(1, 2).
        let base = try makeModel([("w", [2, 2], [0, 0, 0, 0])])
        let spectra = try set(
            base, makeModel([("w", [2, 2], [3, 0, 0, 1])]), makeModel([("w", [2, 2], [1, 0, 0, 2])]),
            makeModel([("w", [2, 2], [3, 0, 0, 1])])
        ).spectra(energyRank: 1)
        let matrix = try #require(spectra.first)
        #expect(matrix.experts[0].singularValues == [3, 1])
        #expect(abs(try #require(matrix.experts[0].stableRank) - 10.0 / 9) < 1e-6)
        #expect(abs(try #require(matrix.experts[0].topEnergy) - 0.9) < 1e-6)
        // exp(-(0.9 ln 0.9 + 0.1 ln 0.1))
        #expect(abs(try #require(matrix.experts[0].effectiveRank) - 1.384145) < 1e-5)
        // k = 1: strongest left vectors e1, e2, e1.
        #expect(
            matrix.alignments.map { $0.value.map { abs($0.rounded() - $0) < 1e-6 ? $0.rounded() : $0 } } == [0, 1, 0])
        // UᵀU − I has ones where vectors 1 and 3 meet; (UᵀU − I) S (VᵀV − I) = diag(3, 0, 3).
        #expect(abs(try #require(matrix.interference) - 6) < 1e-5)
    }

    @Test("what a sum has of each expert, worked out by hand, also of a stack of experts' weights")
    func sums() throws {
        let zeros = [Float](repeating: 0, count: 8)
        let base = try makeModel([("moe.experts.w", [2, 2, 2], zeros), ("conv.w", [2, 2, 2], zeros)])
        // The first matrix of the stack; nobody moves the second one.
        let one = try makeModel([
            ("moe.experts.w", [2, 2, 2], [3, 0, 0, 1, 0, 0, 0, 0]), ("conv.w", [2, 2, 2], zeros),
        ])
        let two = try makeModel([
            ("moe.experts.w", [2, 2, 2], [1, 0, 0, 2, 0, 0, 0, 0]), ("conv.w", [2, 2, 2], zeros),
        ])
        let found = try set(base, one, two).spectra()
        #expect(found.map(\.matrix.name) == ["moe.experts.w[0]", "moe.experts.w[1]"])
        let sum = try #require(found[0].sum)
        // M = diag(4, 3). Direction 1: 4 · 3 / 9 and 4 · 1 / 1, direction 2: 3 · 1 / 1 and 3 · 2 / 4.
        func isClose(_ a: Double?, _ b: Double) -> Bool { a.map { abs($0 - b) < 1e-6 } ?? false }
        #expect(isClose(sum.directions[0], 8.0 / 3) && isClose(sum.directions[1], 2.25))
        #expect(
            isClose(sum.experts[0], (16 * 4.0 / 3 + 9 * 3) / 25) && isClose(sum.experts[1], (16 * 4 + 9 * 1.5) / 25))
        #expect(
            isClose(sum.mean, (16 * 8.0 / 3 + 9 * 2.25) / 25)
                // 16 are 6 more than 3² + 1², and 9 are 4 more than 1² + 2².
                && isClose(sum.countedTwice, (6 + 4) / 25))
        // 4 / 5 is less than 0.95.
        #expect(sum.alignmentRank == 2 && isClose(sum.alignmentRatios[0], 1))
        // exp(-(0.75 ln 0.75 + 0.25 ln 0.25)); 9 of 10 are more than 0.8, and no more than 0.9.
        #expect(isClose(found[0].experts[0].linearEffectiveRank, 1.754765))
        #expect(found[0].experts[0].energyRanks == [1, 1, 1, 2, 2])
        #expect(found[1].sum == nil && found[1].interference == 0)
        #expect(try set(base, one).spectra()[0].sum == nil)
    }

    /// Where the first 16 of 288 entries, which a sample of 2^19 takes, are unlike the others, and more entries are in question than
    /// are kept.
    @Test("the largest entries are exact where a sample misleads")
    func misleadingSample() throws {
        let count = 9 << 20
        func values(_ factor: Int) -> [Float] {
            (0..<count).map { $0 % 288 < 16 ? 0.25 : Float(($0 &* factor) % 9_999_991 + 1) }
        }
        let (x, y) = (values(7919), values(104_729))
        let base = try makeModel([("w", [count], [Float](repeating: 0, count: count))])
        let models = try set(base, makeModel([("w", [count], x)]), makeModel([("w", [count], y)]))
        let rank = count / 100
        let (first, second) = (x.sorted(by: >)[rank - 1], y.sorted(by: >)[rank - 1])
        let (inFirst, inSecond) = (x.count { $0 >= first }, y.count { $0 >= second })
        let common = zip(x, y).count { $0 >= first && $1 >= second }
        for threads in [1, 5] {
            let found = try TaskVectorStatistics(models, level: .model, budget: ComputeBudget(threads: threads))
            #expect(found.model.pairs[0].topOverlap == Double(common) / Double(min(inFirst, inSecond)))
        }
    }

    @Test("conflicts, overlap and shares worked out by hand")
    func byHand() throws {
        let base = try makeModel([("a", [6], [1, 1, 1, 1, 1, 1]), ("b", [2], [0, 0])])
        let one = try makeModel([("a", [6], [2, 0, 1, 5, 1, 1.5]), ("b", [2], [0, 0])])
        let two = try makeModel([("a", [6], [0, 0, 2, 4, 1, 1]), ("b", [2], [0, -3])])
        // τ_1 = [1, -1, 0, 4, 0, 0.5 | 0, 0], τ_2 = [-1, -1, 1, 3, 0, 0 | 0, -3]
        let found = try TaskVectorStatistics(set(base, one, two), topShare: 0.25)
        #expect(found.model.experts.map(\.unchanged) == [0.5, 3.0 / 8])
        let pair = try #require(found.model.pairs.first)
        #expect(abs(try #require(pair.cosine) - 12 / (18.25 * 21).squareRoot()) < 1e-12)
        // Both moved three entries, one of them apart.
        #expect(pair.signConflict == 1.0 / 3)
        // One of eight went both ways; |sums| are 0, 2, 1, 7, 0, 0.5, 0, 3, magnitudes 6.5 and 9.
        #expect(found.model.signConflict == 1.0 / 8)
        #expect(abs(try #require(found.model.signConflictWeighted) - (1 - 13.5 / 15.5)) < 1e-12)
        // Two of eight are the largest: magnitudes from 1 on, three entries, for expert 1; from 3 on, two, for expert 2.
        #expect(pair.topOverlap == 0.5)
        #expect(found.groups[1].experts[0].relativeNorm == nil)
        #expect(found.groups[1].pairs[0].cosine == nil && found.groups[1].pairs[0].topOverlap == nil)
        #expect(found.largest[1].map(\.tensor) == ["a", "b"])
        #expect(found.largest[1].map(\.norm) == [Double(12).squareRoot(), 3])
    }

    @Test("experts that are the base, or one another")
    func trivial() throws {
        let base = try makeModel([("w", [2, 2], [1, 2, 3, 4])])
        let other = try makeModel([("w", [2, 2], [2, 2, 1, 4])])
        let still = try TaskVectorStatistics(set(base, base, other))
        let unmoved = still.model.experts[0]
        #expect((unmoved.norm, unmoved.relativeNorm, unmoved.unchanged) == (0, 0, 1))
        #expect(still.model.pairs[0].cosine == nil && still.model.pairs[0].signConflict == nil)
        let same = try TaskVectorStatistics(set(base, other, other), topShare: 0.5)
        let pair = same.model.pairs[0]
        #expect((pair.a, pair.b, pair.cosine, pair.signConflict, pair.topOverlap) == (0, 1, 1, 0, 1))
        let spectrum = try #require(try set(base, base, other).spectra().first)
        #expect(spectrum.experts[0].stableRank == nil && spectrum.alignments[0].value == nil)
    }

    @Test("layers end with the first number of a name")
    func layers() {
        let cases: [(TensorName, String)] = [
            ("blocks.3.attn.qkv.weight", "blocks.3"), ("a.b.0.c.1.weight", "a.b.0"), ("head.weight", "head"),
            ("pos_embed", "pos_embed"), ("layer4.0.conv", "layer4.0"), ("0.weight", "0"), ("a..3.x", "a..3"), ("", ""),
        ]
        for (name, layer) in cases { #expect(name.layer == layer) }
    }

    @Test("what does not fit together is named at once")
    func incompatible() throws {
        let base = try makeModel([("a", [2], [0, 0]), ("b", [1], [0])])
        let other = try makeModel([("a", [1], [0]), ("c", [1], [0])])
        let error = try #require(throws: AnalysisError.self) { try set(base, other) }
        #expect(error.code == "analysis.incompatible")
        for part in ["\"a\" has shape [2] in the base, [1]", "\"b\" is in the base, not in", "\"c\" is in expert 1"] {
            #expect(error.message.contains(part))
        }
        let bad = try #require(throws: AnalysisError.self) { try TaskVectorStatistics(set(base, base), topShare: 0) }
        #expect(bad.code == "analysis.bad_option")
    }

    @Test("a written task vector is the difference in F32, and base plus it is the expert")
    func writing() throws {
        let set = try parity()
        let base = try fixture("inputs/generic_float32/base")
        let expert = try fixture("inputs/generic_float32/ft2")
        let writer = try MemoryCheckpointWriter(declaring: set.outputs())
        try set.write(expert: 1, into: writer)
        _ = try writer.finish()
        let written = TensorStore(try #require(writer.checkpoint))
        #expect(written.descriptors.count == base.descriptors.count - 1)
        func floats(_ store: TensorStore, _ name: TensorName) throws -> [Float] {
            try #require(try store.bytes(of: name)).withUnsafeBytes { bytes in
                (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            }
        }
        for descriptor in written.descriptors {
            let (a, b) = (try floats(expert, descriptor.name), try floats(base, descriptor.name))
            #expect(try floats(written, descriptor.name) == zip(a, b).map { $0 - $1 })
        }
    }
}
