import Reporting

extension Comparison {
    /// What is worth knowing first: the best, what cannot be told from it, and what resolving does.
    var sentences: [String] {
        [sentenceAboutTheBest, sentenceAboutResolving].compactMap { $0 }
    }

    private var sentenceAboutTheBest: String? {
        let rivals = rows.dropFirst().filter(\.isComparable)
        guard let best = rows.first, !rivals.isEmpty, let value = best.merge.figure(for: order), value.isFinite
        else { return nil }
        let tied = rivals.count { $0.isTied }
        let interval = best.interval.map { " (\(text($0.lowerBound)) to \(text($0.upperBound)))" } ?? ""
        let others =
            tied == 0
            ? "it can be told from all others\(rivals.count + 1 < rows.count ? " with the same tasks" : "")"
            : tied == 1 ? "one other cannot be told from it" : "\(tied) others cannot be told from it"
        let figure = order == .accuracy ? text(value) : "an interference of \(text(value))"
        return "\(best.merge.name) is best: \(figure)\(interval); \(others)."
    }

    private var sentenceAboutResolving: String? {
        guard !gains.isEmpty else { return nil }
        let mean = gains.reduce(0) { $0 + $1.value } / Double(gains.count)
        let effect =
            switch order {
            case .accuracy: "\(mean < 0 ? "costs" : "gains") \((100 * abs(mean)).decimals(1)) points"
            case .interference: "\(mean < 0 ? "adds" : "removes") \(abs(mean).decimals(3)) of interference"
            }
        if gains.count == 1 { return "RI \(effect)\(gains[0].isNoise ? ", which the noise may be" : "")." }
        let certain = gains.filter { !$0.isNoise }
        let helped = certain.count { $0.value > 0 }
        let harmed = certain.count - helped
        func share(_ count: Int) -> String {
            count == 0 ? "none of \(gains.count)" : count == gains.count ? "all \(count)" : "\(count) of \(gains.count)"
        }
        let harm = harmed == 0 ? "" : ", harms \(harmed)"
        return "RI helps \(share(helped)) merges by more than the noise\(harm), and \(effect) on average."
    }

    private func text(_ value: Double) -> String { order == .accuracy ? value.percent : value.decimals(3) }
}
