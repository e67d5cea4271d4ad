import Analysis
import Reporting
import TensorCore

extension TensorStatistics {
    static let columns: [Report.Column] = [
        .init("stats.min", "MIN", .number), .init("stats.max", "MAX", .number), .init("stats.mean", "MEAN", .number),
        .init("stats.std", "STD", .number), .init("stats.norm", "NORM", .number), .init("stats.zeros", "ZEROS", .count),
        .init("stats.nan", "NAN", .count), .init("stats.inf", "INF", .count),
    ]

    /// In the order of the columns.
    var values: [Report.Value] {
        [minimum, maximum, mean, standardDeviation, norm].map(Report.Value.number)
            + [zeroCount, nanCount, infinityCount].map(Report.Value.integer)
    }
}

extension Histogram {
    func facts(name: TensorName) -> [Report.Fact] {
        [.init("name", .text(name.text)), .init("edges", .numbers(edges)), .init("counts", .integers(counts))]
    }

    /// A line for each bin: its lower edge, its count and a bar.
    func sections(name: TensorName) -> [Report.Section] {
        let highest = max(1, counts.max() ?? 1)
        var bars = Report.Column(nil, "")
        bars.mayBeCut = false
        return [
            .text(["histogram of \(name)"]),
            .table(
                Report.Table(
                    nil, [.init(nil, "FROM", .number), .init(nil, "COUNT", .count), bars],
                    rows: zip(edges, counts).map { edge, count in
                        let length = Int((Double(count) / Double(highest) * 50).rounded(.up))
                        return [.number(edge), .integer(count), .text(String(repeating: "#", count: length))]
                    })),
        ]
    }
}
