import Kernels
import Testing

@Suite("selection by magnitude") struct SelectionTests {
    /// Two passes over pieces of the values.
    func select(_ values: [Float], rank: Int, pieces: Int = 1) -> MagnitudeSelection.Found? {
        var selection = MagnitudeSelection(rank: rank)
        for _ in 0..<2 {
            let length = max(1, (values.count + pieces - 1) / pieces)
            for start in stride(from: 0, to: values.count, by: length) {
                var counts = [UInt32](repeating: 0, count: MagnitudeSelection.binCount)
                let piece = Array(values[start..<min(start + length, values.count)])
                selection.counter.count(piece, count: piece.count, into: &counts)
                selection.absorb(counts)
            }
            selection.finishPass()
        }
        return selection.result
    }

    @Test("finds what sorting finds, whatever the magnitudes")
    func againstSorting() {
        var state: UInt32 = 7
        func next() -> Float {
            state = state &* 1_664_525 &+ 1_013_904_223
            let value = Float(bitPattern: state)
            return value.isFinite ? value : 1
        }
        let wild = (0..<3000).map { _ in next() }
        let coarse = (0..<3000).map { i in Float((i * 7919) % 13 - 6) / 8 }
        let close = (0..<3000).map { i in 1 + Float(i % 100) * 0x1p-23 }
        for values in [wild, coarse, close] {
            let sorted = values.map(\.magnitude).sorted(by: >)
            for rank in [1, 2, 17, 1500, 2999, 3000] {
                let found = select(values, rank: rank, pieces: rank % 5 + 1)
                let expected = sorted[rank - 1]
                #expect(found?.magnitude == expected)
                #expect(found?.largerCount == sorted.count { $0 > expected })
                #expect(found?.equalCount == sorted.count { $0 == expected })
            }
        }
    }

    @Test("zeros are the smallest, infinity and NaN the largest")
    func special() {
        let values: [Float] = [0, -0.0, 1, -.infinity, .nan]
        #expect(select(values, rank: 1)?.magnitude.isNaN == true)
        #expect(select(values, rank: 2)?.magnitude == .infinity)
        #expect(select(values, rank: 3)?.magnitude == 1)
        #expect(select(values, rank: 4) == .some(select(values, rank: 5)!))
        #expect(select(values, rank: 5)?.magnitude == 0)
    }
}
