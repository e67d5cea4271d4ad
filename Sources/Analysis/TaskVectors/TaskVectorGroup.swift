import TensorCore

/// Task vectors over a tensor, a layer or the whole model.
///
/// Where the base or an expert holds NaN or an infinity, everything about the expert's task vector is NaN.
public struct TaskVectorGroup: Sendable, Hashable {
    public let name: String
    public let tensorCount: Int
    public let parameterCount: Int
    /// In the order of the experts.
    public let experts: [Expert]
    /// Every pair once, in the order of the experts.
    public let pairs: [Pair]

    /// The share of entries that one expert moved up and another one down; nil when there are no entries.
    public let signConflict: Double?
    /// 1 − Σ |Σ_i τ_i| / Σ Σ_i |τ_i| over entries and experts: what cancels out in the sum; nil when no expert moved.
    public let signConflictWeighted: Double?

    /// How one expert moved.
    public struct Expert: Sendable, Hashable {
        /// The Euclidean norm of the task vector.
        public let norm: Double
        /// The norm divided by that of the base; nil when the base is zero, NaN when F64 cannot hold one of them.
        public let relativeNorm: Double?
        /// The share of entries that are exactly as in the base; nil when there are no entries.
        public let unchanged: Double?
    }

    /// How the movements of two experts compare.
    public struct Pair: Sendable, Hashable {
        /// Places among the experts.
        public let a: Int
        public let b: Int
        /// Nil when one of them did not move, NaN when F64 cannot hold the inner product.
        public let cosine: Double?
        /// Of the entries that both moved, the share that they moved in opposite directions; nil when there is none.
        public let signConflict: Double?
        /// Entries among the largest of both, divided by the smaller number of largest entries; nil when one has none here.
        /// Which entries are the largest is decided over the whole model, so it is NaN everywhere when one of the experts holds
        /// NaN or an infinity anywhere, or has so many entries beyond F32 that which are larger is not known.
        public let topOverlap: Double?
    }

    /// Puts the sums over a group's tensors into figures.
    ///
    /// - Parameter isRanked: for every expert, whether its largest entries are known.
    init(name: String, tensorCount: Int, _ sums: TaskVectorSums, isRanked: [Bool]) {
        self.name = name
        self.tensorCount = tensorCount
        parameterCount = sums.elementCount
        experts = sums.squares.indices.map { expert in
            guard !sums.isSpoilt(expert) else { return Expert(norm: .nan, relativeNorm: .nan, unchanged: .nan) }
            let (norm, baseNorm) = (sums.squares[expert].norm, sums.baseSquares.norm)
            let isEmpty = sums.elementCount == 0
            return Expert(
                norm: norm,
                relativeNorm: sums.baseSquares.isZero
                    ? nil : norm.isFinite && baseNorm.isFinite ? norm / baseNorm : .nan,
                unchanged: isEmpty ? nil : Double(sums.unchanged[expert]) / Double(sums.elementCount))
        }
        let isEmpty = sums.elementCount == 0
        signConflict =
            sums.isAnySpoilt ? .nan : isEmpty ? nil : Double(sums.conflicting) / Double(sums.elementCount)
        let kept = sums.magnitudeOfSums / sums.sumOfMagnitudes
        signConflictWeighted =
            sums.isAnySpoilt ? .nan : sums.sumOfMagnitudes == 0 ? nil : kept.isNaN ? .nan : max(0, 1 - kept)
        let count = sums.squares.count
        let places = (0..<count).flatMap { a in (a + 1..<max(count, a + 1)).map { (a, $0) } }
        pairs = zip(places, sums.pairs).map { place, pair in
            let (a, b) = place
            let isSpoilt = sums.isSpoilt(a) || sums.isSpoilt(b)
            let top = min(sums.top[a], sums.top[b])
            return Pair(
                a: a, b: b,
                cosine: isSpoilt ? .nan : Self.cosine(pair.product, sums.squares[a], sums.squares[b]),
                signConflict: isSpoilt ? .nan : pair.moved == 0 ? nil : Double(pair.opposed) / Double(pair.moved),
                topOverlap: isSpoilt || !isRanked[a] || !isRanked[b]
                    ? .nan : top == 0 ? nil : Double(pair.top) / Double(top))
        }
    }

    private static func cosine(_ product: Double, _ a: SquareSum, _ b: SquareSum) -> Double? {
        guard !a.isZero, !b.isZero else { return nil }
        let squares = a.plain * b.plain
        let norms = a.huge == 0 && b.huge == 0 && squares.isFinite ? squares.squareRoot() : a.norm * b.norm
        // NaN would come out of a clamp as one of its ends.
        guard product.isFinite, norms.isFinite, norms > 0 else { return .nan }
        return min(1, max(-1, product / norms))
    }
}
