import Kernels
import Testing

@Suite("bits of numbers, and sums over rows") struct BitPlanesTests {
    /// Numbers of every kind, with a tail of a word and zeros of both signs.
    private func values(_ count: Int, _ seed: Int) -> [Float] {
        (0..<count).map { i in
            switch (i * 7 + seed) % 11 {
            case 0: 0
            case 1: -0.0
            case 2: .infinity
            case 3: -.infinity
            default: Float((i * 37 + seed * 101) % 41 - 20) / 8
            }
        }
    }

    @Test("planes and their counts are those of a plain loop", arguments: [1, 63, 64, 65, 200])
    func planes(count: Int) {
        let (x, y) = (values(count, 1), values(count, 5))
        let bracket = MagnitudeBracket(keys: Float(0.5).bitPattern..<Float(1.5).bitPattern)
        let words = (0..<2).map { _ in [UInt64](repeating: .max, count: BitPlanes.count * 4) }
        var (a, b) = (words[0], words[1])
        let wordCount = (count + 63) / 64
        a.withUnsafeMutableBufferPointer { a in
            b.withUnsafeMutableBufferPointer { b in
                let (first, second) = (
                    BitPlanes(words: a.baseAddress!, stride: 4), BitPlanes(words: b.baseAddress!, stride: 4)
                )
                first.fill(x, count: count, bracket)
                second.fill(y, count: count, bracket)
                func bits(_ plane: UnsafePointer<UInt64>) -> Int {
                    BitPlanes.countCommon(plane, plane, wordCount: wordCount)
                }
                #expect(bits(first.up) == x.count { $0 > 0 })
                #expect(bits(first.down) == x.count { $0 < 0 })
                #expect(bits(first.top) == x.count { abs($0) >= 1.5 })
                #expect(bits(first.pivot) == x.count { abs($0) == 0.5 })
                #expect(bits(first.listed) == x.count { abs($0) > 0.5 && abs($0) < 1.5 })
                let common = first.common(with: second, wordCount: wordCount)
                let pairs = Array(zip(x, y))
                #expect(common.moved == pairs.count { $0 != 0 && $1 != 0 })
                #expect(common.opposed == pairs.count { $0 * $1 < 0 })
                #expect(common.top == pairs.count { abs($0) >= 1.5 && abs($1) >= 1.5 })
            }
        }
    }

    @Test("inner products and cancellation of rows are those of a plain loop", arguments: [1, 2, 3, 5, 8])
    func rows(rowCount: Int) {
        let count = 24
        // Quarters, so that sums in F64 are exact in any order.
        func number(_ row: Int, _ i: Int) -> Float { Float((i * 13 + row * 29) % 31 - 15) / 4 }
        let rows: [[Float]] = (0..<rowCount).map { row in (0..<count).map { number(row, $0) } }
        let memory = UnsafeMutablePointer<Float>.allocate(capacity: rowCount * count)
        defer { memory.deallocate() }
        for (place, value) in rows.joined().enumerated() { (memory + place).initialize(to: value) }
        let addresses = (0..<rowCount).map { UnsafePointer<Float>?(UnsafePointer(memory + $0 * count)) }
        var products = [Double](repeating: .nan, count: rowCount * rowCount)
        addresses.withUnsafeBufferPointer { addresses in
            gram(of: addresses, count: count, into: &products)
            let found = cancellation(of: addresses, count: count)
            let sums: [Double] = (0..<count).map { i in rows.reduce(0) { $0 + Double($1[i]) } }
            #expect(found.ofSums == sums.reduce(0) { $0 + abs($1) })
            #expect(found.ofAll == rows.joined().reduce(0) { $0 + Double(abs($1)) })
        }
        for a in 0..<rowCount {
            for b in a..<rowCount {
                let expected: Double = (0..<count).reduce(0) { $0 + Double(rows[a][$1]) * Double(rows[b][$1]) }
                #expect(products[a * rowCount + b] == expected)
            }
        }
    }

    @Test("triplets make the matrix again, and leave out what is noise")
    func triplets() throws {
        for (rows, columns) in [(5, 7), (7, 5)] {
            let matrix = try Matrix<Float>(rows: rows, columns: columns)
            // Rank 2.
            for i in 0..<rows {
                for j in 0..<columns { matrix.pointer[i * columns + j] = Float(i * j) + Float((i + 1) % 3 * (j % 2)) }
            }
            let found = try SingularTriplets(matrix)
            #expect(found.numericalRank == 2 && found.ut.rows == 2 && found.singularValues.count == 5)
            for i in 0..<rows {
                for j in 0..<columns {
                    var value = 0.0
                    for k in 0..<2 {
                        let (left, right) = (found.ut.pointer[k * rows + i], found.vt.pointer[k * columns + j])
                        value += found.singularValues[k] * Double(left) * Double(right)
                    }
                    #expect(abs(value - Double(matrix.pointer[i * columns + j])) < 1e-4)
                }
            }
        }
    }
}
