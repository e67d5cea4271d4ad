import Kernels
import TensorCore

/// Sums over entries of all task vectors; those of parts add up to those of the whole.
struct TaskVectorSums: Sendable {
    private(set) var elementCount = 0
    private(set) var baseSquares = SquareSum()
    /// Of every expert.
    private(set) var squares: [SquareSum]
    private(set) var unchanged: [Int]
    private(set) var top: [Int]
    /// Of every pair of experts, (0, 1), (0, 2), …, (1, 2), ….
    private(set) var pairs: [Pair]
    /// NaN and infinities that are stored, in the base, then in every expert.
    private(set) var nonFinite: [NonFiniteCount]
    /// Of every expert, the entries that F32 cannot hold, where nothing stored is to blame.
    private(set) var beyondF32: [Int]

    struct Pair: Sendable {
        var product = 0.0
        /// Entries that both experts moved, those of them in opposite directions, and entries among the largest of both.
        var moved = 0
        var opposed = 0
        var top = 0
    }

    init(expertCount: Int) {
        squares = Array(repeating: SquareSum(), count: expertCount)
        unchanged = Array(repeating: 0, count: expertCount)
        top = Array(repeating: 0, count: expertCount)
        pairs = Array(repeating: Pair(), count: expertCount * (expertCount - 1) / 2)
        nonFinite = Array(repeating: NonFiniteCount(), count: expertCount + 1)
        beyondF32 = Array(repeating: 0, count: expertCount)
    }

    /// Whether the base or an expert holds NaN or an infinity, so that nothing can be said about the expert's task vector.
    func isSpoilt(_ expert: Int) -> Bool { !nonFinite[0].isZero || !nonFinite[expert + 1].isZero }

    /// Measures a run of elements.
    init(_ tensor: LoadedTaskVector, _ range: Range<Int>, topKeys: [UInt32]) {
        self.init(expertCount: topKeys.count)
        let capacity = LoadedTaskVector.blockCapacity
        withUnsafeTemporaryAllocation(of: Float.self, capacity: (topKeys.count + 1) * capacity) { memory in
            let base = memory.baseAddress!
            let rows = topKeys.indices.map { base + ($0 + 1) * capacity }
            for start in stride(from: range.lowerBound, to: range.upperBound, by: capacity) {
                let block = start..<min(start + capacity, range.upperBound)
                tensor.readBase(block, into: base)
                for (expert, row) in rows.enumerated() { tensor.readTaskVector(of: expert, block, into: row) }
                let counts = tensor.countNonFinite(block)
                for model in counts.indices { nonFinite[model] += counts[model] }
                let baseRow = Row(base, count: block.count) { tensor.wideBase(block) }
                let taskVectors = rows.enumerated().map { expert, row in
                    Row(row, count: block.count) { tensor.wideTaskVector(of: expert, block) }
                }
                for (expert, row) in taskVectors.enumerated() where counts[0].isZero && counts[expert + 1].isZero {
                    beyondF32[expert] += row.wide == nil ? 0 : (0..<block.count).count { !row.values[$0].isFinite }
                }
                measure(baseRow, taskVectors, count: block.count, topKeys: topKeys)
            }
        }
    }

    private mutating func measure(_ base: Row, _ rows: [Row], count: Int, topKeys: [UInt32]) {
        elementCount += count
        baseSquares += base.squares
        var pair = 0
        for (a, row) in rows.enumerated() {
            squares[a] += row.squares
            let x = row.values
            var (unchangedCount, topCount): (UInt32, UInt32) = (0, 0)
            let topKey = topKeys[a]
            for i in 0..<count {
                unchangedCount &+= x[i].zeroBit
                topCount &+= isAtLeast(x[i].magnitudeKey, topKey)
            }
            unchanged[a] += Int(unchangedCount)
            top[a] += Int(topCount)
            for b in rows.indices.dropFirst(a + 1) {
                compare(row, rows[b], count: count, topKeys[a], topKeys[b], into: pair)
                pair += 1
            }
        }
    }

    private mutating func compare(
        _ rowX: Row, _ rowY: Row, count: Int, _ topX: UInt32, _ topY: UInt32, into pair: Int
    ) {
        let (x, y) = (rowX.values, rowY.values)
        var (moved, opposed, top): (UInt32, UInt32, UInt32) = (0, 0, 0)
        for i in 0..<count {
            let (a, b) = (x[i], y[i])
            let both = ~(a.zeroBit | b.zeroBit) & 1
            moved &+= both
            opposed &+= both & (a.signBit ^ b.signBit)
            top &+= isAtLeast(a.magnitudeKey, topX) & isAtLeast(b.magnitudeKey, topY)
        }
        pairs[pair].product += rowX.product(with: rowY, count: count)
        pairs[pair].moved += Int(moved)
        pairs[pair].opposed += Int(opposed)
        pairs[pair].top += Int(top)
    }

    mutating func add(_ other: TaskVectorSums) {
        elementCount += other.elementCount
        baseSquares += other.baseSquares
        for expert in squares.indices {
            squares[expert] += other.squares[expert]
            unchanged[expert] += other.unchanged[expert]
            top[expert] += other.top[expert]
        }
        for pair in pairs.indices {
            pairs[pair].product += other.pairs[pair].product
            pairs[pair].moved += other.pairs[pair].moved
            pairs[pair].opposed += other.pairs[pair].opposed
            pairs[pair].top += other.pairs[pair].top
        }
        for model in nonFinite.indices { nonFinite[model] += other.nonFinite[model] }
        for expert in beyondF32.indices { beyondF32[expert] += other.beyondF32[expert] }
    }
}

/// A block of numbers in F32, and in F64 where F32 cannot hold them.
private struct Row {
    let values: UnsafePointer<Float>
    let squares: SquareSum
    /// Nil when all values are finite. Numbers that F32 can hold are those of `values`, so that a sum does not depend on how
    /// the rest of its block looks.
    let wide: [Double]?

    /// Looks whether the squares of a block fit, and keeps its numbers in F64 where they do not.
    ///
    /// - Parameter makeWide: the same numbers before they were rounded to F32.
    init(_ values: UnsafePointer<Float>, count: Int, _ makeWide: () -> [Double]) {
        self.values = values
        let sum = sumOfSquares(values, count: count)
        if sum.isFinite {
            wide = nil
            squares = SquareSum(sum)
        } else {
            let numbers = makeWide().enumerated().map { values[$0].isFinite ? Double(values[$0]) : $1 }
            wide = numbers
            squares = SquareSum(of: numbers)
        }
    }

    func product(with other: Row, count: Int) -> Double {
        if wide == nil, other.wide == nil { return dotProduct(values, other.values, count: count) }
        return (0..<count).reduce(0) { $0 + number($1) * other.number($1) }
    }

    private func number(_ place: Int) -> Double { wide?[place] ?? Double(values[place]) }
}

/// A sum of squares of numbers of any size.
struct SquareSum: Sendable {
    private(set) var plain: Double
    /// Of numbers from 2^500 on, whose squares F64 may not hold, times 2^-1200.
    private(set) var huge = 0.0

    private static let factor = 0x1p-600

    init(_ sum: Double = 0) { plain = sum }

    init(of numbers: [Double]) {
        plain = 0
        for number in numbers {
            if number.magnitude < 0x1p500 {
                plain += number * number
            } else {
                huge += (number * Self.factor) * (number * Self.factor)
            }
        }
    }

    var isZero: Bool { plain == 0 && huge == 0 }

    /// The root of the sum.
    var norm: Double {
        huge == 0 ? plain.squareRoot() : (huge + plain * Self.factor * Self.factor).squareRoot() / Self.factor
    }

    static func += (a: inout SquareSum, b: SquareSum) {
        a.plain += b.plain
        a.huge += b.huge
    }
}
