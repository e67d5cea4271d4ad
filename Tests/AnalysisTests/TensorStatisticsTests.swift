import Analysis
import Kernels
import TensorCore
import Testing

@Suite("tensor statistics") struct TensorStatisticsTests {
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

    @Test("NaN and infinities are counted and left out of the rest")
    func special() throws {
        let found = try #require(statistics([Float.nan, 1, -.infinity, 3, 0, -0.0, .infinity, -.nan], .f32))
        #expect((found.nanCount, found.infinityCount, found.zeroCount) == (2, 2, 2))
        #expect((found.minimum, found.maximum, found.mean) == (0, 3, 1))
        // Deviations 0, 2, 1, 1 from the mean 1: variance 6 / 4; norm √10.
        #expect(abs(found.standardDeviation - 1.5.squareRoot()) < 1e-15)
        #expect(abs(found.norm - 10.0.squareRoot()) < 1e-15)
        let none = try #require(statistics([Float.nan], .f32))
        #expect(none.mean.isNaN && none.minimum.isNaN && none.standardDeviation.isNaN && none.norm == 0)
        let empty = try #require(statistics([Float](), .f32))
        #expect(empty.mean.isNaN && empty.zeroCount == 0)
    }

    @Test("numbers whose squares overflow or vanish have a norm")
    func extremeMagnitudes() throws {
        let large = try #require(statistics([3e200, -4e200], .f64))
        #expect(abs(large.norm / 5e200 - 1) < 1e-14)
        let small = try #require(statistics([3e-200, 4e-200], .f64))
        #expect(abs(small.norm / 5e-200 - 1) < 1e-14)
        let tiny = try #require(statistics([Double.leastNonzeroMagnitude], .f64))
        #expect(tiny.norm == Double.leastNonzeroMagnitude)
    }

    @Test("integers and booleans count, complex and packed types do not")
    func types() throws {
        let integers = try #require(statistics([Int8(-128), 127, 0, 1], .i8))
        #expect((integers.minimum, integers.maximum, integers.mean, integers.zeroCount) == (-128, 127, 0, 1))
        let booleans = try #require(statistics([true, false, true, true], .bool))
        #expect((booleans.mean, booleans.zeroCount) == (0.75, 1))
        let unsigned = try #require(statistics([UInt64.max], .u64))
        #expect(unsigned.maximum == 18_446_744_073_709_551_616)
        let eight = try #require(statistics([UInt8(0x7E), 0x7F, 0x00], .f8E4M3))
        #expect((eight.maximum, eight.nanCount, eight.zeroCount) == (448, 1, 1))
        #expect(statistics([Float(1), 2], .c64) == nil)
        #expect(statistics([UInt8(1)], .f4) == nil)
    }

    @Test("a histogram counts every finite element once, borders as NumPy puts them")
    func histogram() throws {
        let values: [Float] = [0, 0.5, 1, 1.5, 2, 2, 3, 4, .nan, .infinity]
        let found = try #require(values.withUnsafeBytes { Histogram($0, .f32, binCount: 4) })
        // numpy.histogram([0, .5, 1, 1.5, 2, 2, 3, 4], 4) = [2, 2, 2, 2]
        #expect(found.edges == [0, 1, 2, 3, 4])
        #expect(found.counts == [2, 2, 2, 2])
        let single = try #require([Float(7)].withUnsafeBytes { Histogram($0, .f32, binCount: 2) })
        #expect(single.edges == [6.5, 7, 7.5] && single.counts == [0, 1])
        #expect([Float.nan].withUnsafeBytes { Histogram($0, .f32) } == nil)
    }
}
