import Kernels
import Testing

@Suite("sign election") struct SignElectionTests {
    /// The definition, entry by entry.
    func expected(
        _ base: Float, _ values: [Float], limits: [UInt32], weights: [Float], zeroSign: UInt32, isAveraging: Bool,
        factor: Float
    ) -> Float {
        var votes: [Float] = []
        for (e, value) in values.enumerated() {
            let change = value - base
            votes.append(change.magnitudeKey >= limits[e] ? weights[e] * change : 0)
        }
        let sum = votes.reduce(0, +)
        let isMinus = sum < 0 || (sum == 0 && zeroSign == 1)
        var (total, divisor) = (Float(0), Float(0))
        for (vote, weight) in zip(votes, weights) where isMinus ? vote < 0 : vote > 0 {
            total += vote
            divisor += weight
        }
        if isAveraging { total /= abs(divisor) < 1e-8 ? 1 : divisor }
        return base + factor * total
    }

    @Test(
        "does what the definition says for every length, and leaves the rest alone", arguments: 1...5, [UInt32(0), 1])
    func definition(expertCount: Int, zeroSign: UInt32) {
        let generator = CounterGenerator(seed: 11, stream: UInt64(expertCount))
        var counter: UInt64 = 0
        func next() -> Float {
            counter += 1
            // Sixteenths, so that sums cancel and magnitudes equal the limits often.
            return Float(generator.below(9, counter) - 4) / 16
        }
        let two = (Float(2) / 16).magnitudeKey
        let limits: [UInt32] = Array([two, 0, two + 1, 1, two].prefix(expertCount))
        let weights: [Float] = Array([0.5, 0.5, -0.25, 1e-9, 2].prefix(expertCount))
        for count in 8...33 {
            let base = (0..<count).map { _ in next() }
            let experts = (0..<expertCount).map { _ in (0..<count).map { _ in next() } }
            for isAveraging in [true, false] {
                var result = [Float](repeating: 7, count: count + 1)
                #expect(
                    elect(base, experts, limits, weights, zeroSign, isAveraging, 0.75, into: &result, count: count))
                for i in 0..<count {
                    let wanted = expected(
                        base[i], experts.map { $0[i] }, limits: limits, weights: weights, zeroSign: zeroSign,
                        isAveraging: isAveraging, factor: 0.75)
                    #expect(result[i] == wanted)
                }
                #expect(result[count] == 7)
            }
        }
    }

    /// Calls the kernel with arrays.
    func elect(
        _ base: [Float], _ experts: [[Float]], _ limits: [UInt32], _ weights: [Float], _ zeroSign: UInt32,
        _ isAveraging: Bool, _ factor: Float, into result: inout [Float], count: Int
    ) -> Bool {
        // One after the other in memory, so that one closure holds them all.
        let flat = experts.flatMap { $0 }
        return flat.withUnsafeBufferPointer { flat in
            electSigns(
                base: base, experts: experts.indices.map { flat.baseAddress! + $0 * count }, limits: limits,
                weights: weights, zeroSign: zeroSign, isAveraging: isAveraging, factor: factor, into: &result,
                count: count)
        }
    }

    @Test("refuses numbers that are not finite, wherever they are, and few entries")
    func special() {
        let ones = [Float](repeating: 1, count: 19)
        var result = [Float](repeating: 0, count: 19)
        for place in [0, 7, 8, 15, 18] {
            for value in [Float.nan, .infinity, -.infinity] {
                var other = ones
                other[place] = value
                #expect(!elect(ones, [ones, other], [0, 0], [1, 1], 0, true, 1, into: &result, count: 19))
                #expect(!elect(other, [ones, ones], [0, 0], [1, 1], 0, true, 1, into: &result, count: 19))
            }
        }
        // The sum overflows.
        let huge = [Float](repeating: 3e38, count: 19)
        let zeros = [Float](repeating: 0, count: 19)
        #expect(!elect(zeros, [huge, huge], [0, 0], [1, 1], 0, true, 1, into: &result, count: 19))
        #expect(!elect(ones, [ones], [0], [1], 0, true, 1, into: &result, count: 7))
    }

    @Test("task vectors say when a number is not finite")
    func subtract() {
        for place in 0..<13 {
            var (x, y) = ([Float](repeating: 3, count: 13), [Double](repeating: 3, count: 13))
            let (base, doubleBase) = ([Float](repeating: 1, count: 13), [Double](repeating: 1, count: 13))
            #expect(!Float.subtract(base, from: &x, count: 13) && x.allSatisfy { $0 == 2 })
            #expect(!Double.subtract(doubleBase, from: &y, count: 13) && y.allSatisfy { $0 == 2 })
            (x[place], y[place]) = (-.infinity, .nan)
            #expect(Float.subtract(base, from: &x, count: 13) && Double.subtract(doubleBase, from: &y, count: 13))
        }
    }
}
