import Analysis
import Reporting
import TensorCore

/// Task-vector statistics as a report.
struct VectorsReport {
    let base: String
    let statistics: TaskVectorStatistics
    let spectra: [TaskVectorSpectra]
    let level: TaskVectorStatistics.Level
    /// Which of the groups are listed.
    let listing: GroupListing
    /// Whether spectra were asked for, of which there may be none.
    let isDecomposed: Bool
    let notMeasured: [UnmeasuredTensors]

    typealias Value = Report.Value
    typealias Column = Report.Column
    var names: [String] { statistics.experts }
    private var hasPairs: Bool { !statistics.model.pairs.isEmpty }

    /// A matrix's spectrum stands with its tensor; gathered by layer, kind or model, tensors have no place of their own, and
    /// `spectra` lists the matrices, as it does those of stacks. Sentences and pictures are about all of them, listed or not.
    var report: Report {
        let groups = listing.choose(statistics.groups)
        let listed = listing.isComplete ? spectra : spectra(of: groups)
        let withTensor = level == .tensor ? listed.filter { $0.matrix.slice == nil } : []
        let apart = level == .tensor ? listed.filter { $0.matrix.slice != nil } : listed
        var sections: [Report.Section] = [
            .table(experts), .facts(agreement), .table(pairs(statistics.model, isShown: names.count < 3)),
        ]
        if names.count > 2 { sections += heatMaps }
        sections.append(.table(table(of: groups, withTensor)))
        sections += bars
        if !listed.isEmpty {
            sections.append(.table(spectrum(listed)))
            if names.count > 1 { sections.append(.table(subspaces(listed))) }
        }
        sections += curves(spectra)
        sections += [.table(unmeasured), .table(statistics.notFinite.table)]
        if isDecomposed, level != .tensor || !apart.isEmpty {
            sections.append(
                .table(
                    Report.Table(
                        "spectra", [Column("name", nil)] + spectrumColumns,
                        rows: apart.map { [.text($0.matrix.name)] + values(of: $0) })))
        }
        var report = Report(
            title: "Task vectors over \(base)", provenance: [.init("base", .text(base))], sections: sections)
        report.summary = VectorsSummary(statistics: statistics, spectra: spectra).sentences
        return report
    }

    /// The matrices of what is listed, in the order of the list.
    private func spectra(of groups: [TaskVectorGroup]) -> [TaskVectorSpectra] {
        let matrices = Dictionary(grouping: spectra) { level.group(of: $0.matrix.tensor.name) }
        return groups.flatMap { matrices[$0.name] ?? [] }
    }

    private var experts: Report.Table {
        // Where nothing of the model could be measured, 0 would look like an expert that did not move.
        let isMeasured = statistics.model.tensorCount > 0 || notMeasured.isEmpty
        return Report.Table(
            "experts",
            figureColumns(["expert", "norm", "relative", "unchanged"])
                + [Column(nil, "most in"), Column(nil, "with norm", .number), Column("largest", nil)],
            rows: names.indices.map { place in
                let largest = statistics.largest[place]
                let norms = largest.map { [.text($0.tensor.text), .number($0.norm)] as [Value] }
                return figures(
                    names[place], statistics.model.experts[place],
                    norm: isMeasured ? statistics.model.experts[place].norm : .nan)
                    + [
                        .init(largest.first?.tensor.description), .init(largest.first?.norm),
                        .table(Report.Table("largest", [Column("tensor", nil), Column("norm", nil)], rows: norms)),
                    ]
            })
    }

    private func figureColumns(_ titles: [String] = []) -> [Column] {
        let columns: [(String, Report.Kind)] = [
            ("name", .text), ("norm", .number), ("relative_norm", .number), ("unchanged", .share),
        ]
        return columns.enumerated().map {
            Column($1.0, titles.isEmpty ? nil : titles[$0], $1.1, gauge: $1.0 == "norm" ? .bar : nil)
        }
    }

    private func figures(_ name: String, _ expert: TaskVectorGroup.Expert, norm: Double) -> [Value] {
        [.text(name), .number(norm), .init(expert.relativeNorm), .init(expert.unchanged)]
    }

    /// What all experts make of the same entries.
    private var agreement: [Report.Fact] {
        let model = statistics.model
        return [
            .init("sign_conflict", hasPairs ? "entries moved both ways" : nil, .share, .init(model.signConflict)),
            .init(
                "sign_conflict_weighted", hasPairs ? "cancelled in the sum" : nil, .share,
                .init(model.signConflictWeighted)),
        ]
    }

    // MARK: - Pairs

    private func pairs(_ group: TaskVectorGroup, isShown: Bool = false) -> Report.Table {
        let table = Report.Table(
            "pairs",
            [
                Column(nil, "pair"), Column("a", nil), Column("b", nil), Column("cosine", "cosine", .decimals(4)),
                Column("sign_conflict", "sign conflict", .share, gauge: .bar),
                Column("topk_overlap", "top overlap", .share),
            ],
            rows: group.pairs.map { pair in
                let (a, b) = (names[pair.a], names[pair.b])
                return [
                    .text("\(a) / \(b)"), .text(a), .text(b), .init(pair.cosine), .init(pair.signConflict),
                    .init(pair.topOverlap),
                ]
            })
        return isShown && !group.pairs.isEmpty ? table : table.forDocuments
    }

    /// For people; documents have the pairs.
    private var heatMaps: [Report.Section] {
        func map(
            _ title: String, _ caption: String, _ kind: Report.Kind, _ scale: Report.Scale,
            _ figure: (TaskVectorGroup.Pair) -> Double?
        ) -> Report.Section {
            // What each is beside itself goes without saying, and would outshine the rest.
            var values = names.map { _ in names.map { _ in Double.nan } }
            for pair in statistics.model.pairs {
                let value = figure(pair) ?? .nan
                values[pair.a][pair.b] = value
                values[pair.b][pair.a] = value
            }
            return .matrix(
                Report.Matrix(
                    nil, title: title, kind: kind, rows: names, columns: names, values: values, scale: scale,
                    caption: caption))
        }
        return [
            map("cosine", "Cosine of task vectors", .decimals(3), .diverging, \.cosine),
            map(
                "sign conflict",
                "Entries that two experts both moved, and in opposite directions; colours from chance, 50 %", .share,
                .around(0.5, "chance"), \.signConflict),
            map(
                "top overlap", "Entries among the largest of both", .share, .sequential, \.topOverlap),
        ]
    }

    // MARK: - Parts of the model

    /// A row for every tensor, layer or kind. People see the norm of each expert, and the means over pairs.
    private func table(of groups: [TaskVectorGroup], _ spectra: [TaskVectorSpectra]) -> Report.Table {
        let means = hasPairs ? ["mean cosine", "mean conflict"] : []
        let matrices = Dictionary(spectra.map { ($0.matrix.name, $0) }) { $1 }
        let table = Report.Table(
            "tensors",
            [
                Column("name", level.rawValue), Column("parameters", "entries", .count), Column("experts", nil),
                Column("pairs", nil), Column("sign_conflict", nil, .share),
                Column("sign_conflict_weighted", nil, .share),
            ] + names.map { Column(nil, "norm \($0)", .number) }
                + zip(means, [.decimals(4), .share] as [Report.Kind]).map { Column(nil, $0, $1) }
                + (level == .tensor ? spectrumColumns : []),
            rows: groups.map { group in
                let experts = zip(names, group.experts).map { figures($0, $1, norm: $1.norm) }
                return [
                    .text(group.name), .integer(group.parameterCount),
                    .table(Report.Table("experts", figureColumns(), rows: experts)), .table(pairs(group)),
                    .init(group.signConflict), .init(group.signConflictWeighted),
                ] + group.experts.map { .number($0.norm) }
                    + [Value(group.meanCosine), Value(group.meanConflict)].prefix(means.count)
                    + (level == .tensor ? values(of: matrices[group.name]) : [])
            })
        return level == .model ? table.forDocuments : table
    }

    /// Norms and conflict along the model, and by kind of module. The summary speaks of conflict, so terminals have its figures, too, unless
    /// the table of parts has them all.
    private var bars: [Report.Section] {
        [(statistics.layers, TaskVectorStatistics.Level.layer), (statistics.kinds, .kind)].flatMap {
            groups, level -> [Report.Section] in
            guard groups.count > 1 else { return [] }
            let title = level.rawValue
            func bars(
                _ caption: String, _ kind: Report.Kind, _ bars: [Report.Bars.Group], isForPages: Bool = true
            ) -> Report.Section {
                var chart = Report.Bars(caption, title: title, labels: groups.map(\.name), kind: kind, groups: bars)
                chart.isForPages = isForPages
                return .bars(chart)
            }
            let isListed = level == self.level && listing.isComplete
            let norms = names.indices.map { expert in
                Report.Bars.Group(names[expert], groups.map { $0.experts[expert].relativeNorm })
            }
            let conflict = [
                Report.Bars.Group("mean conflict", groups.map(\.meanConflict)),
                Report.Bars.Group("cancelled in the sum", groups.map(\.signConflictWeighted)),
            ]
            return [bars("Norm relative to the base's by \(title)", .number, norms)]
                + (hasPairs ? [bars("Sign conflict by \(title)", .share, conflict, isForPages: isListed)] : [])
        }
    }

    // MARK: - What could not be measured

    private var unmeasured: Report.Table {
        Report.Table(
            "not_measured", ["reason", "tensors", "bytes", "share"].map { Column($0, nil) },
            rows: notMeasured.map {
                [.text($0.reason), .integer($0.names.count), .integer($0.byteCount), .number($0.share)]
            })
    }
}

extension TaskVectorGroup {
    /// Over the pairs that have one; nil when none has.
    var meanCosine: Double? { pairs.compactMap(\.cosine).mean }
    var meanConflict: Double? { pairs.compactMap(\.signConflict).mean }
}

extension [Double] {
    var mean: Double? { isEmpty ? nil : reduce(0, +) / Double(count) }
}
