import Analysis
import Reporting

// What --spectrum adds.
extension VectorsReport {
    var spectrumColumns: [Column] {
        [
            "experts", "singular_interference", "singular_interference_full", "alignments", "alignment_rank",
            "svc.directions", "svc.mean", "svc.counted_twice",
        ].map { Column("spectrum.\($0)", nil) }
    }

    /// In the order of the columns.
    func values(of matrix: TaskVectorSpectra?) -> [Value] {
        guard let matrix else { return spectrumColumns.map { _ in .absent } }
        let sum = matrix.sum
        let isAlone = names.count == 1
        let experts = Report.Table(
            "experts",
            [
                "name", "rank", "stable_rank", "effective_rank", "effective_rank_linear", "top_energy", "energy_ranks",
                "alignment_ratio", "svc", "singular_values",
            ].map { Column($0, nil) },
            rows: names.indices.map { place in
                let expert = matrix.experts[place]
                return [
                    .text(names[place]), rank(of: expert), .init(expert.stableRank), .init(expert.effectiveRank),
                    .init(expert.linearEffectiveRank), .init(expert.topEnergy), energyRanks(of: expert),
                    isAlone ? .absent : .init(sum?.alignmentRatios[place]),
                    isAlone ? .absent : .init(sum?.experts[place]),
                    .numbers(expert.singularValues),
                ]
            })
        let alignments = Report.Table(
            "alignments", ["a", "b", "value"].map { Column($0, nil) },
            rows: matrix.alignments.map { [.text(names[$0.a]), .text(names[$0.b]), .init($0.value)] })
        return [
            .table(experts), .init(matrix.interference), .init(matrix.fullInterference), .table(alignments),
            isAlone ? .absent : .init(sum?.alignmentRank),
            isAlone ? .absent : sum.map { .list($0.directions.map { Value($0) }) } ?? .none,
            isAlone ? .absent : .init(sum?.mean), isAlone ? .absent : .init(sum?.countedTwice),
        ]
    }

    private func energyRanks(of expert: TaskVectorSpectra.Spectrum) -> Value {
        guard let ranks = expert.energyRanks else { return expert.numericalRank == nil ? .number(.nan) : .none }
        return .facts(
            zip(TaskVectorSpectra.energyShares, ranks).map { share, rank in
                .init(String(Int((share * 100).rounded())), .integer(rank))
            })
    }

    private func rank(of expert: TaskVectorSpectra.Spectrum) -> Value {
        expert.numericalRank.map(Value.integer) ?? .number(.nan)
    }

    func spectrum(_ spectra: [TaskVectorSpectra]) -> Report.Table {
        Report.Table(
            nil,
            [
                Column(nil, "matrix"), Column(nil, "expert"), Column(nil, "largest", .number),
                Column(nil, "rank", .count), Column(nil, "stable rank", .number),
                Column(nil, "effective rank", .number), Column(nil, "top energy", .share),
            ]
                + (names.count > 1
                    ? [Column(nil, "alignment ratio", .decimals(3)), Column(nil, "SVC", .decimals(3))] : []),
            rows: spectra.flatMap { matrix in
                names.indices.map { place in
                    let expert = matrix.experts[place]
                    return [
                        .text(matrix.matrix.name), .text(names[place]), .init(expert.singularValues.first),
                        rank(of: expert), .init(expert.stableRank), .init(expert.effectiveRank),
                        .init(expert.topEnergy),
                    ]
                        + (names.count > 1
                            ? [.init(matrix.sum?.alignmentRatios[place]), .init(matrix.sum?.experts[place])] : [])
                }
            })
    }

    func subspaces(_ spectra: [TaskVectorSpectra]) -> Report.Table {
        Report.Table(
            nil,
            [
                Column(nil, "matrix"), Column(nil, "singular interference", .number),
                Column(nil, "mean alignment", .number), Column(nil, "SVC", .decimals(3)),
                Column(nil, "counted twice", .share),
            ],
            rows: spectra.map { matrix in
                [
                    .text(matrix.matrix.name), .init(matrix.interference), .init(matrix.meanAlignment),
                    .init(matrix.sum?.mean), .init(matrix.sum?.countedTwice),
                ]
            })
    }

    /// Spectra of the matrices that stand out, and of no others, so that a page stays small.
    func curves(_ spectra: [TaskVectorSpectra]) -> [Report.Section] {
        let strongest = spectra.max { $0.largest < $1.largest }
        let fiercest = spectra.filter { ($0.interference ?? 0) > 0 }.max {
            ($0.interference ?? 0) < ($1.interference ?? 0)
        }
        var chosen: [(matrix: TaskVectorSpectra, reason: String)] = []
        if let fiercest { chosen.append((fiercest, "largest singular interference")) }
        if let strongest, strongest.largest > 0, !chosen.contains(where: { $0.matrix.matrix == strongest.matrix }) {
            chosen.append((strongest, "largest singular value"))
        }
        return chosen.flatMap { matrix, reason -> [Report.Section] in
            let places = Self.places(of: matrix.experts[0].singularValues.count)
            func series(
                _ caption: String, _ figure: Column, isLogarithmic: Bool,
                _ values: (TaskVectorSpectra.Spectrum) -> [Double]
            ) -> Report.Section {
                var series = Report.Series(
                    nil, name: Column(nil, "expert"), axis: Column(nil, "number", .count), figures: [figure],
                    rows: zip(names, matrix.experts).flatMap { name, expert -> [[Value]] in
                        guard (expert.numericalRank ?? 0) > 0 else { return [] }
                        let values = values(expert)
                        return places.map { [.text(name), .integer($0 + 1), .number(values[$0])] }
                    })
                series.isLogarithmic = isLogarithmic
                series.caption = caption
                return .series(series)
            }
            return [
                series(
                    "Singular values of \(matrix.matrix.name) (\(reason))", Column(nil, "singular value", .number),
                    isLogarithmic: true, \.singularValues),
                series(
                    "Energy of \(matrix.matrix.name) in its largest singular values",
                    Column(nil, "energy", .share), isLogarithmic: false
                ) { expert in
                    let energies = TaskVectorSpectra.Spectrum.energies(of: expert.singularValues)
                    return energies.map { $0 / (energies.last ?? 1) }
                },
            ]
        }
    }

    /// At most some thirty places along an axis, each about an eighth further than the one before, with the first ones and the last.
    private static func places(of count: Int) -> [Int] {
        var places: [Int] = []
        var next = 0
        while next < count - 1 {
            places.append(next)
            next = max(next + 1, next + next / 6)
        }
        return places + (count > 0 ? [count - 1] : [])
    }
}

extension TaskVectorSpectra {
    var meanAlignment: Double? { alignments.compactMap(\.value).mean }

    /// The largest singular value of all experts; that of NaN counts as none.
    fileprivate var largest: Double { experts.compactMap(\.singularValues.first).filter { !$0.isNaN }.max() ?? 0 }
}
