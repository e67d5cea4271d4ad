import Interference
import Reporting

extension RunReport {
    /// What is worth knowing first. Every number stands in the table; what is not known, or is not finite, is not spoken of.
    func sentences(about figures: RunFigures) -> [String] {
        let (tasks, total) = (figures.tasks, figures.total)
        let training = ((figures.hasResolved ? ["RI"] : []) + (figures.hasDistilled ? ["distilling"] : []))
            .joined(separator: " and ")
        let owners = recipe.expertPlaces.count == 1 ? "the expert's" : "the experts'"
        let labelled = tasks.count { $0.expert.value != nil }
        let place = labelled < tasks.count ? " on the \(labelled) of \(tasks.count) tasks that have labels" : ""
        func kept(_ accuracy: RunFigures.Figure) -> (verb: String, text: String)? {
            guard let merged = accuracy.value, let experts = total.expert.value, merged.isFinite, experts.isFinite,
                experts > 0
            else { return nil }
            return (
                merged > experts ? "reaches" : "keeps", "\((merged / experts).percent) of \(owners) accuracy\(place)"
            )
        }
        var sentences: [String] = []
        if let (verb, share) = kept(total.final.accuracy) {
            sentences.append(
                "Merging with \(recipe.mergeMethod)\(figures.hasResolved ? " after RI" : "")"
                    + "\(figures.hasDistilled ? " and distilling" : "") \(verb) \(share) ("
                    + "\(text(total.final.accuracy)) of \(text(total.expert))).")
        }
        if !training.isEmpty, let (verb, share) = kept(total.merged) {
            sentences.append("Without \(training) it \(verb) \(share) (\(text(total.merged))).")
        }
        if let plain = total.interference.value, let resolved = total.interferenceResolved.value,
            let change = Change(from: plain, to: resolved)
        {
            sentences.append(
                "RI \(change.isLoss ? "removes" : "adds") \(change.share.percent) of the interference "
                    + "(\(resolved.decimals(3)) instead of \(plain.decimals(3))).")
        }
        if let before = total.interferenceResolved.value ?? total.interference.value,
            let distilled = total.interferenceDistilled.value, let change = Change(from: before, to: distilled)
        {
            sentences.append(
                "Distilling \(change.isLoss ? "removes" : "adds") \(change.share.percent) of \(figures.hasResolved ? "the rest" : "the interference") "
                    + "(\(distilled.decimals(3)) instead of \(before.decimals(3))).")
        }
        if tasks.count > 1, let sentence = sentence(aboutTheWorstOf: tasks, of: total) { sentences.append(sentence) }
        let lost = tasks.filter { !($0.final.interference.value ?? 0).isFinite }.map(\.name)
        if !lost.isEmpty {
            sentences.append("Outputs are not finite on \(lost.joined(separator: ", ")), and nothing is known there.")
        }
        return sentences
    }

    /// The task that loses most accuracy; without labels, the one with the most interference.
    private func sentence(aboutTheWorstOf tasks: [RunFigures.Row], of total: RunFigures.Row) -> String? {
        let losses = tasks.compactMap { task -> (task: RunFigures.Row, loss: Double)? in
            guard let expert = task.expert.value, let merged = task.final.accuracy.value, (expert - merged).isFinite
            else { return nil }
            return (task, expert - merged)
        }
        if let worst = losses.max(by: { $0.loss < $1.loss }) {
            let (before, after) = (text(worst.task.expert), text(worst.task.final.accuracy))
            guard worst.loss > 0, before != after, losses.count > 1 else { return nil }
            return "\(worst.task.name) loses most: its accuracy falls from \(before) to \(after)."
        }
        let known = tasks.filter { ($0.final.interference.value ?? .nan).isFinite }
        guard known.count > 1, let whole = total.final.interference.value, whole.isFinite, whole > 0,
            let worst = known.max(by: { ($0.final.interference.value ?? 0) < ($1.final.interference.value ?? 0) }),
            let most = worst.final.interference.value
        else { return nil }
        return "\(worst.name) suffers most: \(most.decimals(3)) of an interference of \(whole.decimals(3)) in all."
    }

    private func text(_ accuracy: RunFigures.Figure) -> String { accuracy.value?.percent ?? "" }
}

/// What becomes of a figure, as a share of what it was.
private struct Change {
    let share: Double
    let isLoss: Bool

    /// Nil where there is none to speak of.
    init?(from before: Double, to after: Double) {
        let share = abs(before - after) / before
        guard before > 0, share.isFinite, share >= 0.0005 else { return nil }
        (self.share, isLoss) = (share, after < before)
    }
}

extension [AdaptedExpert] {
    /// What adapting did to the losses, of those that were adapted now.
    public var summary: [String] {
        let checked = compactMap { expert in HeldOutSummary(expert) }
        guard checked.isEmpty else { return HeldOutSummary.sentences(checked) }
        let changes = compactMap { expert -> (name: String, first: Double, last: Double)? in
            guard let trace = expert.training?.trace, trace.count > 1, let first = trace.first?.loss,
                let last = trace.last?.loss, first.isFinite, last.isFinite, first > 0
            else { return nil }
            return (expert.name, first, last)
        }
        func text(_ change: (name: String, first: Double, last: Double)) -> String {
            "\(change.first.decimals(4)) to \(change.last.decimals(4))"
        }
        guard changes.count > 4, let best = changes.min(by: { $0.last / $0.first < $1.last / $1.first }) else {
            return changes.map { "\($0.name): the loss \($0.last < $0.first ? "fell" : "rose") from \(text($0))." }
        }
        let falling = changes.count { $0.last < $0.first }
        guard falling > 0 else { return ["The loss fell for none of \(changes.count) experts."] }
        let all = falling == changes.count ? "all \(falling)" : "\(falling) of \(changes.count)"
        return ["The loss fell for \(all) experts, most for \(best.name): from \(text(best))."]
    }
}

/// What early stopping kept of one expert.
private struct HeldOutSummary {
    private let name: String
    private let first, kept: HeldOutLoss
    private let stepCount: Int

    /// Nil for an expert that was not stopped by losses on held-out inputs.
    init?(_ expert: AdaptedExpert) {
        guard let training = expert.training, let first = training.heldOut.first,
            let kept = training.heldOut.first(where: { $0.step == training.keptStep })
        else { return nil }
        (name, self.first, self.kept, stepCount) = (expert.name, first, kept, training.trace.count)
    }

    static func sentences(_ experts: [HeldOutSummary]) -> [String] {
        guard experts.count > 4 else { return experts.map(\.sentence) }
        let falling = experts.count { $0.kept.step > 0 }
        return [
            "The loss on held-out inputs fell for \(falling) of \(experts.count) experts; the others are kept as they came."
        ]
    }

    private var sentence: String {
        kept.step == 0
            ? "\(name): kept as it came, because in \(stepCount.grouped) steps the loss on held-out inputs never fell below \(first.loss.decimals(4))."
            : "\(name): kept as it was after step \(kept.step.grouped) of \(stepCount.grouped), where the loss on held-out inputs had fallen from "
                + "\(first.loss.decimals(4)) to \(kept.loss.decimals(4))."
    }
}
