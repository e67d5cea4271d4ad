import Analysis
import Interference

/// Which parts of a model are listed, and in which order.
struct GroupListing {
    var order: Order?
    /// At most so many; nil for all.
    var count: Int?

    /// By what stands out.
    enum Order: String, CaseIterable {
        /// The largest mean share of conflicting signs over pairs first, of which few entries tell little.
        case conflict
        /// The largest norm of all task vectors together first.
        case norm
        /// The lowest mean cosine over pairs first, of which few entries tell little.
        case cosine
    }

    /// Whether every group is listed.
    var isComplete: Bool { count == nil }

    /// Groups without the figure, or with NaN, come last; those of one figure stay in the order of the base.
    ///
    /// Conflict counts as its entries make sure of, by the lower end of Wilson's interval, and so does a low cosine: of n entries, those of
    /// unrelated vectors reach 1.96 / √n.
    func choose(_ groups: [TaskVectorGroup]) -> [TaskVectorGroup] {
        let keys = groups.map { group -> Double in
            let key: Double? =
                switch order {
                case .conflict:
                    group.meanConflict.map {
                        -(wilsonInterval(of: $0, count: group.parameterCount)?.lowerBound ?? .nan)
                    }
                case .norm: -group.experts.reduce(0) { $0 + $1.norm * $1.norm }
                case .cosine: group.meanCosine.map { $0 + 1.96 / Double(group.parameterCount).squareRoot() }
                case nil: 0
                }
            return key.flatMap { $0.isNaN ? nil : $0 } ?? .infinity
        }
        let places = groups.indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
        return places.prefix(count ?? .max).map { groups[$0] }
    }
}
