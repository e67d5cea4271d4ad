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

    @Test("planes of several vectors are joined as by a plain loop", arguments: [1, 63, 64, 65, 200])
    func join(count: Int) {
        let rows = [1, 5, 8].map { values(count, $0) }
        let bracket = MagnitudeBracket(keys: Float(0.5).bitPattern..<Float(1.5).bitPattern)
        let (stride, wordCount) = (4, (count + 63) / 64)
        let memory = UnsafeMutablePointer<UInt64>.allocate(capacity: (rows.count * BitPlanes.count + 1) * stride)
        defer { memory.deallocate() }
        let planes = rows.indices.map { BitPlanes(words: memory + $0 * BitPlanes.count * stride, stride: stride) }
        let undecided = memory + rows.count * BitPlanes.count * stride
        for (row, plane) in zip(rows, planes) { plane.fill(row, count: count, bracket) }
        let addresses = planes.map { UnsafeMutablePointer<UInt64>?($0.words) }
        let conflicts = addresses.withUnsafeBufferPointer {
            BitPlanes.join($0, stride: stride, wordCount: wordCount, undecided: undecided)
        }
        let places = (0..<count).filter { i in rows.contains { abs($0[i]) > 0.5 && abs($0[i]) < 1.5 } }
        #expect(conflicts == (0..<count).count { i in rows.contains { $0[i] > 0 } && rows.contains { $0[i] < 0 } })
        #expect((0..<64 * wordCount).filter { undecided[$0 / 64] >> ($0 % 64) & 1 == 1 } == places)
        for (row, plane) in zip(rows, planes) {
            let decided = (0..<count).filter { !places.contains($0) }
            let tops = BitPlanes.countCommon(plane.top, plane.top, wordCount: wordCount)
            let pivots = BitPlanes.countCommon(plane.pivot, plane.pivot, wordCount: wordCount)
            #expect(tops == decided.count { abs(row[$0]) >= 1.5 })
            #expect(pivots == decided.count { abs(row[$0]) == 0.5 })
        }
        let buffers = rows.map { row in
            let copy = UnsafeMutablePointer<Float>.allocate(capacity: count)
            copy.initialize(from: row, count: count)
            return copy
        }
        defer { for buffer in buffers { buffer.deallocate() } }
        let keys = buffers.map { UnsafePointer<Float>?(UnsafePointer($0)) }.withUnsafeBufferPointer {
            BitPlanes.keys(of: $0, at: undecided, wordCount: wordCount)
        }
        #expect(keys == places.flatMap { i in rows.map { abs($0[i]).bitPattern } })
    }

    @Test("inner products and cancellation of rows are those of a plain loop", arguments: [1, 2, 3, 5, 8], [24, 264])
    func rows(rowCount: Int, count: Int) {
        // Quarters, so that sums in F64 are exact in any order.
        func number(_ row: Int, _ i: Int) -> Float { Float((i * 13 + row * 29) % 31 - 15) / 4 }
        let rows: [[Float]] = (0..<rowCount).map { row in (0..<count).map { number(row, $0) } }
        let memory = UnsafeMutablePointer<Float>.allocate(capacity: rowCount * count)
        defer { memory.deallocate() }
        for (place, value) in rows.joined().enumerated() { (memory + place).initialize(to: value) }
        let addresses = (0..<rowCount).map { UnsafePointer<Float>?(UnsafePointer(memory + $0 * count)) }
        var space = [Double](repeating: .nan, count: RowSums.space(rowCount: rowCount))
        addresses.withUnsafeBufferPointer { addresses in
            space.withUnsafeMutableBufferPointer { space in
                let found = RowSums(of: addresses, count: count, in: space.baseAddress!)
                let sums: [Double] = (0..<count).map { i in rows.reduce(0) { $0 + Double($1[i]) } }
                #expect(found.magnitudeOfSums == sums.reduce(0) { $0 + abs($1) })
                #expect(found.sumOfMagnitudes == rows.joined().reduce(0) { $0 + Double(abs($1)) })
                for a in 0..<rowCount {
                    for b in a..<rowCount {
                        let expected: Double = (0..<count).reduce(0) { $0 + Double(rows[a][$1]) * Double(rows[b][$1]) }
                        #expect(found.products[a * rowCount + b] == expected)
                    }
                }
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
