import Reporting

extension Comparison {
    /// The figure that rows are sorted by, all of them against one another, and the accuracies task by task.
    var pictures: [Report.Section] {
        guard rows.count > 1 else { return [] }
        return [.bars(bars)] + (scatter.map { [.scatter($0)] } ?? []) + (accuracies.map { [.matrix($0)] } ?? [])
    }

    private var bars: Report.Bars {
        Report.Bars(
            order == .accuracy
                ? "Mean accuracy of each merge, with 95 % intervals"
                : "Interference of each merge, with 95 % intervals",
            title: "merge", labels: rows.map(\.merge.name), kind: order == .accuracy ? .share : .decimals(3),
            groups: [
                .init(order.rawValue, rows.map { $0.merge.figure(for: order) }, intervals: rows.map(\.interval))
            ])
    }

    /// Nil without accuracies. Colours tell adapted experts from others, or methods where there is only one of these kinds.
    private var scatter: Report.Scatter? {
        let isMixed = Set(rows.map(\.merge.isResolved)).count > 1
        let points = rows.compactMap { row -> Report.Scatter.Point? in
            guard let accuracy = row.merge.meanAccuracy, accuracy.isFinite, row.merge.interference.isFinite else {
                return nil
            }
            return .init(
                row.merge.name,
                group: isMixed ? (row.merge.isResolved ? "with RI" : "without RI") : row.merge.method,
                x: row.merge.interference, y: accuracy, interval: order == .accuracy ? row.interval : nil)
        }
        guard points.count > 1 else { return nil }
        return Report.Scatter(
            "Interference and accuracy", title: "merge", x: .init(nil, "interference", .decimals(3)),
            y: .init(nil, "accuracy", .share), points: points)
    }

    /// Merges and tasks; nil without labels, or where merges were measured on different tasks.
    private var accuracies: Report.Matrix? {
        guard let first = rows.first?.merge, rows.allSatisfy({ $0.merge.hasTasks(of: first) }) else { return nil }
        let names = first.figures.tasks.map(\.name)
        let values = rows.map { row in
            names.map { name in row.merge.figures.tasks.first { $0.name == name }?.accuracy ?? .nan }
        }
        guard names.count > 1, values.joined().contains(where: \.isFinite) else { return nil }
        var matrix = Report.Matrix(
            nil, title: "merge", kind: .share, rows: rows.map(\.merge.name), columns: names, values: values,
            caption: "Accuracy on each task")
        matrix.isForPages = true
        return matrix
    }
}
