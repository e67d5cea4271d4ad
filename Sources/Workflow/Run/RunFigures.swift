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
        func mean(_ figure: (Row) -> Figure) -> Figure {
            let known = tasks.compactMap { task in figure(task).value.map { (share: $0, count: task.samples ?? 0) } }
            guard !known.isEmpty else { return Figure() }
            return Figure(
                value: known.reduce(0) { $0 + $1.share } / Double(known.count), interval: wilsonInterval(ofMean: known))
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
            merged: mean(\.merged), mergedResolved: mean(\.mergedResolved),
            mergedDistilled: mean(\.mergedDistilled),
            interference: total(report.merged), interferenceResolved: total(report.mergedResolved),
            interferenceDistilled: total(report.mergedDistilled))
    }
}
