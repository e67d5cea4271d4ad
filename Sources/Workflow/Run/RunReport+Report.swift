import Interference
import Reporting
import TensorCore

extension RunReport {
    /// A key of the document, which pages contain as well: a file that has it is the report of a run.
    static let mark = "total_interference"

    /// What is told of the run: a row for every task and one of means and totals, without the columns about RI when nothing was
    /// resolved, pictures of them, and what was written.
    public var report: Report {
        let figures = RunFigures(of: self)
        let table = figures.table
        var report = Report(
            title: "\(recipe.mergeMethod) of \(recipe.expertPlaces.count) experts",
            provenance: [
                .init("recipe", .text(recipe.path.string)), .init("merge_method", .text(recipe.mergeMethod)),
            ],
            sections: [
                .table(figures.tasks.isEmpty ? table.forDocuments : table),
                .facts(figures.totals),
                recipe.resolve == nil
                    ? .facts([.init("resolve", .none)]) : .table(adapted.table("resolve").forDocuments),
            ] + (distilled.map { [.table([$0].table("distill", of: .merged).forDocuments)] } ?? []) + [
                .facts([
                    .init("output", .init(recipe.output?.path.string)), .init("skipped", .texts(skippedStages)),
                ]),
                .warnings,
                .facts([.init("seconds", .number(duration.seconds))]),
                .text(lines),
            ] + figures.bars
                + (adapted.contains { $0.training?.trace.isEmpty == false } ? [.series(adapted.trace(nil))] : [])
                + (distilled.map { [.series([$0].trace(nil, of: .merged))] } ?? []),
            warnings: warnings, mark: Self.mark)
        report.summary = sentences(about: figures)
        return report
    }

    /// What was done, and where it is.
    private var lines: [String] {
        let resolved =
            switch recipe.resolve?.options {
            case let options? where options.solver == .train: " after \(options.steps.grouped) steps of RI per expert"
            case let options?: " after RI in closed form (\(options.solver.rawValue))"
            case nil: ""
            }
        let distilled = recipe.distill.map { ", then \($0.options.steps.grouped) steps of distilling" } ?? ""
        var lines = [
            "\(recipe.mergeMethod) of \(recipe.expertPlaces.count) experts\(resolved)\(distilled), \(duration.readable)"
        ]
        if let folder = adapted.first?.path?.removingLastComponent() {
            let done = adapted.count { $0.training == nil }
            let note = done == 0 ? "" : done == adapted.count ? " (done before)" : " (\(done) of them done before)"
            lines.append("adapted experts: \(folder.string)\(note)")
        }
        if let output = recipe.output {
            lines.append("merged checkpoint: \(output.path.string)\(mergeWasDone ? " (done before)" : "")")
        }
        return lines
    }

    /// Whether anything was adapted or merged, rather than found as an earlier run had left it.
    public var didWork: Bool { adapted.contains { $0.training != nil } || !mergeWasDone }

    private var skippedStages: [String] {
        let isResolved = !adapted.isEmpty && adapted.allSatisfy { $0.training == nil }
        return (isResolved ? ["resolve"] : []) + (mergeWasDone ? ["merge"] : [])
    }
}

extension RunFigures {
    private typealias Column = Report.Column

    /// A column of each figure for people, and behind them, for documents, one of each interval.
    fileprivate var table: Report.Table {
        let accuracies = [
            Column("accuracy.base", "base", .share), Column("accuracy.expert", "expert", .share),
            Column("accuracy.merged", "merged", .share),
            Column("accuracy.merged_resolved", hasResolved ? "merged + RI" : nil, .share),
        ]
        let interferences = [
            Column("interference.merged", "interference", .decimals(3), gauge: .bar),
            Column("interference.merged_resolved", hasResolved ? "with RI" : nil, .decimals(3)),
        ]
        let figures =
            hasDistilled
            ? accuracies + [Column("accuracy.merged_distilled", "distilled", .share)] + interferences
                + [Column("interference.merged_distilled", "distilled", .decimals(3))]
            : accuracies + interferences
        return Report.Table(
            "tasks",
            [Column("name", "task"), Column("samples", nil, .count)] + figures
                + figures.map { Column("interval.\($0.key ?? "")", nil, $0.kind) },
            rows: tasks.map(values), footer: values(of: total))
    }

    /// Means and totals, which people see below the table.
    fileprivate var totals: [Report.Fact] {
        let models = ["merged", "merged_resolved"] + (hasDistilled ? ["merged_distilled"] : [])
        let keys =
            (["base", "expert"] + models).map { "mean_accuracy.\($0)" } + models.map { "total_interference.\($0)" }
        return zip(keys, figures(of: total)).map { .init($0, .init($1.value)) }
            + zip(keys, figures(of: total)).map { .init("interval.\($0)", .interval($1.interval)) }
    }

    /// Accuracies where there are labels, and interferences.
    fileprivate var bars: [Report.Section] {
        guard !tasks.isEmpty else { return [] }
        func group(_ name: String, _ rows: [Row], _ figure: (Row) -> Figure) -> Report.Bars.Group {
            .init(name, rows.map { figure($0).value }, intervals: rows.map { figure($0).interval })
        }
        let labelled = tasks.filter { $0.expert.value != nil }
        let accuracies = labelled + (labelled.count > 1 ? [total] : [])
        let accuracy = Report.Bars(
            "Accuracy before and after merging, with 95 % intervals", title: "task",
            labels: labelled.map(\.name) + (labelled.count > 1 ? ["mean"] : []), kind: .share,
            groups: [
                group("base", accuracies, \.base), group("expert", accuracies, \.expert),
                group("merged", accuracies, \.merged),
            ] + (hasResolved ? [group("merged + RI", accuracies, \.mergedResolved)] : [])
                + (hasDistilled ? [group("distilled", accuracies, \.mergedDistilled)] : []))
        let interference = Report.Bars(
            "Interference of the merged model, with 95 % intervals", title: "task", labels: tasks.map(\.name),
            kind: .decimals(3),
            groups: [group(hasResolved ? "without RI" : "interference", tasks, \.interference)]
                + (hasResolved ? [group("with RI", tasks, \.interferenceResolved)] : [])
                + (hasDistilled ? [group("distilled", tasks, \.interferenceDistilled)] : []))
        return (labelled.isEmpty ? [] : [.bars(accuracy)]) + [.bars(interference)]
    }
}

extension RunFigures {
    /// In the order of the columns.
    private func figures(of row: Row) -> [Figure] {
        [row.base, row.expert, row.merged, row.mergedResolved] + (hasDistilled ? [row.mergedDistilled] : [])
            + [row.interference, row.interferenceResolved] + (hasDistilled ? [row.interferenceDistilled] : [])
    }

    private func values(of row: Row) -> [Report.Value] {
        let figures = figures(of: row)
        return [.text(row.name), .integer(row.samples ?? 0)] + figures.map { .init($0.value) }
            + figures.map { .interval($0.interval) }
    }
}

/// What kind of models were trained.
public enum TrainedModels: Sendable {
    case experts
    /// A merged model, whose loss has no terms.
    case merged

    fileprivate var hasTerms: Bool { self == .experts }
    /// The name of a column about a term; nil leaves it out.
    fileprivate func term(_ name: String) -> String? { hasTerms ? name : nil }
    fileprivate var noun: String { self == .experts ? "expert" : "model" }
}

extension [AdaptedExpert] {
    /// What is told of trained models; outputs are paths from the current folder.
    public func table(_ key: String, of kind: TrainedModels = .experts) -> Report.Table {
        func change(_ expert: AdaptedExpert, _ value: (ResolverStep) -> Double) -> Report.Value {
            guard let trace = expert.training?.trace, let first = trace.first, let last = trace.last else {
                return .none
            }
            return .change(first: value(first), last: value(last))
        }
        return Report.Table(
            key,
            [
                // Documents have the output in front, and 0 seconds where an earlier run did the work.
                .init("name", kind.noun), .init("output", nil), .init("steps", nil, .count),
                .init(nil, "steps", .count),
                .init("seconds", nil, .seconds), .init(nil, "time", .seconds),
                .init("loss", "loss", .change(decimals: 4)),
                .init(kind.term("preservation"), kind.term("preservation"), .change(decimals: 4)),
                .init(kind.term("interference"), kind.term("interference"), .change(decimals: 4)), .init(nil, "output"),
                .init("learning_rate", nil), .init("resumed_at", nil, .count), .init("kept_step", nil, .count),
                .init("held_out", nil, .change(decimals: 4)),
                .init("expected_bytes", nil, .count), .init("expected_seconds", nil, .seconds),
            ],
            rows: map { expert in
                let (output, seconds) = (Report.Value(expert.path?.string), expert.training?.duration.seconds)
                let steps = expert.training.map { training in
                    training.trace.isEmpty
                        ? "solved"
                        : training.trace.count.grouped + (training.resumedAt.map { ", from \($0.grouped)" } ?? "")
                            + (training.heldOut.isEmpty ? "" : ", kept \(training.keptStep.grouped)")
                }
                let checks = expert.training?.heldOut ?? []
                let kept = checks.first { $0.step == expert.training?.keptStep }
                return [
                    .text(expert.name), output, .integer(expert.training?.trace.count ?? 0), .text(steps ?? "done"),
                    .number(seconds ?? 0), .init(seconds), change(expert, \.loss), change(expert, \.preservation),
                    change(expert, \.interference), output,
                    expert.training?.learningRate.map(Report.Value.number) ?? .absent,
                    expert.training?.resumedAt.map(Report.Value.integer) ?? .absent,
                    kept.map { .integer($0.step) } ?? .absent,
                    kept.map { .change(first: checks[0].loss, last: $0.loss) } ?? .absent,
                    expert.training.map { .integer($0.expectedByteCount) } ?? .absent,
                    expert.training?.expectedDuration.map { .number($0.seconds) } ?? .absent,
                ]
            })
    }

    /// Loss and its terms, step by step.
    public func trace(_ key: String?, of kind: TrainedModels = .experts) -> Report.Series {
        let terms: [Report.Column] = [
            .init("preservation", "preservation", .number), .init("interference", "interference", .number),
        ]
        var series = Report.Series(
            key, name: .init(kind.noun, kind.noun), axis: .init("step", "step", .count),
            figures: [.init("loss", "loss", .number)] + (kind.hasTerms ? terms : []),
            rows: flatMap { expert in
                (expert.training?.trace ?? []).map { step in
                    [.text(expert.name), .integer(step.step + 1), .number(step.loss)]
                        + (kind.hasTerms ? [.number(step.preservation), .number(step.interference)] : [])
                }
            })
        series.caption =
            kind.hasTerms
            ? "What resolving minimises, step by step: the loss and its two terms"
            : "What distilling minimises, step by step: the interference on auxiliary inputs"
        let losses = flatMap { $0.training?.trace.map(\.loss) ?? [] }
        if let low = losses.min(), let high = losses.max(), low > 0 { series.isLogarithmic = high > 20 * low }
        return series
    }
}
