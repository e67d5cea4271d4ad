import Kernels
import Testing

@Suite("selection around a sample") struct SelectTests {
    /// Values of few and of many distinct magnitudes, with zeros, infinities and NaN.
    static let lists: [[Float]] = {
        var generator = CounterGenerator(seed: 7, stream: 0)
        let uniform = (0..<5000).map { Float(generator.uniform(UInt64($0)) - 0.5) }
        let coarse = uniform.map { ($0 * 8).rounded() / 8 }
        let special: [Float] = [.nan, -.infinity, 0, -0.0, .leastNonzeroMagnitude, -3, 3, .greatestFiniteMagnitude]
        generator = CounterGenerator(seed: 8, stream: 0)
        let wide = (0..<3001).map { Float(generator.normalPair(UInt64($0)).0) * Float(1 << ($0 % 30)) }
        return [uniform, coarse, special, wide + special, [0], Array(repeating: -2, count: 100)]
    }()

    /// The k-th largest by sorting, and how many keys are larger and equal.
    func expected(_ values: [Float], rank: Int) -> MagnitudeSelection.Found? {
        let keys = values.map { $0.bitPattern & 0x7FFF_FFFF }.sorted(by: >)
        let key = keys[rank - 1]
        var selection = MagnitudeSelection(rank: rank)
        // The value type has no public initialiser: it is compared by its parts.
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: MagnitudeSelection.binCount) { counts in
            for _ in 0..<2 {
                counts.initialize(repeating: 0)
                values.withUnsafeBufferPointer {
                    selection.counter.count($0.baseAddress!, count: $0.count, into: counts.baseAddress!)
                }
                selection.absorb(counts.baseAddress!)
                selection.finishPass()
            }
        }
        #expect(selection.result?.key == key)
        #expect(selection.result?.largerCount == keys.firstIndex(of: key))
        #expect(selection.result?.equalCount == keys.count { $0 == key })
        return selection.result
    }

    @Test("counting and bracketing find the k-th largest magnitude", arguments: lists.indices)
    func finds(list: Int) throws {
        let values = Self.lists[list]
        for rank in Set([1, 2, values.count / 7, values.count / 2, values.count - 1, values.count]) where rank > 0 {
            guard rank <= values.count else { continue }
            let expected = expected(values, rank: rank)
            let sample = values.indices.filter { $0 % 5 == 0 }.map { values[$0].magnitudeKey }
            for bracket in [.everything, MagnitudeBracket(sample: sample, rank: rank, of: values.count)] {
                // In two parts of uneven length.
                let tallies = [0..<values.count / 3, values.count / 3..<values.count].map { range in
                    var tally = MagnitudeBracket.Tally()
                    values.withUnsafeBufferPointer {
                        bracket.tally($0.baseAddress! + range.lowerBound, count: range.count, into: &tally)
                    }
                    return tally
                }
                let found = try #require(MagnitudeBracket.resolve(tallies, bracket, rank: rank))
                #expect(found == expected)
                #expect(tallies.reduce(0) { $0 + bracket.count(of: found.key, in: $1) } == found.equalCount)
            }
        }
    }

    @Test("a rank outside of the bracket is not found")
    func misled() {
        let values = (1...10_000).map { Float($0) }
        let sample = values.prefix(1000).map(\.magnitudeKey)
        let bracket = MagnitudeBracket(sample: sample, rank: 5000, of: 10_000)
        var tally = MagnitudeBracket.Tally()
        values.withUnsafeBufferPointer { bracket.tally($0.baseAddress!, count: $0.count, into: &tally) }
        #expect(MagnitudeBracket.resolve([tally], bracket, rank: 5000) == nil)
        #expect(MagnitudeBracket.resolve([tally], bracket, rank: 10_000) == nil)
    }

    @Test("equal magnitudes are counted")
    func equal() {
        let values: [Float] = [1, -2, 0, 3, -4, 5, 4]
        for (count, expected) in [(0, 0), (4, 0), (5, 1), (7, 2)] {
            #expect(countMagnitudes(values, equalTo: Float(4).bitPattern, count: count) == expected)
        }
        #expect(countMagnitudes(values, equalTo: 0, count: 7) == 1)
    }

    @Test("bits keep and clear elements, from any place on")
    func bits() {
        let bytes: [UInt8] = [0b1010_0110, 0b0000_1111, 0b1000_0001]
        for first in 0..<10 {
            for count in 0...14 {
                var values = (0..<15).map { Float($0 + 1) }
                var doubles = values.map(Double.init)
                keep(&values, whereSet: bytes, from: first, count: count)
                keep(&doubles, whereSet: bytes, from: first, count: count)
                let expected = (0..<15).map { i -> Float in
                    let bit = first + i
                    return i >= count || bytes[bit / 8] >> (bit % 8) & 1 == 1 ? Float(i + 1) : 0
                }
                #expect(values == expected && doubles == expected.map(Double.init))
            }
        }
    }
}
