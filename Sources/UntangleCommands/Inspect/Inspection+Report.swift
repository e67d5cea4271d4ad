import Analysis
import Checkpoints
import Reporting
import TensorCore

extension Inspection {
    /// What is told of the checkpoint. People see modules, if they asked for them, in the place of tensors.
    var report: Report {
        let table = modules == nil && !tensors.isEmpty ? tensorTable : tensorTable.forDocuments
        // Nothing stands between what the checkpoint is and what it sums up to.
        let isBare = tensors.isEmpty && modules == nil && histogram == nil
        return Report(
            title: reader.path.string,
            sections: [
                .facts([
                    .init("path", .text(reader.path.string)), .init("format", .text(reader.format.rawValue)),
                    .init("files", .texts(files.map(\.string))),
                    .init("metadata", .facts(reader.metadata.entries.map { .init($0.key, .text($0.value)) })),
                ]),
                .text(heading + (isBare ? [totals.text] : [])),
                .table(table),
                .facts(
                    totals.facts + [
                        .init("base.name", base.map { .text($0.name) } ?? .absent),
                        .init("base.identity", base.map { .text($0.identity.description) } ?? .absent),
                        .init("base.tensors", base.map { .integer($0.tensorCount) } ?? .absent),
                    ]),
                .table(modules == nil || types.rows.count < 2 ? types.forDocuments : types),
                .facts([.init("model", model.map { .facts($0.facts) } ?? .absent)]),
            ] + (modules.map { $0.sections(of: totals) } ?? [.facts([.init("modules", .absent)])]) + [
                .facts([.init("histogram", histogram.map { .facts($0.histogram.facts(name: $0.name)) } ?? .absent)])
            ] + (histogram.map { [.group($0.histogram.sections(name: $0.name))] } ?? [])
                + (isBare ? [] : [.text([totals.text + (modules == nil ? "" : onlyType)])]))
    }

    /// How much there is of each type.
    private var types: Report.Table {
        Report.Table(
            "dtypes", [Report.Column("dtype", "DTYPE")] + TensorTotals.columns + [TensorTotals.share],
            rows: totalsByType.map { type, sums in
                [.text(type.name)] + sums.values + [sums.share(of: totals)]
            })
    }

    /// Stands in the place of a table of types that would have one row.
    private var onlyType: String {
        let types = totalsByType
        return types.count == 1 ? ", all \(types[0].layout.name)" : ""
    }

    /// The checkpoint's name and format, and its metadata.
    private var heading: [String] {
        let others = files.count > 1 ? ", \(files.count) files" : ""
        let difference = base.map {
            "  \($0.tensorCount.grouped) of \(reader.descriptors.count.grouped) tensors are differences to "
                + "\"\($0.name)\", identity \($0.identity)"
        }
        return ["\(reader.path): \(reader.format.rawValue)\(others)"]
            + (model.map { ["  model: \(Self.shortened($0.phrase, to: 300))"] } ?? []) + (difference.map { [$0] } ?? [])
            + reader.metadata.entries.map { "  \(Self.shortened($0.key)): \(Self.shortened($0.value))" }
    }

    /// Metadata may hold whole documents; all of it is in documents.
    private static func shortened(_ text: String, to limit: Int = 100) -> String {
        let isLong = text.unicodeScalars.count > limit
        return isLong ? String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit))) + "..." : text
    }

    private var tensorTable: Report.Table {
        let showsFile = files.count > 1
        let showsStatistics = tensors.contains { $0.measurement.statistics != nil }
        let showsDigest = tensors.contains { $0.measurement.digest != nil }
        var columns: [Report.Column] = [
            .init("name", "NAME"), .init("dtype", "DTYPE"), .init("shape", "SHAPE", .shape),
            .init("bytes", "SIZE", .bytes),
        ]
        if showsDigest { columns.append(.init("sha256", nil)) }
        if showsStatistics { columns += TensorStatistics.columns }
        if showsFile { columns.append(.init(nil, "FILE")) }
        if showsDigest {
            var digest = Report.Column(nil, "SHA256")
            digest.mayBeCut = false
            columns.append(digest)
        }
        return Report.Table(
            "tensors", columns,
            rows: Report.Rows(of: tensors) { tensor in
                let (descriptor, digest) = (tensor.descriptor, tensor.measurement.digest)
                var row: [Report.Value] = [
                    .text(descriptor.name.text), .text(descriptor.layout.name), .integers(descriptor.shape.dims),
                    .integer(descriptor.byteCount),
                ]
                if showsDigest { row.append(digest.map(Report.Value.text) ?? .absent) }
                if showsStatistics {
                    row += tensor.measurement.statistics?.values ?? TensorStatistics.columns.map { _ in .absent }
                }
                if showsFile { row.append(.text(tensor.location.file.lastComponent?.string ?? "")) }
                if showsDigest { row.append(.text(digest ?? "")) }
                return row
            })
    }
}

extension ModuleTree {
    /// For documents the modules with their paths; for people those indented by their depth, and then the tensors that belong to
    /// none.
    fileprivate func sections(of whole: TensorTotals) -> [Report.Section] {
        let paths = Report.Table(
            "modules", [Report.Column("name", nil)] + TensorTotals.columns,
            rows: Report.Rows(of: modules) { [.text($0.path)] + $0.totals.values })
        let tree = Report.Table(
            nil, [Report.Column(nil, "MODULE")] + TensorTotals.columns + [TensorTotals.share],
            rows: modules.map { module in
                let name = String(repeating: "  ", count: module.depth) + module.name
                return [.text(name)] + module.totals.values + [module.totals.share(of: whole)]
            }
                + loose.map { tensor in
                    let totals = TensorTotals([tensor])
                    return [.text(tensor.name.text)] + totals.values + [totals.share(of: whole)]
                })
        return [.table(paths.forDocuments), .table(tree)]
    }
}

extension TensorTotals {
    fileprivate static let columns: [Report.Column] = [
        .init("tensors", "TENSORS", .count), .init("parameters", "PARAMETERS", .count),
        .init("bytes", "SIZE", .bytes),
    ]

    /// The bytes against all that are listed.
    fileprivate static let share = Report.Column(nil, "SHARE", .share, gauge: .bar)

    fileprivate func share(of whole: TensorTotals) -> Report.Value {
        whole.byteCount > 0 ? .number(Double(byteCount) / Double(whole.byteCount)) : .none
    }

    /// In the order of the columns.
    fileprivate var values: [Report.Value] { [.integer(tensors), .integer(parameters), .integer(byteCount)] }

    fileprivate var facts: [Report.Fact] {
        zip(Self.columns, values).map { .init("totals.\($0.key ?? "")", $1) }
    }

    /// `30 tensors, 71,234 parameters, 278 KiB`.
    fileprivate var text: String {
        let parameterWord = parameters == 1 ? "parameter" : "parameters"
        return "\(tensors.grouped) \(tensors == 1 ? "tensor" : "tensors"), "
            + "\(parameters.grouped) \(parameterWord), \(ByteSize(byteCount))"
    }
}
