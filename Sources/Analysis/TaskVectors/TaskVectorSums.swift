import Kernels
import TensorCore

/// Sums over entries of all task vectors; those of parts add up to those of the whole.
struct TaskVectorSums: Sendable {
    private(set) var elementCount = 0
    private(set) var baseSquares = SquareSum()
    /// Of every expert.
    private(set) var squares: [SquareSum]
    private(set) var unchanged: [Int]
    /// Of every expert, its entries among the largest; known once settled, as `Pair.top` is.
    private(set) var top: [Int]
    private(set) var candidates: TopCandidates
    /// Places in which one expert moved up and another one down.
    private(set) var conflicting = 0
    /// Over all places, the magnitude of the sum of all experts, and the sum of their magnitudes.
    private(set) var magnitudeOfSums = 0.0
    private(set) var sumOfMagnitudes = 0.0
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
        candidates = TopCandidates(expertCount: expertCount)
        pairs = Array(repeating: Pair(), count: expertCount * (expertCount - 1) / 2)
        nonFinite = Array(repeating: NonFiniteCount(), count: expertCount + 1)
        beyondF32 = Array(repeating: 0, count: expertCount)
    }

    /// Whether any figure of all experts together cannot be told.
    var isAnySpoilt: Bool { nonFinite.contains { !$0.isZero } }

    /// Whether the base or an expert holds NaN or an infinity, so that nothing can be said about the expert's task vector.
    func isSpoilt(_ expert: Int) -> Bool { !nonFinite[0].isZero || !nonFinite[expert + 1].isZero }

    /// Measures a run of elements.
    init(_ tensor: LoadedTaskVector, _ range: Range<Int>, search: TopSearch.Pass) {
        self.init(expertCount: search.brackets.count)
        let capacity = TaskVectorBlock.capacity
        withUnsafeTemporaryAllocation(
            byteCount: TaskVectorBlock.byteCount(expertCount: search.brackets.count), alignment: 64
        ) { memory in
            let block = TaskVectorBlock(memory, expertCount: search.brackets.count)
            for start in stride(from: range.lowerBound, to: range.upperBound, by: capacity) {
                let part = start..<min(start + capacity, range.upperBound)
                block.read(tensor, part)
                measureSums(block, tensor, part)
                measureCounts(block, count: part.count, search)
            }
        }
    }

    /// Norms, inner products and what cancels out.
    private mutating func measureSums(_ block: TaskVectorBlock, _ tensor: LoadedTaskVector, _ part: Range<Int>) {
        elementCount += part.count
        let sums = block.sums()
        let products = sums.products
        let baseSquare = block.baseSquare(count: part.count)
        let expertCount = squares.count
        // A base that is finite, and squares that are, leave nothing stored that is not.
        guard baseSquare.isFinite, (0..<expertCount).allSatisfy({ products[$0 * expertCount + $0].isFinite }) else {
            return measureWide(block, tensor, part)
        }
        baseSquares += SquareSum(baseSquare)
        var pair = 0
        for a in 0..<expertCount {
            squares[a] += SquareSum(products[a * expertCount + a])
            for b in a + 1..<max(expertCount, a + 1) {
                pairs[pair].product += products[a * expertCount + b]
                pair += 1
            }
        }
        magnitudeOfSums += sums.magnitudeOfSums
        sumOfMagnitudes += sums.sumOfMagnitudes
    }

    /// The same where something is not finite, in F64 where F32 cannot hold it.
    private mutating func measureWide(_ block: TaskVectorBlock, _ tensor: LoadedTaskVector, _ part: Range<Int>) {
        let counts = tensor.countNonFinite(part)
        for model in counts.indices { nonFinite[model] += counts[model] }
        baseSquares += Row(block.base, count: part.count) { tensor.wideBase(part) }.squares
        let rows = block.rows.enumerated().map { expert, row in
            Row(row, count: part.count) { tensor.wideTaskVector(of: expert, part) }
        }
        var pair = 0
        for (a, row) in rows.enumerated() {
            squares[a] += row.squares
            if counts[0].isZero, counts[a + 1].isZero, row.wide != nil {
                beyondF32[a] += (0..<part.count).count { !row.values[$0].isFinite }
            }
            for other in rows.dropFirst(a + 1) {
                pairs[pair].product += row.product(with: other, count: part.count)
                pair += 1
            }
        }
        for place in 0..<part.count {
            magnitudeOfSums += abs(rows.reduce(0) { $0 + $1.number(place) })
            sumOfMagnitudes += rows.reduce(0) { $0 + abs($1.number(place)) }
        }
    }

    /// Entries that moved, in which directions, and which may be among the largest.
    private mutating func measureCounts(_ block: TaskVectorBlock, count: Int, _ search: TopSearch.Pass) {
        let wordCount = (count + 63) / 64
        let planes = block.planes
        for (expert, plane) in planes.enumerated() {
            plane.fill(block.rows[expert], count: count, search.brackets[expert])
        }
        let decided = block.decide(wordCount: wordCount)
        conflicting += decided.conflicting
        candidates.add(planes, kept: decided.keys, wordCount: wordCount, to: search)
        let hasPivots = planes.map { plane in (0..<wordCount).contains { plane.pivot[$0] != 0 } }
        var pair = 0
        for (a, plane) in planes.enumerated() {
            unchanged[a] += count - plane.common(with: plane, wordCount: wordCount).moved
            for b in planes.indices.dropFirst(a + 1) {
                let common = plane.common(with: planes[b], wordCount: wordCount)
                pairs[pair].moved += common.moved
                pairs[pair].opposed += common.opposed
                candidates.add(
                    pair, plane, planes[b], above: common.top, hasPivots: hasPivots[a] || hasPivots[b],
                    wordCount: wordCount)
                pair += 1
            }
        }
    }

    /// Counts the largest entries, once it is known which they are.
    func settled(_ limits: [UInt32], _ brackets: [MagnitudeBracket]) -> TaskVectorSums {
        var sums = self
        let counts = candidates.counts(from: limits, brackets)
        sums.top = counts.experts
        for (pair, count) in counts.pairs.enumerated() { sums.pairs[pair].top = count }
        sums.candidates = TopCandidates(expertCount: limits.count)
        return sums
    }

    mutating func add(_ other: TaskVectorSums) {
        elementCount += other.elementCount
        baseSquares += other.baseSquares
        conflicting += other.conflicting
        magnitudeOfSums += other.magnitudeOfSums
        sumOfMagnitudes += other.sumOfMagnitudes
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
        candidates.add(other.candidates)
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

    func number(_ place: Int) -> Double { wide?[place] ?? Double(values[place]) }
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
