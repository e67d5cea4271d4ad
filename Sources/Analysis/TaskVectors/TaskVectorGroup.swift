/// Task vectors over a tensor, a layer or the whole model.
public struct TaskVectorGroup: Sendable, Hashable {
    public let name: String
    public let tensorCount: Int
    public let parameterCount: Int
    /// In the order of the experts.
    public let experts: [Expert]
    /// Every pair once, in the order of the experts.
    public let pairs: [Pair]

    /// How one expert moved.
    public struct Expert: Sendable, Hashable {
        /// The Euclidean norm of the task vector.
        public let norm: Double
        /// The norm divided by that of the base; nil when the base is zero.
        public let relativeNorm: Double?
        /// The share of entries that are exactly as in the base; nil when there are no entries.
        public let unchanged: Double?
    }

    /// How the movements of two experts compare.
    public struct Pair: Sendable, Hashable {
        /// Places among the experts.
        public let a: Int
        public let b: Int
        /// Nil when one of them did not move.
        public let cosine: Double?
        /// Of the entries that both moved, the share that they moved in opposite directions; nil when there is none.
        public let signConflict: Double?
        /// Entries among the largest of both, divided by the smaller number of largest entries; nil when one has none here.
        /// Which entries are the largest is decided over the whole model.
        public let topOverlap: Double?
    }

    init(name: String, tensorCount: Int, _ sums: TaskVectorSums) {
        self.name = name
        self.tensorCount = tensorCount
        parameterCount = sums.elementCount
        experts = sums.squares.indices.map { expert in
            let norm = sums.squares[expert].squareRoot()
            let isEmpty = sums.elementCount == 0
            return Expert(
                norm: norm, relativeNorm: sums.baseSquares > 0 ? norm / sums.baseSquares.squareRoot() : nil,
                unchanged: isEmpty ? nil : Double(sums.unchanged[expert]) / Double(sums.elementCount))
        }
        let count = sums.squares.count
        let places = (0..<count).flatMap { a in (a + 1..<max(count, a + 1)).map { (a, $0) } }
        pairs = zip(places, sums.pairs).map { place, pair in
            let (a, b) = place
            let norms = (sums.squares[a] * sums.squares[b]).squareRoot()
            let top = min(sums.top[a], sums.top[b])
            return Pair(
                a: a, b: b, cosine: norms == 0 ? nil : min(1, max(-1, pair.product / norms)),
                signConflict: pair.moved == 0 ? nil : Double(pair.opposed) / Double(pair.moved),
                topOverlap: top == 0 ? nil : Double(pair.top) / Double(top))
        }
    }
}
