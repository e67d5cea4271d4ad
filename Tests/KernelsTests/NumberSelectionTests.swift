import Kernels
import Testing

@Suite("numbers at given places") struct NumberSelectionTests {
    private func selected(_ places: [Int], of pieces: [[Float]]) -> [Float] {
        var selection = NumberSelection(places: places)
        for _ in 0..<2 {
            let counter = selection.counter
            for piece in pieces {
                var counts = [UInt32](repeating: 0, count: counter.count)
                counter.count(piece, count: piece.count, into: &counts)
                selection.absorb(counts)
            }
            selection.finishPass()
        }
        return selection.values
    }

    @Test("are those of a sorted list, of either sign, in pieces of any length", arguments: [1, 7, 511, 513, 5000])
    func sorted(count: Int) {
        var state: UInt64 = 7
        let numbers = (0..<count).map { place -> Float in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            // Many alike, both zeros' neighbours, and the ends of the range.
            switch place % 5 {
            case 0: return Float(Int(state >> 60)) - 8
            case 1: return Float(bitPattern: UInt32(state >> 40)) * (place % 2 == 0 ? 1 : -1)
            case 2: return place % 3 == 0 ? .infinity : -.greatestFiniteMagnitude
            default: return Float(Int(state >> 33)) / Float(1 << 30) - 1
            }
        }
        let expected = numbers.sorted()
        let places = Set([0, count / 4, count / 2, count - 1]).sorted()
        let cut = count / 3
        #expect(selected(places, of: [numbers]) == places.map { expected[$0] })
        #expect(selected(places, of: [Array(numbers[..<cut]), Array(numbers[cut...])]) == places.map { expected[$0] })
    }

    @Test("a NaN lies beyond the infinity of its sign")
    func notNumbers() {
        let found = selected([0, 1, 2, 3], of: [[.nan, 1, -.infinity, -Float.nan]])
        #expect(found[0].isNaN && found[1] == -.infinity && found[2] == 1 && found[3].isNaN)
    }
}
