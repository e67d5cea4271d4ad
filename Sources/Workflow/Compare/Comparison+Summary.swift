import Reporting

extension Comparison {
    /// What is worth knowing first: the best, what cannot be told from it, and what resolving does.
    var sentences: [String] {
        [sentenceAboutTheBest, sentenceAboutResolving].compactMap { $0 }
    }

    private var sentenceAboutTheBest: String? {
        guard let best = rows.first, rows.count > 1, let value = best.merge.figure(for: order), value.isFinite else {
            return nil
        }
        let tied = rows.dropFirst().count { $0.isTied }
        let interval = best.interval.map { " (\(text($0.lowerBound)) to \(text($0.upperBound)))" } ?? ""
        let others =
            tied == 0
            ? "it can be told from all others"
            : tied == 1 ? "one other cannot be told from it" : "\(tied) others cannot be told from it"
        let figure = order == .accuracy ? text(value) : "an interference of \(text(value))"
        return "\(best.merge.name) is best: \(figure)\(interval); \(others)."
    }

    private var sentenceAboutResolving: String? {
        guard !gains.isEmpty else { return nil }
        let mean = gains.reduce(0, +) / Double(gains.count)
        let better = gains.count { $0 > 0 }
        let size =
            order == .accuracy ? "\((100 * abs(mean)).decimals(1)) points" : "\(abs(mean).decimals(3)) of interference"
        let effect =
            switch order {
            case .accuracy: "\(mean < 0 ? "costs" : "gains") \(size)"
            case .interference: "\(mean < 0 ? "adds" : "removes") \(size)"
            }
        guard better > 0 || mean < 0 else { return nil }
        if gains.count == 1 { return "RI \(effect)." }
        let helped =
            better == 0
            ? "none of \(gains.count)" : better == gains.count ? "all \(better)" : "\(better) of \(gains.count)"
        return "RI helps \(helped) merges, and \(effect) on average."
    }

    private func text(_ value: Double) -> String { order == .accuracy ? value.percent : value.decimals(3) }
}
