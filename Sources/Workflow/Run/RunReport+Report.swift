import Interference
import Reporting
import TensorCore

extension RunReport {
    /// A key of the document, which pages contain as well: a file that has it is the report of a run.
    static let mark = "total_interference"

    /// What is told of the run: a row for every task and one of means and totals, without the columns about RI when nothing was
    /// resolved, and what was written.
    public var report: Report {
        let hasResolved = mergedResolved != nil
        typealias Column = Report.Column
        let tasks = Report.Table(
            "tasks",
            [
                Column("name", "task"), Column("samples", nil, .count), Column("accuracy.base", "base", .share),
                Column("accuracy.expert", "expert", .share), Column("accuracy.merged", "merged", .share),
                Column("accuracy.merged_resolved", hasResolved ? "merged + RI" : nil, .share),
                Column("interference.merged", "interference", .decimals(3), gauge: .bar),
                Column("interference.merged_resolved", hasResolved ? "with RI" : nil, .decimals(3)),
            ], rows: rows.map(\.values), footer: summary.values)
        let means = zip(tasks.columns, summary.values).compactMap { column, value -> Report.Fact? in
            guard let key = column.key else { return nil }
            if key.hasPrefix("accuracy.") { return .init("mean_\(key)", value) }
            return key.hasPrefix("interference.") ? .init("total_\(key)", value) : nil
        }
        return Report(
            title: "\(recipe.mergeMethod) of \(recipe.expertPlaces.count) experts",
            provenance: [
                .init("recipe", .text(recipe.path.string)), .init("merge_method", .text(recipe.mergeMethod)),
            ],
            sections: [
                .table(rows.isEmpty ? tasks.forDocuments : tasks),
                .facts(means),
                recipe.resolve == nil
                    ? .facts([.init("resolve", .none)]) : .table(adapted.table("resolve").forDocuments),
                .facts([
                    .init("output", .init(recipe.output?.path.string)), .init("skipped", .texts(skippedStages)),
                ]),
                .warnings,
                .facts([.init("seconds", .number(duration.seconds))]),
                .text(lines),
            ], warnings: warnings, mark: Self.mark)
    }

    /// What was done, and where it is.
    private var lines: [String] {
        let resolved = recipe.resolve.map { " after \($0.options.steps.grouped) steps of RI per expert" } ?? ""
        var lines = ["\(recipe.mergeMethod) of \(recipe.expertPlaces.count) experts\(resolved), \(duration.readable)"]
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

extension RunReport.Row {
    /// In the order of the columns.
    fileprivate var values: [Report.Value] {
        [
            .text(name), .integer(samples ?? 0), .init(base), .init(expert), .init(merged), .init(mergedResolved),
            .init(interference), .init(interferenceResolved),
        ]
    }
}

extension [AdaptedExpert] {
    /// What is told of adapted experts; outputs are paths from the current folder.
    public func table(_ key: String) -> Report.Table {
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
                .init("name", "expert"), .init("output", nil), .init("steps", nil, .count),
                .init(nil, "steps", .count),
                .init("seconds", nil, .seconds), .init(nil, "time", .seconds),
                .init("loss", "loss", .change(decimals: 4)),
                .init("preservation", "preservation", .change(decimals: 4)),
                .init("interference", "interference", .change(decimals: 4)), .init(nil, "output"),
                .init("resumed_at", nil, .count),
            ],
            rows: map { expert in
                let (output, seconds) = (Report.Value(expert.path?.string), expert.training?.duration.seconds)
                let steps = expert.training.map { training in
                    training.trace.count.grouped + (training.resumedAt.map { ", from \($0.grouped)" } ?? "")
                }
                return [
                    .text(expert.name), output, .integer(expert.training?.trace.count ?? 0), .text(steps ?? "done"),
                    .number(seconds ?? 0), .init(seconds), change(expert, \.loss), change(expert, \.preservation),
                    change(expert, \.interference), output,
                    expert.training?.resumedAt.map(Report.Value.integer) ?? .absent,
                ]
            })
    }

    /// Loss and its terms, step by step.
    public func trace(_ key: String?) -> Report.Series {
        Report.Series(
            key, name: .init("expert", "expert"), axis: .init("step", "step", .count),
            figures: [
                .init("loss", "loss", .number), .init("preservation", "preservation", .number),
                .init("interference", "interference", .number),
            ],
            rows: flatMap { expert in
                (expert.training?.trace ?? []).map { step in
                    [
                        .text(expert.name), .integer(step.step + 1), .number(step.loss), .number(step.preservation),
                        .number(step.interference),
                    ]
                }
            })
    }
}
