import Kernels

/// Sums over entries of all task vectors; those of parts add up to those of the whole.
struct TaskVectorSums: Sendable {
    private(set) var elementCount = 0
    private(set) var baseSquares = 0.0
    /// Of every expert.
    private(set) var squares: [Double]
    private(set) var unchanged: [Int]
    private(set) var top: [Int]
    /// Of every pair of experts, (0, 1), (0, 2), …, (1, 2), ….
    private(set) var pairs: [Pair]

    struct Pair: Sendable {
        var product = 0.0
        /// Entries that both experts moved, those of them in opposite directions, and entries among the largest of both.
        var moved = 0
        var opposed = 0
        var top = 0
    }

    init(expertCount: Int) {
        squares = Array(repeating: 0, count: expertCount)
        unchanged = Array(repeating: 0, count: expertCount)
        top = Array(repeating: 0, count: expertCount)
        pairs = Array(repeating: Pair(), count: expertCount * (expertCount - 1) / 2)
    }

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
                measure(base, rows, count: block.count, topKeys: topKeys)
            }
        }
    }

    private mutating func measure(
        _ base: UnsafePointer<Float>, _ rows: [UnsafeMutablePointer<Float>], count: Int, topKeys: [UInt32]
    ) {
        elementCount += count
        baseSquares += sumOfSquares(base, count: count)
        var pair = 0
        for (a, x) in rows.enumerated() {
            squares[a] += sumOfSquares(x, count: count)
            var (unchangedCount, topCount): (UInt32, UInt32) = (0, 0)
            let topKey = topKeys[a]
            for i in 0..<count {
                unchangedCount &+= x[i].zeroBit
                topCount &+= isAtLeast(x[i].magnitudeKey, topKey)
            }
            unchanged[a] += Int(unchangedCount)
            top[a] += Int(topCount)
            for b in rows.indices.dropFirst(a + 1) {
                compare(x, rows[b], count: count, topKeys[a], topKeys[b], into: pair)
                pair += 1
            }
        }
    }

    private mutating func compare(
        _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int, _ topX: UInt32, _ topY: UInt32, into pair: Int
    ) {
        var (moved, opposed, top): (UInt32, UInt32, UInt32) = (0, 0, 0)
        for i in 0..<count {
            let (a, b) = (x[i], y[i])
            let both = ~(a.zeroBit | b.zeroBit) & 1
            moved &+= both
            opposed &+= both & (a.signBit ^ b.signBit)
            top &+= isAtLeast(a.magnitudeKey, topX) & isAtLeast(b.magnitudeKey, topY)
        }
        pairs[pair].product += dotProduct(x, y, count: count)
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
    }
}
