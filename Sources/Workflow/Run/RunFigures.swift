import Interference

/// The figures of a run, task by task and of all tasks together, with intervals.
struct RunFigures {
    let tasks: [Row]
    /// Mean accuracies over the tasks that have labels, and total interferences.
    let total: Row
    /// Whether the merge was made of adapted experts, and whether it was distilled.
    let hasResolved, hasDistilled: Bool

    /// A figure and what it lies in with 95 % confidence, as far as they are known.
    struct Figure {
        var value: Double?
        var interval: ClosedRange<Double>?

        /// An accuracy on so many inputs.
        fileprivate static func accuracy(_ share: Double?, of count: Int) -> Figure {
            Figure(value: share, interval: share.flatMap { wilsonInterval(of: $0, count: count) })
        }
    }

    /// A task, or all of them.
    struct Row {
        let name: String
        let samples: Int?
        /// Accuracies.
        let base, expert, merged, mergedResolved, mergedDistilled: Figure
        let interference, interferenceResolved, interferenceDistilled: Figure

        /// How the merge does that the recipe asks for.
        var final: (accuracy: Figure, interference: Figure) {
            interferenceDistilled.value != nil
                ? (mergedDistilled, interferenceDistilled)
                : interferenceResolved.value == nil
                    ? (merged, interference) : (mergedResolved, interferenceResolved)
        }
    }

    init(of report: RunReport, bootstrap: Bootstrap = Bootstrap()) {
        func interference(_ model: CrossTaskInterference?, at place: Int) -> Figure {
            Figure(
                value: model?.tasks[place].interference,
                interval: model.flatMap {
                    bootstrap.interval(of: [$0.outcomes[place].distances], .distances, isMean: false)
                })
        }
        let tasks = report.tasks.enumerated().map { place, task in
            func accuracy(_ value: Double?) -> Figure { .accuracy(value, of: task.samples) }
            return Row(
                name: task.name, samples: task.samples, base: accuracy(task.baseAccuracy),
                expert: accuracy(task.expertAccuracy),
                merged: accuracy(report.merged?.tasks[place].mergedAccuracy),
                mergedResolved: accuracy(report.mergedResolved?.tasks[place].mergedAccuracy),
                mergedDistilled: accuracy(report.mergedDistilled?.tasks[place].mergedAccuracy),
                interference: interference(report.merged, at: place),
                interferenceResolved: interference(report.mergedResolved, at: place),
                interferenceDistilled: interference(report.mergedDistilled, at: place))
        }
        func mean(_ figure: (Row) -> Figure, _ model: CrossTaskInterference? = nil) -> Figure {
            let values = tasks.compactMap { figure($0).value }
            guard !values.isEmpty else { return Figure() }
            let hits = model?.outcomes.compactMap(\.hits) ?? []
            return Figure(
                value: values.reduce(0, +) / Double(values.count),
                // Of a task whose logits are not finite there are no hits, and so no interval of the mean.
                interval: hits.count == values.count
                    ? bootstrap.interval(of: hits.map { $0.map { $0 ? 1 : 0 } }, .shares, isMean: true) : nil)
        }
        func total(_ model: CrossTaskInterference?) -> Figure {
            Figure(
                value: model?.total,
                interval: model.flatMap {
                    bootstrap.interval(of: $0.outcomes.map(\.distances), .distances, isMean: false)
                })
        }
        self.tasks = tasks
        hasResolved = report.mergedResolved != nil
        hasDistilled = report.mergedDistilled != nil
        self.total = Row(
            name: "mean / total", samples: nil, base: mean(\.base), expert: mean(\.expert),
            merged: mean(\.merged, report.merged), mergedResolved: mean(\.mergedResolved, report.mergedResolved),
            mergedDistilled: mean(\.mergedDistilled, report.mergedDistilled),
            interference: total(report.merged), interferenceResolved: total(report.mergedResolved),
            interferenceDistilled: total(report.mergedDistilled))
    }
}
