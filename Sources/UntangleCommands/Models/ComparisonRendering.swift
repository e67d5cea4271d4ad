import Reporting
import TensorCore
import Workflow

extension Comparison {
    /// The table for people.
    var text: String {
        let hasAccuracy = rows.contains { $0.merge.meanAccuracy != nil }
        let hasChoice = rows.contains { $0.merge.figures.auxiliaryInterference != nil }
        let accuracy = hasAccuracy ? [Table.Column("accuracy", .right)] : []
        let choice = hasChoice ? [Table.Column("on auxiliary", .right), Table.Column("without labels")] : []
        let figures = order == .accuracy ? ["95 %", "interference"] : ["interference", "95 %"]
        var table = Table(
            [.init("merge")] + accuracy + figures.map { .init($0, .right) } + [.init("")] + choice
                + [.init("time", .right), .init("memory", .right)])
        for (rank, row) in rows.enumerated() {
            let merge = row.merge
            let interference = merge.interference.decimals(3)
            var cells = [merge.name]
            if hasAccuracy { cells.append(merge.meanAccuracy?.percent ?? "-") }
            cells += order == .accuracy ? [interval(row), interference] : [interference, interval(row)]
            cells.append(rank == 0 ? "best" : row.isTied ? "~ best" : "")
            if hasChoice {
                cells += [merge.figures.auxiliaryInterference?.decimals(3) ?? "-", self.choice(row)]
            }
            cells.append(Duration.seconds(merge.figures.seconds).readable)
            cells.append(merge.figures.peakByteCount.map { "\(ByteSize($0))" } ?? "-")
            table.append(cells)
        }
        return table.rendered()
    }

    private func interval(_ row: Row) -> String {
        guard let interval = row.interval else { return "-" }
        switch order {
        case .accuracy: return "\(interval.lowerBound.percent) .. \(interval.upperBound.percent)"
        case .interference: return "\(interval.lowerBound.decimals(3)) .. \(interval.upperBound.decimals(3))"
        }
    }

    private func choice(_ row: Row) -> String {
        guard row.isChosen == true, let cost = row.cost else { return "" }
        guard cost > 0 else { return "chosen, the best" }
        switch order {
        case .accuracy: return "chosen, costs \((100 * cost).decimals(1)) points"
        case .interference: return "chosen, costs \(cost.decimals(3))"
        }
    }

    /// What `--json` prints.
    var json: JSONOutput {
        [
            "sorted_by": .string(order.rawValue),
            "rows": .array(rows.map(json)),
            "best": .optional(rows.first?.merge.name),
        ]
    }

    private func json(_ row: Row) -> JSONOutput {
        let merge = row.merge
        let document: JSONOutput = [
            "name": .string(merge.name), "method": .string(merge.method),
            "parameters": .object(merge.parameters.map { .init($0.name, .string($0.value)) }),
            "resolved": .bool(merge.isResolved),
        ]
        return document.adding("mean_accuracy", merge.meanAccuracy.map(JSONOutput.number))
            .adding("interference", .number(merge.interference))
            .adding("interval", row.interval.map { [.number($0.lowerBound), .number($0.upperBound)] })
            .adding("tied_with_best", .bool(row.isTied))
            .adding("auxiliary_interference", merge.figures.auxiliaryInterference.map(JSONOutput.number))
            .adding("chosen", row.isChosen.map(JSONOutput.bool))
            .adding("cost", row.cost.map(JSONOutput.number))
            .adding("seconds", .number(merge.figures.seconds))
            .adding("peak_bytes", merge.figures.peakByteCount.map(JSONOutput.integer) ?? .null)
            .adding(
                "tasks",
                .array(
                    merge.figures.tasks.map { task in
                        ([
                            "name": .string(task.name), "samples": .integer(task.outcomes.distances.count),
                            "interference": .number(task.outcomes.interference),
                        ] as JSONOutput)
                        .adding("accuracy", task.accuracy.map(JSONOutput.number))
                    }))
    }
}
