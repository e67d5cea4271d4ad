import Analysis
import Reporting
import TensorCore

/// Task-vector statistics as tables and as JSON.
struct VectorsRendering {
    let statistics: TaskVectorStatistics
    let spectra: [TaskVectorSpectra]
    let level: TaskVectorStatistics.Level
    /// Whether spectra were asked for, of which there may be none.
    let isDecomposed: Bool
    let notMeasured: [UnmeasuredTensors]

    private var names: [String] { statistics.experts }

    /// The norm over the model; where nothing of it could be measured, 0 would look like an expert that did not move.
    private func norm(_ expert: TaskVectorGroup.Expert) -> Double {
        statistics.model.tensorCount == 0 && !notMeasured.isEmpty ? .nan : expert.norm
    }

    // MARK: - Tables

    var tables: [Table] {
        var tables = [experts]
        if !statistics.model.pairs.isEmpty { tables.append(pairs) }
        if level != .model { tables.append(groups) }
        if !spectra.isEmpty { tables += [spectrum] + (names.count > 1 ? [subspaces] : []) }
        return tables
    }

    private var experts: Table {
        var table = Table([
            .init("expert"), .init("norm", .right), .init("relative", .right), .init("unchanged", .right),
            .init("largest tensors"),
        ])
        for (place, name) in names.enumerated() {
            let expert = statistics.model.experts[place]
            let largest = statistics.largest[place].prefix(3).map { "\($0.tensor) \($0.norm.short(3))" }
            table.append([
                name, norm(expert).short(), text(expert.relativeNorm), percent(expert.unchanged),
                largest.joined(separator: ", "),
            ])
        }
        return table
    }

    private var pairs: Table {
        var table = Table([
            .init("pair"), .init("cosine", .right), .init("sign conflict", .right), .init("top overlap", .right),
        ])
        for pair in statistics.model.pairs {
            table.append([
                "\(names[pair.a]) / \(names[pair.b])", pair.cosine?.decimals(4) ?? "-", percent(pair.signConflict),
                percent(pair.topOverlap),
            ])
        }
        return table
    }

    /// A row for every tensor or layer: the norm of each expert, and the means over pairs.
    private var groups: Table {
        let hasPairs = !statistics.model.pairs.isEmpty
        var table = Table(
            [.init(level.rawValue)] + names.map { .init("norm \($0)", .right) }
                + (hasPairs ? [.init("mean cosine", .right), .init("mean conflict", .right)] : []))
        for group in statistics.groups {
            table.append(
                [group.name] + group.experts.map { $0.norm.short() }
                    + (hasPairs
                        ? [
                            mean(group.pairs.compactMap(\.cosine))?.decimals(4) ?? "-",
                            percent(mean(group.pairs.compactMap(\.signConflict))),
                        ] : []))
        }
        return table
    }

    private var spectrum: Table {
        var table = Table([
            .init("matrix"), .init("expert"), .init("largest", .right), .init("rank", .right),
            .init("stable rank", .right), .init("effective rank", .right), .init("top energy", .right),
        ])
        for matrix in spectra {
            for (name, expert) in zip(names, matrix.experts) {
                table.append([
                    matrix.tensor.description, name, expert.singularValues.first.map { Double($0).short() } ?? "-",
                    expert.numericalRank?.grouped ?? "nan", text(expert.stableRank), text(expert.effectiveRank),
                    percent(expert.topEnergy),
                ])
            }
        }
        return table
    }

    private var subspaces: Table {
        var table = Table([.init("matrix"), .init("singular interference", .right), .init("mean alignment", .right)])
        for matrix in spectra {
            table.append([
                matrix.tensor.description, text(matrix.interference), text(mean(matrix.alignments.compactMap(\.value))),
            ])
        }
        return table
    }

    private func text(_ value: Double?) -> String { value?.short() ?? "-" }
    private func percent(_ share: Double?) -> String { share?.percent ?? "-" }
    private func mean(_ values: [Double]) -> Double? {
        values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }

    // MARK: - JSON

    /// What the tables say. A matrix's spectrum stands with its tensor; gathered by layer or model, tensors have no place of their
    /// own, and `spectra` lists the matrices.
    func json(base: String) -> JSONOutput {
        let document: JSONOutput = [
            "base": .string(base),
            "experts": .array(
                names.indices.map { place in
                    json(
                        name: names[place], expert: statistics.model.experts[place],
                        norm: norm(statistics.model.experts[place])
                    )
                    .adding("largest", .array(statistics.largest[place].map(json)))
                }),
            "pairs": .array(statistics.model.pairs.map(json)),
            "tensors": .array(statistics.groups.map(json)),
            "not_measured": .array(
                notMeasured.map {
                    [
                        "reason": .string($0.reason), "tensors": .integer($0.names.count),
                        "bytes": .integer($0.byteCount),
                        "share": .number($0.share),
                    ]
                }),
            "not_finite": statistics.notFinite.json,
        ]
        guard level != .tensor, isDecomposed else { return document }
        return document.adding(
            "spectra", .array(spectra.map { ["name": .string($0.tensor.text), "spectrum": json(of: $0)] }))
    }

    private func json(of tensor: TaskVectorStatistics.TensorNorm) -> JSONOutput {
        ["tensor": .string(tensor.tensor.text), "norm": .number(tensor.norm)]
    }

    private func json(name: String, expert: TaskVectorGroup.Expert) -> JSONOutput {
        json(name: name, expert: expert, norm: expert.norm)
    }

    private func json(name: String, expert: TaskVectorGroup.Expert, norm: Double) -> JSONOutput {
        [
            "name": .string(name), "norm": .number(norm), "relative_norm": number(expert.relativeNorm),
            "unchanged": number(expert.unchanged),
        ]
    }

    private func json(of pair: TaskVectorGroup.Pair) -> JSONOutput {
        [
            "a": .string(names[pair.a]), "b": .string(names[pair.b]), "cosine": number(pair.cosine),
            "sign_conflict": number(pair.signConflict), "topk_overlap": number(pair.topOverlap),
        ]
    }

    private func json(of group: TaskVectorGroup) -> JSONOutput {
        let matrix = level == .tensor ? spectra.first { $0.tensor.description == group.name } : nil
        return
            ([
                "name": .string(group.name), "parameters": .integer(group.parameterCount),
                "experts": .array(zip(names, group.experts).map(json)),
                "pairs": .array(group.pairs.map(json)),
            ] as JSONOutput).adding("spectrum", matrix.map(json))
    }

    private func json(of matrix: TaskVectorSpectra) -> JSONOutput {
        [
            "experts": .array(
                zip(names, matrix.experts).map { name, expert -> JSONOutput in
                    [
                        "name": .string(name), "rank": expert.numericalRank.map(JSONOutput.integer) ?? .number(.nan),
                        "stable_rank": number(expert.stableRank), "effective_rank": number(expert.effectiveRank),
                        "top_energy": number(expert.topEnergy),
                        "singular_values": .array(expert.singularValues.map { .number(Double($0)) }),
                    ]
                }),
            "singular_interference": number(matrix.interference),
            "alignments": .array(
                matrix.alignments.map { pair -> JSONOutput in
                    ["a": .string(names[pair.a]), "b": .string(names[pair.b]), "value": number(pair.value)]
                }),
        ]
    }

    private func number(_ value: Double?) -> JSONOutput { value.map(JSONOutput.number) ?? .null }
}
