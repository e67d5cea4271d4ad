import Interference

/// Merges side by side: sorted, with intervals, and with what choosing a coefficient without labels would have cost.
public struct Comparison: Sendable {
    /// The best first.
    public let rows: [Row]
    public let order: CompareOrder
    /// By how much resolving makes the figure better that rows are sorted by, for every pair of merges of which one is the other with
    /// adapted experts; those with a figure that is not finite are left out.
    public let gains: [Double]

    /// One merge among the others.
    public struct Row: Sendable {
        public let merge: ComparedMerge
        /// 95 %, of the figure that rows are sorted by; nil when it is not finite.
        public let interval: ClosedRange<Double>?
        /// Whether the difference from the best lies within the noise of the inputs: the interval of the difference, input by input,
        /// holds zero. Never where tasks differ.
        public let isTied: Bool
        /// Whether the interference on auxiliary inputs would choose this merge among those that differ only in coefficients; nil
        /// where there is nothing to choose, or nothing to choose by.
        public let isChosen: Bool?
        /// Of the chosen merge, how much worse its figure is than the best of those it was chosen from.
        public let cost: Double?
    }

    /// Sorts merges.
    ///
    /// - Parameters:
    ///   - merges: with the recipe variants that they come from.
    ///   - groups: the places of merges among which a coefficient is chosen.
    ///   - pairs: the places of merges that differ in nothing but whether adapted experts were merged.
    ///   - order: nil sorts by accuracy where all tasks have labels, by interference otherwise.
    public init(
        _ merges: [ComparedMerge], groups: [[Int]], pairs: [(plain: Int, resolved: Int)] = [],
        order: CompareOrder? = nil, bootstrap: Bootstrap = Bootstrap()
    ) {
        // Of a merge whose logits are not finite nothing is known; the data has labels where another one's hits are.
        let labelled = Set(merges.flatMap(\.figures.tasks).filter { $0.outcomes.hits != nil }.map(\.name))
        let isLabelled = merges.flatMap(\.figures.tasks).allSatisfy { labelled.contains($0.name) }
        let order = order ?? (isLabelled ? .accuracy : .interference)
        self.order = order
        gains = pairs.map { Self.loss(merges[$0.plain], order) - Self.loss(merges[$0.resolved], order) }
            .filter(\.isFinite)
        let sorted = merges.indices.sorted { a, b in
            let (x, y) = (Self.loss(merges[a], order), Self.loss(merges[b], order))
            // What is not finite comes last.
            return x.isNaN ? false : y.isNaN ? true : (x, a) < (y, b)
        }
        var chosen: [Int: (isChosen: Bool, cost: Double?)] = [:]
        for group in groups where group.count > 1 {
            let known = group.filter { merges[$0].figures.auxiliaryInterference?.isFinite ?? false }
            let losses = group.map { Self.loss(merges[$0], order) }.filter { !$0.isNaN }
            guard
                let choice = known.min(by: {
                    (merges[$0].figures.auxiliaryInterference ?? 0) < (merges[$1].figures.auxiliaryInterference ?? 0)
                })
            else { continue }
            for place in group { chosen[place] = (false, nil) }
            let cost = losses.min().map { Self.loss(merges[choice], order) - $0 }
            chosen[choice] = (true, cost.flatMap { $0.isNaN ? nil : $0 })
        }
        let isMean = order == .accuracy
        let kind = order == .accuracy ? Bootstrap.Values.shares : .distances
        let best = sorted.first.map { merges[$0] }
        rows = sorted.enumerated().map { rank, place in
            let merge = merges[place]
            let values = merge.values(for: order)
            var difference: ClosedRange<Double>?
            if let best, merge.hasTasks(of: best) {
                let differences = zip(values, best.values(for: order)).map { zip($0, $1).map { $0 - $1 } }
                difference = bootstrap.interval(of: differences, kind, isMean: isMean)
            }
            return Row(
                merge: merge, interval: bootstrap.interval(of: values, kind, isMean: isMean),
                isTied: rank == 0 || difference?.contains(0) ?? false, isChosen: chosen[place]?.isChosen,
                cost: chosen[place]?.cost)
        }
    }

    /// The smaller the better.
    private static func loss(_ merge: ComparedMerge, _ order: CompareOrder) -> Double {
        switch order {
        case .accuracy: -(merge.meanAccuracy ?? .nan)
        case .interference: merge.interference
        }
    }
}
