import Kernels
import Testing

/// Against sums of small whole numbers, which are exact in any order.
@Suite("products in single precision") struct ProductTests {
    /// `[rows, columns]` with numbers of -8 to 8.
    private static func matrix(_ rows: Int, _ columns: Int, seed: Int) -> [Float] {
        (0..<rows * columns).map { Float(($0 * 7919 + seed * 104_729) % 17 - 8) }
    }

    /// Sizes of one part, of two and of four; the last takes a second.
    @Test(
        "every operand as it lies and transposed, with bias and sum, on one thread and on a team",
        arguments: [(1, 1, 1), (3, 5, 7), (29, 33, 400), (310, 200, 320), (61, 1100, 300), (430, 420, 430)])
    func products(M: Int, N: Int, K: Int) {
        let a = Self.matrix(M, K, seed: 1)
        let b = Self.matrix(K, N, seed: 2)
        let bias = Self.matrix(1, N, seed: 3)
        let start = Self.matrix(M, N, seed: 4)
        for (aIsTransposed, bIsTransposed) in [(false, false), (false, true), (true, false), (true, true)] {
            for threads in [1, 3] {
                let left = aIsTransposed ? Self.transposed(a, M, K) : a
                let right = bIsTransposed ? Self.transposed(b, K, N) : b
                // Rows two numbers apart from each other.
                let stride = N + 2
                var out = [Float](repeating: 99, count: M * stride)
                for row in 0..<M { for column in 0..<N { out[row * stride + column] = start[row * N + column] } }
                left.withUnsafeBufferPointer { left in
                    right.withUnsafeBufferPointer { right in
                        bias.withUnsafeBufferPointer { bias in
                            out.withUnsafeMutableBufferPointer { out in
                                guard let l = left.baseAddress, let r = right.baseAddress, let o = out.baseAddress
                                else { return }
                                Team.lead(of: threads) {
                                    multiply(
                                        M, N, K, aIsTransposed ? .transposed(l, stride: M) : .rows(l, stride: K),
                                        bIsTransposed ? .transposed(r, stride: K) : .rows(r, stride: N), into: o,
                                        stride: stride, accumulate: true, alpha: 0.5, bias: bias.baseAddress)
                                }
                            }
                        }
                    }
                }
                var differences = 0
                for row in 0..<M {
                    for column in 0..<stride {
                        var expected: Float = 99
                        if column < N {
                            let sum = (0..<K).reduce(Float(0)) { $0 + a[row * K + $1] * b[$1 * N + column] }
                            expected = start[row * N + column] + bias[column] + 0.5 * sum
                        }
                        if out[row * stride + column] != expected { differences += 1 }
                    }
                }
                #expect(differences == 0, "transposed \(aIsTransposed), \(bIsTransposed), \(threads) threads")
            }
        }
    }

    /// The edges of blocks that kernels for one processor or another work in.
    @Test("products of every small size, in both precisions", arguments: [1, 2, 3, 8, 17, 64])
    func smallSizes(K: Int) {
        for M in 1...36 {
            for N in 1...36 {
                let a = Self.matrix(M, K, seed: M)
                let b = Self.matrix(K, N, seed: N)
                var single = [Float](repeating: 99, count: M * N)
                var double = [Double](repeating: 99, count: M * N)
                // One operand as it lies, the other transposed, in turn.
                let isTurned = (M + N) % 2 == 0
                let left = isTurned ? Self.transposed(a, M, K) : a
                let right = isTurned ? b : Self.transposed(b, K, N)
                let (wideLeft, wideRight) = (left.map(Double.init), right.map(Double.init))
                // An operand is an address, which an array does not keep alive by itself.
                withExtendedLifetime((left, right, wideLeft, wideRight)) {
                    multiply(
                        M, N, K, isTurned ? .transposed(left, stride: M) : .rows(left, stride: K),
                        isTurned ? .rows(right, stride: N) : .transposed(right, stride: K), into: &single, stride: N)
                    multiply(
                        M, N, K, isTurned ? .transposed(wideLeft, stride: M) : .rows(wideLeft, stride: K),
                        isTurned ? .rows(wideRight, stride: N) : .transposed(wideRight, stride: K), into: &double,
                        stride: N)
                }
                var gram = [Double](repeating: 0, count: M * M)
                addGram(M, K, a.map(Double.init), stride: K, byRows: true, to: &gram, weight: 0.5)
                var differences = 0
                for row in 0..<M {
                    for column in 0..<N {
                        let sum = (0..<K).reduce(Float(0)) { $0 + a[row * K + $1] * b[$1 * N + column] }
                        if single[row * N + column] != sum || double[row * N + column] != Double(sum) {
                            differences += 1
                        }
                    }
                    for column in 0..<M {
                        let sum = (0..<K).reduce(Float(0)) { $0 + a[row * K + $1] * a[column * K + $1] }
                        let expected = column < row ? 0 : 0.5 * Double(sum)
                        if gram[row * M + column] != expected { differences += 1 }
                    }
                }
                #expect(differences == 0, "\(M) x \(N) x \(K)")
            }
        }
    }

    private static func transposed(_ x: [Float], _ rows: Int, _ columns: Int) -> [Float] {
        (0..<columns * rows).map { x[$0 % rows * columns + $0 / rows] }
    }

    @Test("a team computes the bits of one thread")
    func bits() {
        let (M, N, K) = (370, 410, 500)
        // Thirds and sevenths: every sum is rounded.
        let a = Self.matrix(M, K, seed: 1).map { $0 / 7 }
        let b = Self.matrix(K, N, seed: 2).map { $0 / 3 }
        func product(threads: Int) -> [Float] {
            var out = [Float](repeating: 0, count: M * N)
            a.withUnsafeBufferPointer { a in
                b.withUnsafeBufferPointer { b in
                    out.withUnsafeMutableBufferPointer { out in
                        guard let a = a.baseAddress, let b = b.baseAddress, let out = out.baseAddress else { return }
                        Team.lead(of: threads) {
                            multiply(M, N, K, .rows(a, stride: K), .rows(b, stride: N), into: out, stride: N)
                        }
                    }
                }
            }
            return out
        }
        // Holds OpenBLAS to the calling thread.
        _ = ComputeBudget(threads: 1)
        let alone = product(threads: 1)
        let areSame = product(threads: 2) == alone && product(threads: 5) == alone
        #expect(areSame)
    }
}
