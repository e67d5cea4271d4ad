import Interference
import Reporting
import Workflow

/// What was measured of a merged model, and what its weights say of it, as a report.
struct InterferenceReport {
    let drift: MergeDrift
    /// One for each distance, or none.
    let matrices: [InterferenceMatrix]
    let estimates: EstimateJob.Outcome?
    /// Of all experts, also of those without data.
    let names: [String]

    private typealias Value = Report.Value
    private typealias Column = Report.Column
    private var distance: Distance { drift.distances[0] }
    private var hasAccuracy: Bool { drift.tasks.contains { $0.mergedAccuracy != nil } }

    var report: Report {
        var report = Report(
            title: "Cross-task interference", provenance: [.init("distance", .text(distance.rawValue))],
            sections: [.facts(totals), .table(figures), .table(tasks)] + (hasAccuracy ? [.table(accuracies)] : [])
                + pictures)
        if let matrix = matrices.first { report.sections.append(.matrix(self.matrix("matrix", matrix))) }
        report.sections += others
        if let estimates {
            report.sections += [
                .table(estimates.pairs.isEmpty ? pairs(estimates).forDocuments : pairs(estimates)),
                .table(merged(estimates)),
                .facts(self.facts("estimates.merge", estimates.merge)),
            ]
        }
        report.summary = summary
        return report
    }

    // MARK: what documents have

    private var totals: [Report.Fact] {
        var facts: [Report.Fact] = []
        func add(_ key: String, _ figure: Figure?, interval: String) {
            guard let figure else { return }
            facts += [.init(key, .number(figure.value)), .init(interval, ends(figure))]
        }
        add("total", drift.totals[0], interval: "interval")
        add("mean_agreement", drift.agreement, interval: "mean_agreement_interval")
        add("mean_accuracy_expert", drift.expertAccuracy, interval: "mean_accuracy_expert_interval")
        add("mean_accuracy_merged", drift.mergedAccuracy, interval: "mean_accuracy_merged_interval")
        return facts
    }

    private var figures: Report.Table {
        let keys = ["agreement", "cka", "accuracy_expert", "accuracy_merged"]
        return Report.Table(
            "tasks",
            [Column("name", nil), Column("interference", nil), Column("interval", nil), Column("samples", nil)]
                + keys.flatMap { [Column($0, nil), Column("\($0)_interval", nil)] },
            rows: drift.tasks.map { task in
                [
                    .text(task.name), .number(task.interference[0].value), ends(task.interference[0]),
                    .integer(task.samples),
                ]
                    + [task.agreement, task.similarity, task.expertAccuracy, task.mergedAccuracy].flatMap { figure in
                        [figure.map { .number($0.value) } ?? .absent, figure.map(ends) ?? .absent] as [Value]
                    }
            })
    }

    /// What was measured on each input, a row for each, numbered from 0 within its task.
    var inputs: Report.Table {
        let keys = drift.distances.map(\.rawValue) + ["agreement", "accuracy_expert", "accuracy_merged"]
        return Report.Table(
            "inputs", (["task", "input"] + keys).map { Column($0, nil) },
            rows: drift.tasks.flatMap { task in
                let outcomes = task.outcomes
                let columns = outcomes.distances + [outcomes.agreements] as [[Double]?]
                return (0..<task.samples).map { n in
                    [.text(task.name), .integer(n)]
                        + (columns + [outcomes.expertHits, outcomes.mergedHits]).map { Value($0?[n]) }
                }
            })
    }

    /// What was measured in other distances; with one distance nothing.
    private var others: [Report.Section] {
        guard drift.distances.count > 1 else { return [] }
        let document = Report.Table(
            "distances",
            ["distance", "total", "interval", "tasks", "matrix"].map { Column($0, nil) },
            rows: drift.distances.indices.map { place in
                [
                    .text(drift.distances[place].rawValue), .number(drift.totals[place].value),
                    ends(drift.totals[place]),
                    .table(
                        Report.Table(
                            nil, ["name", "interference", "interval"].map { Column($0, nil) },
                            rows: drift.tasks.map { task in
                                [
                                    .text(task.name), .number(task.interference[place].value),
                                    ends(task.interference[place]),
                                ]
                            })),
                    matrices.isEmpty ? .absent : matrix("matrix", matrices[place]).value,
                ]
            })
        let places = drift.distances.indices.dropFirst()
        func cells(_ figures: [Figure]) -> [Value] {
            places.flatMap { [.number(figures[$0].value), .text(text(figures[$0], .decimals(4)))] as [Value] }
        }
        let shown = Report.Table(
            nil,
            [Column(nil, "task")]
                + places.flatMap {
                    [Column(nil, drift.distances[$0].rawValue, .decimals(4)), Column(nil, "95 %", .count)]
                },
            rows: drift.tasks.map { [.text($0.name)] + cells($0.interference) },
            footer: [.text("total")] + cells(drift.totals))
        return [.table(document), .table(shown)]
            + matrices.dropFirst().map { .matrix(matrix(nil, $0)) }
    }

    // MARK: what people see

    private var tasks: Report.Table {
        let hasSimilarity = drift.tasks.contains { $0.similarity != nil }
        return Report.Table(
            nil,
            [
                Column(nil, "task"), Column(nil, "samples", .count),
                Column(nil, "interference", .decimals(4), gauge: .bar),
                Column(nil, "95 %", .count), Column(nil, "agreement", .share), Column(nil, "95 %", .count),
                Column(nil, hasSimilarity ? "CKA" : nil, .decimals(3)),
                Column(nil, hasSimilarity ? "95 %" : nil, .count),
            ],
            rows: drift.tasks.map { task in
                [
                    .text(task.name), .integer(task.samples), .number(task.interference[0].value),
                    .text(text(task.interference[0], .decimals(3))), .number(task.agreement.value),
                    .text(text(task.agreement, .share)), .init(task.similarity?.value),
                    .text(task.similarity.map { text($0, .decimals(3)) } ?? "-"),
                ]
            },
            footer: [
                .text("total, mean"), .text(""), .number(drift.totals[0].value),
                .text(text(drift.totals[0], .decimals(3))),
                .number(drift.agreement.value), .text(text(drift.agreement, .share)), .text(""), .text(""),
            ])
    }

    private var accuracies: Report.Table {
        func cells(_ figure: Figure?) -> [Value] {
            [.init(figure?.value), .text(figure.map { text($0, .share) } ?? "-")]
        }
        let means = cells(drift.expertAccuracy) + cells(drift.mergedAccuracy)
        return Report.Table(
            nil,
            [
                Column(nil, "accuracy"), Column(nil, "expert", .share), Column(nil, "95 %", .count),
                Column(nil, "merged", .share), Column(nil, "95 %", .count),
            ],
            rows: drift.tasks.map { [.text($0.name)] + cells($0.expertAccuracy) + cells($0.mergedAccuracy) },
            footer: drift.mergedAccuracy == nil ? nil : [.text("mean")] + means)
    }

    private var pictures: [Report.Section] {
        let labels = drift.tasks.map(\.name)
        func group(_ name: String, _ figures: [Figure?]) -> Report.Bars.Group {
            .init(name, figures.map { $0?.value }, intervals: figures.map { $0?.interval })
        }
        func bars(_ caption: String, _ kind: Report.Kind, _ groups: [Report.Bars.Group]) -> Report.Section {
            .bars(Report.Bars(caption, title: "task", labels: labels, kind: kind, groups: groups))
        }
        let measured = [
            bars(
                "Interference of each task (\(distance.rawValue)), with 95 % intervals", .decimals(4),
                [group(distance.rawValue, drift.tasks.map { $0.interference[0] })]),
            bars(
                "Inputs on which the merged model chooses as the expert does", .share,
                [group("agreement", drift.tasks.map(\.agreement))]),
        ]
        guard hasAccuracy else { return measured }
        return measured + [
            bars(
                "Accuracy of the experts and of the merged model, with 95 % intervals", .share,
                [
                    group("expert", drift.tasks.map(\.expertAccuracy)),
                    group("merged", drift.tasks.map(\.mergedAccuracy)),
                ])
        ]
    }

    private func matrix(_ key: String?, _ matrix: InterferenceMatrix) -> Report.Matrix {
        var shown = Report.Matrix(
            key, title: key == nil ? "\(matrix.distance.rawValue) on \\ from" : "on \\ from", kind: .decimals(4),
            rows: names, columns: names,
            values: matrix.entries.map { $0.map(\.value) }, scale: .sequential,
            caption: "What each expert alone does to the task of the row (\(matrix.distance.rawValue))")
        shown.intervals = matrix.entries.map { $0.map(\.interval) }
        return shown
    }

    private func pairs(_ estimates: EstimateJob.Outcome) -> Report.Table {
        Report.Table(
            "estimates.pairs", [Column(nil, "from weights"), Column("a", nil), Column("b", nil)] + estimateColumns,
            rows: estimates.pairs.map { pair in
                let (a, b) = (names[pair.a], names[pair.b])
                return [.text("\(a) / \(b)"), .text(a), .text(b)] + values(pair.estimate)
            })
    }

    private func merged(_ estimates: EstimateJob.Outcome) -> Report.Table {
        Report.Table(
            "estimates.experts", [Column("name", "merged and")] + estimateColumns,
            rows: zip(names, estimates.merged).map { [.text($0)] + values($1) },
            footer: [.text("all")] + values(estimates.merge))
    }

    private func facts(_ key: String, _ estimate: EstimateJob.Estimate) -> [Report.Fact] {
        zip(estimateColumns, values(estimate)).map { .init("\(key).\($0.key ?? "")", $1) }
    }

    private var estimateColumns: [Column] {
        [
            Column("cosine", "cosine", .decimals(3)), Column("sign_conflict", "sign conflict", .share),
            Column("subspace_overlap", "overlap", .decimals(3)), Column("svc", "SVC", .decimals(3)),
            Column("counted_twice", "counted twice", .share),
        ]
    }

    private func values(_ estimate: EstimateJob.Estimate) -> [Value] {
        [
            .init(estimate.cosine), .init(estimate.signConflict), .init(estimate.subspaceOverlap),
            .init(estimate.coefficient), .init(estimate.countedTwice),
        ]
    }

    /// Nothing of figures that are not finite.
    private var summary: [String] {
        var sentences: [String] = []
        let known = drift.tasks.filter { $0.interference[0].interval != nil }
        if known.count == drift.tasks.count, drift.tasks.count > 1, drift.totals[0].value > 0,
            let worst = known.max(by: { $0.interference[0].value < $1.interference[0].value })
        {
            sentences.append(
                "\(worst.name) suffers most: \(told(worst.interference[0], .decimals(3))) of an interference of "
                    + "\(told(drift.totals[0], .decimals(3))) in all.")
        }
        if drift.agreement.interval != nil {
            var sentence =
                "The merged model chooses as its experts do on \(told(drift.agreement, .share)) of the inputs"
                + (drift.tasks.count > 1 ? ", on average over the tasks" : "")
            if let least = drift.tasks.min(by: { $0.agreement.value < $1.agreement.value }), drift.tasks.count > 1 {
                sentence += ", least on \(least.name) (\(least.agreement.value.percent))"
            }
            sentences.append(sentence + ".")
        }
        if let expert = drift.expertAccuracy, let merged = drift.mergedAccuracy, expert.interval != nil,
            merged.interval != nil
        {
            sentences.append(
                "The mean accuracy of the experts is \(told(expert, .share)), that of the merged model "
                    + "\(told(merged, .share)).")
        }
        if let entries = matrices.first?.entries {
            let pairs = names.indices.flatMap { i in
                names.indices.filter { $0 != i }.map { (i: i, j: $0, figure: entries[i][$0]) }
            }
            if pairs.allSatisfy({ $0.figure.interval != nil }),
                let worst = pairs.max(by: { $0.figure.value < $1.figure.value }), worst.figure.value > 0
            {
                sentences.append(
                    "Of single experts, \(names[worst.j]) does most to another's task: "
                        + "\(told(worst.figure, .decimals(3))) on \(names[worst.i]).")
            }
        }
        return sentences
    }

    private func told(_ figure: Figure, _ kind: Report.Kind) -> String {
        guard let interval = figure.interval else { return text(figure.value, kind) }
        return "\(text(figure.value, kind)) (\(text(interval, kind)))"
    }

    private func text(_ figure: Figure, _ kind: Report.Kind) -> String {
        figure.interval.map { text($0, kind) } ?? "-"
    }

    private func text(_ interval: ClosedRange<Double>, _ kind: Report.Kind) -> String {
        "\(text(interval.lowerBound, kind)) .. \(text(interval.upperBound, kind))"
    }

    private func text(_ number: Double, _ kind: Report.Kind) -> String {
        switch kind {
        case .decimals(let count): number.decimals(count)
        default: number.percent
        }
    }

    /// Both ends; null where a figure is not finite.
    private func ends(_ figure: Figure) -> Value {
        figure.interval.map { .numbers([$0.lowerBound, $0.upperBound]) } ?? .none
    }
}
