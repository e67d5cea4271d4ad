import Analysis
import Kernels
import TensorCore
import Testing

@Suite("tensor statistics beside NumPy's") struct StatisticsParityTests {
    func statistics<T>(_ values: [T], _ dtype: DType, threads: Int = 1) -> TensorStatistics? {
        values.withUnsafeBytes { TensorStatistics($0, dtype, budget: ComputeBudget(threads: threads)) }
    }

    @Test("NumPy's numbers over tensors of several sizes, types and offsets")
    func golden() throws {
        let base = try fixture("inputs/generic_float32/base")
        for words in try goldenLines("statistics.txt") where words[0] != "random" {
            let descriptor = try #require(base.descriptor(named: TensorName(words[0])))
            let bytes = try #require(try base.bytes(of: descriptor.name))
            let found = try #require(bytes.withUnsafeBytes { TensorStatistics($0, descriptor.dtype) })
            expectEqual(
                [
                    found.minimum, found.maximum, found.mean, found.standardDeviation, found.norm,
                    Double(found.zeroCount),
                ], Array(words[1...]), tolerance: 1e-13, words[0])
            #expect(found.nanCount == 0 && found.infinityCount == 0)
        }
    }

    @Test("many numbers far from zero keep their deviation, and threads change no bit")
    func longTensor() throws {
        var state: UInt64 = 9
        let values = (0..<1_500_000).map { _ -> Float in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(Double(state >> 40) / 16_777_216 + 100)
        }
        let words = try #require(try goldenLines("statistics.txt").first { $0[0] == "random" })
        let found = try #require(statistics(values, .f32))
        expectEqual(
            [found.minimum, found.maximum, found.mean, found.standardDeviation, found.norm, Double(found.zeroCount)],
            Array(words[1...]), tolerance: 1e-12, "random")
        #expect(statistics(values, .f32, threads: 2) == found)
        #expect(statistics(values, .f32, threads: 5) == found)
    }
}
