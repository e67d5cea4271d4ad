import Interference
import Reporting
import TensorCore

extension RunReport {
    /// The report as a table for people, followed by what was written.
    public var text: String {
        var text = ""
        if !tasks.isEmpty { text += table.rendered() + "\n" }
        let resolved = recipe.resolve.map { " after \($0.options.steps.grouped) steps of RI per expert" } ?? ""
        text += "\(recipe.mergeMethod) of \(recipe.models.count) experts\(resolved), \(duration.readable)\n"
        if let folder = adapted.first?.path?.removingLastComponent() {
            let done = adapted.count { $0.training == nil }
            let note = done == 0 ? "" : done == adapted.count ? " (done before)" : " (\(done) of them done before)"
            text += "adapted experts: \(folder.string.escapingControlCharacters)\(note)\n"
        }
        if let output = recipe.output {
            let note = mergeWasDone ? " (done before)" : ""
            text += "merged checkpoint: \(output.path.string.escapingControlCharacters)\(note)\n"
        }
        return text
    }

    /// A row for every task, and one of means and totals; the columns about RI are missing when nothing was resolved.
    var table: Table {
        let hasResolved = mergedResolved != nil
        let titles =
            ["base", "expert", "merged"] + (hasResolved ? ["merged + RI"] : []) + ["interference"]
            + (hasResolved ? ["with RI"] : [])
        var table = Table([Table.Column("task")] + titles.map { Table.Column($0, .right) })
        for row in rows + [summary] {
            table.append(
                [row.name, percent(row.base), percent(row.expert), percent(row.merged)]
                    + (hasResolved ? [percent(row.mergedResolved)] : []) + [number(row.interference)]
                    + (hasResolved ? [number(row.interferenceResolved)] : []))
        }
        return table
    }

    private func percent(_ share: Double?) -> String { share?.percent ?? "-" }
    private func number(_ value: Double?) -> String { value.map { $0.decimals(3) } ?? "-" }

    /// The report as JSON, with the figures of the table.
    public var json: JSONOutput {
        [
            "recipe": .string(recipe.path.string),
            "merge_method": .string(recipe.mergeMethod),
            "tasks": .array(
                rows.map { row in
                    [
                        "name": .string(row.name), "samples": .integer(row.samples ?? 0),
                        "accuracy": accuracies(of: row),
                        "interference": interferences(of: row),
                    ]
                }),
            "mean_accuracy": accuracies(of: summary),
            "total_interference": interferences(of: summary),
            "resolve": recipe.resolve == nil ? .null : .array(adapted.map(\.json)),
            "output": .optional(recipe.output?.path.string),
            "skipped": .strings(skippedStages),
            "warnings": .strings(warnings),
            "seconds": .number(duration.seconds),
        ]
    }

    /// Whether anything was adapted or merged, rather than found as an earlier run had left it.
    public var didWork: Bool { adapted.contains { $0.training != nil } || !mergeWasDone }

    private var skippedStages: [String] {
        let isResolved = !adapted.isEmpty && adapted.allSatisfy { $0.training == nil }
        return (isResolved ? ["resolve"] : []) + (mergeWasDone ? ["merge"] : [])
    }

    private func accuracies(of row: Row) -> JSONOutput {
        [
            "base": .optional(row.base), "expert": .optional(row.expert), "merged": .optional(row.merged),
            "merged_resolved": .optional(row.mergedResolved),
        ]
    }

    private func interferences(of row: Row) -> JSONOutput {
        ["merged": .optional(row.interference), "merged_resolved": .optional(row.interferenceResolved)]
    }
}

extension AdaptedExpert {
    /// What `resolve --json` says of one expert; `output` is a path from the current folder.
    public var json: JSONOutput {
        func ends(_ value: KeyPath<ResolverStep, Double>) -> JSONOutput {
            guard let trace = training?.trace, let first = trace.first, let last = trace.last else { return .null }
            return ["first": .number(first[keyPath: value]), "last": .number(last[keyPath: value])]
        }
        let object: JSONOutput = [
            "name": .string(name),
            "output": .optional(path?.string),
            "steps": .integer(training?.trace.count ?? 0),
            "seconds": .number(training?.duration.seconds ?? 0),
            "loss": ends(\.loss),
            "preservation": ends(\.preservation),
            "interference": ends(\.interference),
        ]
        return object.adding("resumed_at", training?.resumedAt.map(JSONOutput.integer))
    }
}

extension JSONOutput {
    fileprivate static func optional(_ number: Double?) -> JSONOutput { number.map(JSONOutput.number) ?? .null }
}
