import Checkpoints
import Kernels
import Merging
import TensorCore
import Testing

@Suite("largest entries") struct LargestEntriesTests {
    /// The `count` largest magnitudes, of equal ones the first, by sorting.
    func largest(_ values: [Double], _ count: Int) -> ArraySlice<Int> {
        values.indices.sorted { (-abs(values[$0]), $0) < (-abs(values[$1]), $1) }.prefix(count)
    }

    func merged(_ method: String, _ values: [Double], shape: Shape? = nil, _ parameters: [String: ParameterValue])
        throws
        -> [Double]
    {
        let base = try makeModel([TestTensor("a", values.map { _ in 0 }, shape: shape)])
        let expert = try makeModel([TestTensor("a", values, shape: shape)])
        return try merge(method, base: base, [expert], MergeParameters(parameters)).store.values("a")
    }

    @Test("the largest entries stay however they lie", arguments: 0..<36)
    func clusters(layout: Int) throws {
        // Two levels that alternate within the stretches that are sampled by one run each, so that the sample knows little
        // and in some of the layouts, of one chunk and of two, misleads.
        let count = layout < 24 ? 1 << 17 : (1 << 20) + 4096
        let stretch = layout < 24 ? 512 : 4096
        var numbers = TestNumbers(seed: UInt64(layout))
        let values = (0..<count).map { i in
            Double(
                Float(((i + layout * stretch / 29) % stretch < stretch / 2 ? 3 : 1) + numbers.next())
                    * (i % 3 == 0 ? -1 : 1))
        }
        let density = 0.44 + 0.005 * Double(layout % 24)
        var expected = [Double](repeating: 0, count: count)
        for i in largest(values, Int(density * Double(count))) { expected[i] = values[i] }
        #expect(try merged("ties", values, ["density": .number(density)]) == expected)
    }

    @Test(
        "outliers are dropped and equal magnitudes split in the order of memory", arguments: [500, 40_000, 1_100_000])
    func bands(count: Int) throws {
        // Few distinct magnitudes, so that both ends of the band lie among equal ones.
        let generator = CounterGenerator(seed: 2, stream: UInt64(count))
        let values = (0..<count).map { Double(generator.below(9, UInt64($0)) - 4) / 4 }
        let (kept, dropped) = (Int(0.37 * Double(count)), Int(0.13 * Double(count)))
        var expected = [Double](repeating: 0, count: count)
        for i in largest(values, kept + dropped).dropFirst(dropped) { expected[i] = values[i] }
        #expect(
            try merged("breadcrumbs", values, ["density": .number(0.37), "gamma": .number(0.13)]) == expected)
    }

    @Test("the largest variances are selected", arguments: [300, 30_000, 1_100_000])
    func variances(count: Int) throws {
        // Experts at ±x have the variance x²; a tenth of the entries does not vary.
        var numbers = TestNumbers(seed: 3)
        let values = (0..<count).map { $0 % 10 == 0 ? 0 : Double(Float(numbers.next())) }
        let models = try [0, 1, -1, -1].map { sign in try makeModel([TestTensor("a", values.map { sign * $0 })]) }
        let merged = try merge(
            "sce", base: models[0], Array(models.dropFirst()), MergeParameters(["select_topk": .number(0.3)])
        ).store.values("a")
        let kept = Set(largest(values, Int(0.3 * Double(values.count { $0 != 0 }))))
        // Two of three elect the sign of −x.
        for i in values.indices {
            let expected = kept.contains(i) ? -values[i] : 0
            #expect(abs(merged[i] - expected) < 1e-6, "\(i)")
        }
    }

    @Test("rows are ranked as sorting ranks them, whatever their numbers", arguments: 0..<6)
    func ranks(kind: Int) throws {
        let shape: Shape = kind == 5 ? [3, 400, 5] : [4, 700]
        let count = 4 * 700 + (kind == 5 ? 3200 : 0)
        let generator = CounterGenerator(seed: 6, stream: UInt64(kind))
        let values = (0..<count).map { i -> Double in
            let normal = Double(Float(generator.normalPair(UInt64(i)).0))
            return switch kind {
            case 0: normal
            case 1: (4 * normal).rounded()
            case 2: 0
            case 3: Double(Float(normal * normal * normal * normal * normal * normal * normal))
            case 4: i % 700 == 13 ? 0x1p100 : normal
            default: normal
            }
        }
        let (density, epsilon) = (0.5, 0.4)
        let result = try merged(
            "della_linear", values.map { $0 == 0 ? 0 : $0 }, shape: shape,
            ["density": .number(density), "epsilon": .number(epsilon), "rescale": .flag(false)])
        // The stream of an expert's random numbers: FNV-1a over the tensor's name and the expert's place.
        var stream: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in "a".utf8 { stream = (stream ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let random = CounterGenerator(seed: 0, stream: stream &* 0x100_0000_01B3)
        let (length, stride) = (shape.dims[1], shape.rank == 3 ? shape.dims[2] : 1)
        for slab in Swift.stride(from: 0, to: count, by: length * stride) {
            for first in slab..<slab + stride {
                let row = (0..<length).map { first + $0 * stride }
                let order = row.sorted { (abs(values[$0]), $0) < (abs(values[$1]), $1) }
                for (rank, index) in order.enumerated() {
                    let p = density - epsilon + 2 * epsilon * Double(rank) / Double(length - 1)
                    #expect(result[index] == (random.uniform(UInt64(index)) < p ? values[index] : 0))
                }
            }
        }
    }
}
