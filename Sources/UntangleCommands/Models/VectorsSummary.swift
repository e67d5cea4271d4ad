import Analysis
import Reporting
import TensorCore

/// What stands out about task vectors, in sentences about figures that a report shows.
struct VectorsSummary {
    let statistics: TaskVectorStatistics
    let spectra: [TaskVectorSpectra]
    private var names: [String] { statistics.experts }
    private var model: TaskVectorGroup { statistics.model }

    var sentences: [String] {
        guard model.tensorCount > 0 else { return [] }
        return [movement, unmoved, notFinite, conflict, places, directions, cancellation, subspaces].compactMap { $0 }
    }

    /// Experts with a norm above zero.
    private var moved: [Int] { names.indices.filter { model.experts[$0].norm > 0 } }

    private var movement: String? {
        let order = moved.sorted { model.experts[$0].norm > model.experts[$1].norm }
        guard let first = order.first else { return nil }
        let figures =
            "norm \(model.experts[first].norm.short())"
            + (model.experts[first].relativeNorm.map { ", \($0.percent) of the base's" } ?? "")
        let tensor = statistics.largest[first].first.map { ", most in \($0.tensor)" } ?? ""
        guard order.count > 1, let last = order.last else { return "\(names[first]) moved (\(figures))\(tensor)." }
        let least = model.experts[last].norm.short()
        guard least != model.experts[first].norm.short() else { return "All moved equally far (\(figures))." }
        return "\(names[first]) moved furthest (\(figures))\(tensor); \(names[last]) least (norm \(least))."
    }

    private var unmoved: String? {
        let still = names.indices.filter { model.experts[$0].norm == 0 }.map { names[$0] }
        guard !still.isEmpty else { return nil }
        return "\(still.joined(separator: ", ")) did not move: what was measured equals the base."
    }

    private var notFinite: String? {
        let spoilt = names.indices.filter { model.experts[$0].norm.isNaN }.map { names[$0] }
        guard !spoilt.isEmpty else { return nil }
        return "There are no figures of \(spoilt.joined(separator: ", ")) as a whole, because of NaN or infinities."
    }

    private var conflict: String? {
        let pairs = model.pairs.filter { ($0.signConflict ?? .nan) >= 0 }
        guard let worst = pairs.max(by: { ($0.signConflict ?? 0) < ($1.signConflict ?? 0) }),
            let share = worst.signConflict
        else { return nil }
        let both = "\(names[worst.a]) and \(names[worst.b])"
        let rest =
            "\(share.percent) of the entries that both moved went in opposite directions, where chance makes 50 %."
        guard pairs.count > 1 else { return "Of \(both), \(rest)" }
        return share > 0.5 ? "\(both) fight most: \(rest)" : "No two fight more than chance; \(both) most: \(rest)"
    }

    /// Where conflict is, as means over pairs, among the parts that are large enough for it to matter: those of a hundredth of all entries.
    private var places: String? {
        func worst(_ groups: [TaskVectorGroup]) -> String? {
            let known = groups.filter {
                ($0.meanConflict ?? .nan) > 0 && 100 * $0.parameterCount >= model.parameterCount
            }
            guard known.count > 1, let group = known.max(by: { ($0.meanConflict ?? 0) < ($1.meanConflict ?? 0) }) else {
                return nil
            }
            return "\(group.name) (\((group.meanConflict ?? 0).percent))"
        }
        let found = [
            worst(statistics.layers).map { "by layer in \($0)" }, worst(statistics.kinds).map { "by kind in \($0)" },
        ].compactMap { $0 }
        return found.isEmpty ? nil : "Conflict is highest \(found.joined(separator: ", "))."
    }

    private var directions: String? {
        let pairs = model.pairs.filter { $0.cosine?.isNaN == false }.sorted { ($0.cosine ?? 0) < ($1.cosine ?? 0) }
        guard let first = pairs.first, let last = pairs.last, let low = first.cosine, let high = last.cosine else {
            return nil
        }
        func name(_ pair: TaskVectorGroup.Pair) -> String { "\(names[pair.a]) and \(names[pair.b])" }
        if max(abs(low), abs(high)) < 0.1 {
            let range =
                pairs.count == 1
                ? "cosine \(low.decimals(4))" : "cosines from \(low.decimals(4)) to \(high.decimals(4))"
            guard pairs.count == model.pairs.count else { return nil }
            return "The task vectors are nearly orthogonal: \(range)."
        }
        if pairs.count == 1 {
            return
                "\(name(first)) moved \(low < 0 ? "against each other" : "in like directions"): cosine \(low.decimals(4))."
        }
        return "Most alike are \(name(last)) (cosine \(high.decimals(4))), least \(name(first)) (\(low.decimals(4)))."
    }

    private var cancellation: String? {
        guard moved.count > 1, let share = model.signConflictWeighted, !share.isNaN else { return nil }
        // Of independent normal numbers, |Σ τ| is on average the norm of their norms, and Σ |τ| the sum of their norms.
        let norms = moved.map { model.experts[$0].norm }
        let chance = 1 - norms.reduce(0) { $0 + $1 * $1 }.squareRoot() / norms.reduce(0, +)
        let beside = chance.isFinite ? "; of unrelated ones of these norms, \(chance.percent) would" : ""
        return "Added up, \(share.percent) of all that was moved cancels out\(beside)."
    }

    private var subspaces: String? {
        let known = spectra.filter { ($0.interference ?? .nan) > 0 }
        guard let worst = known.max(by: { ($0.interference ?? 0) < ($1.interference ?? 0) }) else { return nil }
        let share = worst.sum?.countedTwice.map {
            "; of the energy of its sum \($0.percent) is counted twice"
        }
        return
            "Singular interference is largest in \(worst.matrix.name) (\((worst.interference ?? 0).short()))\(share ?? "")."
    }
}
