import Analysis
import TensorCore
import Testing

@Suite struct TensorStatisticsTests {
    private func statistics<Element: BitwiseCopyable>(_ elements: [Element], _ dtype: DType) -> TensorStatistics? {
        elements.withUnsafeBytes { TensorStatistics($0, dtype) }
    }

    /// 3, 0, -0, -4 have mean -1/4, squares 25, and deviations (3.25, 0.25, 0.25, -3.75) whose squares sum to 24.75.
    @Test func countsWhatIsNotFiniteAndLeavesItOut() throws {
        let found = try #require(statistics([3, .nan, 0, -0.0, .infinity, -4, -.infinity, .nan] as [Float], .f32))
        #expect(found.minimum == -4 && found.maximum == 3)
        #expect(found.mean == -0.25)
        #expect(found.standardDeviation == (24.75 / 4).squareRoot())
        #expect(found.norm == 5)
        #expect(found.zeroCount == 2 && found.nanCount == 2 && found.infinityCount == 2)
    }

    @Test func hasNoExtremesWithoutFiniteElements() throws {
        for elements in [[], [.nan, .infinity]] as [[Double]] {
            let found = try #require(statistics(elements, .f64))
            #expect(found.minimum.isNaN && found.maximum.isNaN && found.mean.isNaN && found.standardDeviation.isNaN)
            #expect(found.norm == 0)
        }
    }

    /// 1.5e308, three times, and 0.5e308 have mean 1.25e308, and deviations 0.25 and -0.75 whose squares sum to 0.75.
    @Test func takesMeansOfNumbersWhoseSumOverflows() throws {
        let found = try #require(statistics([1.5e308, 1.5e308, .nan, 1.5e308, 0.5e308] as [Double], .f64))
        #expect(abs(found.mean / 1.25e308 - 1) < 1e-15)
        #expect(abs(found.standardDeviation / ((0.75 / 4).squareRoot() * 1e308) - 1) < 1e-15)
        // The norm, 2.65e308, is beyond F64.
        #expect(found.norm == .infinity && found.nanCount == 1)
        let opposed = try #require(statistics([1.7e308, 1.7e308, -1.7e308, -1.7e308, 4] as [Double], .f64))
        #expect(opposed.mean.isFinite && opposed.minimum == -1.7e308)
    }

    @Test func keepsDigitsThatASinglePassLoses() throws {
        // Around 1e9 the squares have no room for a spread of 1.
        let found = try #require(statistics([1e9, 1e9 + 2] as [Double], .f64))
        #expect(found.standardDeviation == 1)
    }

    @Test(arguments: [3e200, 3e-200, 0x1p-1050])
    func neitherOverflowsNorVanishes(magnitude: Double) throws {
        let found = try #require(statistics([magnitude, -magnitude], .f64))
        // The smallest magnitude has few digits left, so its results are exact to one step only.
        let slack = max(1e-12 * magnitude, .leastNonzeroMagnitude)
        #expect(abs(found.norm - magnitude * 2.0.squareRoot()) <= slack)
        #expect(abs(found.standardDeviation - magnitude) <= slack)
    }

    @Test func readsEveryRealType() throws {
        #expect(statistics([-128, 127] as [Int8], .i8)?.mean == -0.5)
        #expect(statistics([0, 65535] as [UInt16], .u16)?.maximum == 65535)
        #expect(statistics([Int64.min, 0], .i64)?.minimum == -0x1p63)
        #expect(statistics([UInt64.max], .u64)?.maximum == 0x1p64)
        #expect(statistics([1, 0, 1] as [UInt8], .bool)?.zeroCount == 1)
        #expect(statistics([0x3F80, 0x7F80] as [UInt16], .bf16)?.maximum == 1)
        #expect(statistics([0x3C00, 0xFC00] as [UInt16], .f16)?.infinityCount == 1)
        #expect(statistics([0x38, 0x7F] as [UInt8], .f8E4M3)?.nanCount == 1)
        #expect(statistics([0] as [UInt64], .c64) == nil)
        #expect(statistics([0] as [UInt8], .f4) == nil)
    }
}

@Suite struct HistogramTests {
    private func histogram(_ elements: [Double], bins: Int) -> Histogram? {
        elements.withUnsafeBytes { Histogram($0, .f64, binCount: bins) }
    }

    /// As `numpy.histogram([0, 1, 2, 3, 4, 4], 4)`: the last bin holds its upper border.
    @Test func countsAsNumPyDoes() throws {
        let found = try #require(histogram([0, 1, 2, 3, 4, 4, .nan, .infinity], bins: 4))
        #expect(found.edges == [0, 1, 2, 3, 4])
        #expect(found.counts == [1, 1, 1, 3])
    }

    @Test func putsASingleValueIntoARangeAroundIt() throws {
        let found = try #require(histogram([7, 7], bins: 2))
        #expect(found.edges == [6.5, 7, 7.5])
        #expect(found.counts == [0, 2])
    }

    @Test func survivesTheWidestRange() throws {
        let limit = Double.greatestFiniteMagnitude
        let found = try #require(histogram([-limit, 0, limit], bins: 2))
        #expect(found.edges == [-limit, 0, limit])
        #expect(found.counts == [1, 2])
    }

    @Test func hasNothingToShowWithoutFiniteElements() {
        #expect(histogram([.nan], bins: 2) == nil)
        #expect(histogram([], bins: 2) == nil)
    }
}
