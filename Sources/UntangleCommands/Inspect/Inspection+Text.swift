import Analysis
import Checkpoints
import Reporting
import TensorCore

extension Inspection {
    /// The tables for people.
    var text: String {
        var sections = [heading]
        if let modules {
            sections.append(modules.table.rendered())
        } else if !tensors.isEmpty {
            sections.append(tensorTable.rendered())
        }
        if let histogram { sections.append(histogram.histogram.text(name: histogram.name)) }
        return sections.joined(separator: "\n") + (sections.count > 1 ? "\n" : "") + totals.text + "\n"
    }

    /// The checkpoint's name and format, and its metadata.
    private var heading: String {
        var lines = "\(reader.path.string.escapingControlCharacters): \(reader.format.rawValue)"
        if reader.files.count > 1 { lines += ", \(reader.files.count) files" }
        lines += "\n"
        if let base {
            lines +=
                "  \(base.tensorCount.grouped) of \(reader.descriptors.count.grouped) tensors are differences to "
                + "\"\(base.name.escapingControlCharacters)\", identity \(base.identity)\n"
        }
        for entry in reader.metadata.entries {
            lines += "  \(Self.shortened(entry.key)): \(Self.shortened(entry.value))\n"
        }
        return lines
    }

    /// Metadata may hold whole documents; all of it is in the JSON form.
    private static func shortened(_ text: String) -> String {
        let limit = 100
        let isLong = text.unicodeScalars.count > limit
        let start = String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit)))
        return (isLong ? start + "..." : text).escapingControlCharacters
    }

    private var tensorTable: Table {
        let showsFile = reader.files.count > 1
        let showsStatistics = tensors.contains { $0.measurement.statistics != nil }
        let showsDigest = tensors.contains { $0.measurement.digest != nil }
        var columns = [Table.Column("NAME"), .init("DTYPE"), .init("SHAPE"), .init("SIZE", .right)]
        if showsStatistics { columns += TensorStatistics.titles.map { .init($0, .right) } }
        if showsFile { columns.append(.init("FILE")) }
        if showsDigest { columns.append(.init("SHA256")) }
        var table = Table(columns)
        for tensor in tensors {
            let descriptor = tensor.descriptor
            var cells = [
                descriptor.name.text, descriptor.dtype.rawValue, descriptor.shape.description,
                ByteSize(descriptor.byteCount).description,
            ]
            if showsStatistics {
                cells += tensor.measurement.statistics?.cells ?? TensorStatistics.titles.map { _ in "-" }
            }
            if showsFile { cells.append(tensor.location.file.lastComponent?.string ?? "") }
            if showsDigest { cells.append(tensor.measurement.digest ?? "") }
            table.append(cells)
        }
        return table
    }
}

extension ModuleTree {
    /// Modules indented by their depth, then the tensors that belong to none.
    fileprivate var table: Table {
        var table = Table([
            .init("MODULE"), .init("TENSORS", .right), .init("PARAMETERS", .right), .init("SIZE", .right),
        ])
        func append(_ name: String, _ totals: TensorTotals) {
            table.append([
                name, totals.tensors.grouped, totals.parameters.grouped, ByteSize(totals.byteCount).description,
            ])
        }
        for module in modules { append(String(repeating: "  ", count: module.depth) + module.name, module.totals) }
        for tensor in loose { append(tensor.name.text, TensorTotals([tensor])) }
        return table
    }
}
