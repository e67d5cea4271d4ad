import Interference

/// Merges side by side: sorted, with intervals, and with what choosing a coefficient without labels would have cost.
public struct Comparison: Sendable {
    /// The best first.
    public let rows: [Row]
    public let order: CompareOrder
    /// What resolving does, for every pair of merges of which one is the other with adapted experts; those with a figure that is not
    /// finite are left out.
    public let gains: [Gain]

    /// What merging adapted experts instead of the experts themselves does to a merge.
    public struct Gain: Sendable {
        /// The merge of adapted experts.
        public let name: String
        /// By how much the figure is better that rows are sorted by; negative where it is worse.
        public let value: Double
        /// 95 %, of the difference input by input; nil where the inputs do not tell.
        public let interval: ClosedRange<Double>?

        /// Whether it may be nothing but noise of the inputs.
        public var isNoise: Bool { interval?.contains(0) ?? true }
    }

    /// One merge among the others.
    public struct Row: Sendable {
        public let merge: ComparedMerge
        /// 95 %, of the figure that rows are sorted by; nil when it is not finite.
        public let interval: ClosedRange<Double>?
        /// Whether it was measured on the same tasks as the best.
        public let isComparable: Bool
        /// Whether the difference from the best lies within the noise of the inputs: the interval of the difference, input by input,
        /// holds zero, or there are too few inputs for one. Never where tasks differ.
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
        func difference(_ merge: ComparedMerge, from other: ComparedMerge) -> ClosedRange<Double>? {
            let differences = zip(merge.values(for: order), other.values(for: order)).map {
                zip($0, $1).map { $0 - $1 }
            }
            return bootstrap.interval(of: differences, kind, isMean: isMean)
        }
        gains = pairs.compactMap { pair in
            let (plain, resolved) = (merges[pair.plain], merges[pair.resolved])
            let value = Self.loss(plain, order) - Self.loss(resolved, order)
            guard value.isFinite else { return nil }
            let interval =
                order == .accuracy ? difference(resolved, from: plain) : difference(plain, from: resolved)
            return Gain(name: resolved.name, value: value, interval: interval)
        }
        let best = sorted.first.map { merges[$0] }
        rows = sorted.enumerated().map { rank, place in
            let merge = merges[place]
            let rival = best.flatMap { merge.hasTasks(of: $0) ? $0 : nil }
            let isTied = rival.map { rival in
                difference(merge, from: rival)?.contains(0) ?? Self.loss(merge, order).isFinite
            }
            return Row(
                merge: merge, interval: merge.interval(for: order, bootstrap),
                isComparable: rival != nil, isTied: rank == 0 || isTied ?? false,
                isChosen: chosen[place]?.isChosen, cost: chosen[place]?.cost)
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
