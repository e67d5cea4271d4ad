import Analysis
import Reporting
import TensorCore

/// Task-vector statistics as a report.
struct VectorsReport {
    let base: String
    let statistics: TaskVectorStatistics
    let spectra: [TaskVectorSpectra]
    let level: TaskVectorStatistics.Level
    /// Whether spectra were asked for, of which there may be none.
    let isDecomposed: Bool
    let notMeasured: [UnmeasuredTensors]

    private typealias Value = Report.Value
    private typealias Column = Report.Column
    private var names: [String] { statistics.experts }

    /// A matrix's spectrum stands with its tensor; gathered by layer or model, tensors have no place of their own, and `spectra`
    /// lists the matrices.
    var report: Report {
        var sections: [Report.Section] = [
            .table(experts), .table(pairs(statistics.model, isShown: true)), .table(groups),
        ]
        if !spectra.isEmpty { sections += [.table(spectrum)] + (names.count > 1 ? [.table(subspaces)] : []) }
        sections += [.table(unmeasured), .table(statistics.notFinite.table)]
        if level != .tensor, isDecomposed {
            sections.append(
                .table(
                    Report.Table(
                        "spectra", [Column("name", nil)] + spectrumColumns,
                        rows: spectra.map { [.text($0.tensor.text)] + values(of: $0) })))
        }
        return Report(
            title: "Task vectors over \(base)", provenance: [.init("base", .text(base))], sections: sections)
    }

    private var experts: Report.Table {
        // Where nothing of the model could be measured, 0 would look like an expert that did not move.
        let isMeasured = statistics.model.tensorCount > 0 || notMeasured.isEmpty
        return Report.Table(
            "experts",
            figureColumns(["expert", "norm", "relative", "unchanged"])
                + [Column(nil, "largest tensors"), Column("largest", nil)],
            rows: names.indices.map { place in
                let largest = statistics.largest[place]
                let norms = largest.map { [.text($0.tensor.text), .number($0.norm)] as [Value] }
                return figures(
                    names[place], statistics.model.experts[place],
                    norm: isMeasured ? statistics.model.experts[place].norm : .nan)
                    + [
                        .texts(largest.prefix(3).map { "\($0.tensor) \($0.norm.short(3))" }),
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

    /// A row for every tensor or layer. People see the norm of each expert, and the means over pairs.
    private var groups: Report.Table {
        let means = statistics.model.pairs.isEmpty ? [] : ["mean cosine", "mean conflict"]
        let matrices = level == .tensor ? Dictionary(spectra.map { ($0.tensor.description, $0) }) { $1 } : [:]
        let table = Report.Table(
            "tensors",
            [
                Column("name", level.rawValue), Column("parameters", nil, .count), Column("experts", nil),
                Column("pairs", nil),
            ] + names.map { Column(nil, "norm \($0)", .number) }
                + zip(means, [.decimals(4), .share] as [Report.Kind]).map { Column(nil, $0, $1) }
                + (level == .tensor ? spectrumColumns : []),
            rows: statistics.groups.map { group in
                let experts = zip(names, group.experts).map { figures($0, $1, norm: $1.norm) }
                return [
                    .text(group.name), .integer(group.parameterCount),
                    .table(Report.Table("experts", figureColumns(), rows: experts)), .table(pairs(group)),
                ] + group.experts.map { .number($0.norm) }
                    + [
                        Value(mean(group.pairs.compactMap(\.cosine))),
                        Value(mean(group.pairs.compactMap(\.signConflict))),
                    ].prefix(means.count)
                    + (level == .tensor ? values(of: matrices[group.name]) : [])
            })
        return level == .model ? table.forDocuments : table
    }

    // MARK: - Spectra

    private var spectrumColumns: [Column] {
        ["experts", "singular_interference", "alignments"].map { Column("spectrum.\($0)", nil) }
    }

    /// In the order of the columns.
    private func values(of matrix: TaskVectorSpectra?) -> [Value] {
        guard let matrix else { return [.absent, .absent, .absent] }
        let experts = Report.Table(
            "experts",
            ["name", "rank", "stable_rank", "effective_rank", "top_energy", "singular_values"].map { Column($0, nil) },
            rows: zip(names, matrix.experts).map { name, expert in
                [
                    .text(name), rank(of: expert), .init(expert.stableRank), .init(expert.effectiveRank),
                    .init(expert.topEnergy), .numbers(expert.singularValues.map(Double.init)),
                ]
            })
        let alignments = Report.Table(
            "alignments", ["a", "b", "value"].map { Column($0, nil) },
            rows: matrix.alignments.map { [.text(names[$0.a]), .text(names[$0.b]), .init($0.value)] })
        return [.table(experts), .init(matrix.interference), .table(alignments)]
    }

    private var spectrum: Report.Table {
        Report.Table(
            nil,
            [
                Column(nil, "matrix"), Column(nil, "expert"), Column(nil, "largest", .number),
                Column(nil, "rank", .count), Column(nil, "stable rank", .number),
                Column(nil, "effective rank", .number), Column(nil, "top energy", .share),
            ],
            rows: spectra.flatMap { matrix in
                zip(names, matrix.experts).map { name, expert in
                    [
                        .text(matrix.tensor.description), .text(name),
                        .init(expert.singularValues.first.map(Double.init)), rank(of: expert),
                        .init(expert.stableRank), .init(expert.effectiveRank), .init(expert.topEnergy),
                    ]
                }
            })
    }

    private func rank(of expert: TaskVectorSpectra.Spectrum) -> Value {
        expert.numericalRank.map(Value.integer) ?? .number(.nan)
    }

    private var subspaces: Report.Table {
        Report.Table(
            nil,
            [
                Column(nil, "matrix"), Column(nil, "singular interference", .number),
                Column(nil, "mean alignment", .number),
            ],
            rows: spectra.map { matrix in
                [
                    .text(matrix.tensor.description), .init(matrix.interference),
                    .init(mean(matrix.alignments.compactMap(\.value))),
                ]
            })
    }

    // MARK: - What could not be measured

    private var unmeasured: Report.Table {
        Report.Table(
            "not_measured", ["reason", "tensors", "bytes", "share"].map { Column($0, nil) },
            rows: notMeasured.map {
                [.text($0.reason), .integer($0.names.count), .integer($0.byteCount), .number($0.share)]
            })
    }

    private func mean(_ values: [Double]) -> Double? {
        values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }
}
