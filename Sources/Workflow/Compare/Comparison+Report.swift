import Reporting
import TensorCore

extension Comparison {
    /// A key of the document, which pages contain as well: a file that has it is the report of a comparison.
    public static let mark = "tied_with_best"

    /// The rows, and for documents the name of the best and the figures of every task; for pages pictures of them.
    public var report: Report {
        var report = Report(
            title: "Merges by \(order.rawValue)",
            provenance: [.init("sorted_by", .text(order.rawValue))],
            sections: [.table(table), .facts([.init("best", Report.Value(rows.first?.merge.name))])]
                + (gains.isEmpty ? [] : [.table(gainTable)]) + pictures,
            mark: Self.mark)
        report.summary = sentences
        return report
    }

    private var table: Report.Table {
        let isByAccuracy = order == .accuracy
        let hasAccuracy = rows.contains { $0.merge.meanAccuracy != nil }
        let hasChoice = rows.contains { $0.merge.figures.auxiliaryInterference != nil }
        let interference = Report.Column("interference", "interference", .decimals(3))
        let interval = Report.Column(nil, "95 %", .count)
        return Report.Table(
            "rows",
            [
                .init("name", "merge"), .init("method", nil), .init("parameters", nil), .init("resolved", nil),
                .init("mean_accuracy", hasAccuracy ? "accuracy" : nil, .share, gauge: .bar),
            ]
                + (isByAccuracy ? [interval, interference] : [interference, interval])
                + [
                    .init(nil, ""), .init("interval", nil), .init("tied_with_best", nil),
                    .init("auxiliary_interference", hasChoice ? "on auxiliary" : nil, .decimals(3)),
                    .init(nil, hasChoice ? "without labels" : nil), .init("chosen", nil), .init("cost", nil, .number),
                    .init("seconds", "time", .seconds), .init("peak_bytes", "memory", .bytes), .init("tasks", nil),
                ],
            rows: rows.enumerated().map { rank, row in
                let merge = row.merge
                let total = Report.Value.number(merge.interference)
                let ends = Report.Value.text(row.interval.map(text) ?? "-")
                return [
                    .text(merge.name), .text(merge.method),
                    .facts(merge.parameters.map { .init($0.name, .text($0.value)) }),
                    .flag(merge.isResolved),
                    merge.meanAccuracy.map(Report.Value.number) ?? .absent,
                ]
                    + (isByAccuracy ? [ends, total] : [total, ends])
                    + [
                        .text(rows.count == 1 ? "" : rank == 0 ? "best" : row.isTied ? "~ best" : ""),
                        .interval(row.interval), .flag(row.isTied),
                        merge.figures.auxiliaryInterference.map(Report.Value.number) ?? .absent, .text(choice(row)),
                        row.isChosen.map(Report.Value.flag) ?? .absent, row.cost.map(Report.Value.number) ?? .absent,
                        .number(merge.figures.seconds), .init(merge.figures.peakByteCount), .table(tasks(of: merge)),
                    ]
            })
    }

    /// What resolving does, merge by merge.
    private var gainTable: Report.Table {
        Report.Table(
            "gains",
            [
                .init("name", "adapted experts"),
                order == .accuracy
                    ? .init("gain", "gain of RI", .share) : .init("gain", "interference removed", .decimals(3)),
                .init(nil, "95 %", .count), .init("interval", nil),
            ],
            rows: gains.map { gain in
                [
                    .text(gain.name), .number(gain.value), .text(gain.interval.map(text) ?? "-"),
                    .interval(gain.interval),
                ]
            })
    }

    private func tasks(of merge: ComparedMerge) -> Report.Table {
        Report.Table(
            nil,
            [
                .init("name", nil), .init("samples", nil, .count), .init("interference", nil, .number),
                .init("accuracy", nil, .share),
            ],
            rows: merge.figures.tasks.map { task in
                [
                    .text(task.name), .integer(task.outcomes.distances.count), .number(task.outcomes.interference),
                    task.accuracy.map(Report.Value.number) ?? .absent,
                ]
            })
    }

    private func text(_ interval: ClosedRange<Double>) -> String {
        switch order {
        case .accuracy: "\(interval.lowerBound.percent) .. \(interval.upperBound.percent)"
        case .interference: "\(interval.lowerBound.decimals(3)) .. \(interval.upperBound.decimals(3))"
        }
    }

    private func choice(_ row: Row) -> String {
        guard row.isChosen == true else { return "" }
        guard let cost = row.cost else { return "chosen" }
        guard cost > 0 else { return "chosen, the best" }
        return switch order {
        case .accuracy: "chosen, costs \((100 * cost).decimals(1)) points"
        case .interference: "chosen, costs \(cost.decimals(3))"
        }
    }
}
