import Analysis
import Reporting
import TensorCore

extension TensorStatistics {
    /// The keys that scripts rely on.
    var json: JSONOutput {
        [
            "min": .number(minimum), "max": .number(maximum), "mean": .number(mean), "std": .number(standardDeviation),
            "norm": .number(norm), "zeros": .integer(zeroCount), "nan": .integer(nanCount),
            "inf": .integer(infinityCount),
        ]
    }

    /// The titles of `cells`.
    static let titles = ["MIN", "MAX", "MEAN", "STD", "NORM", "ZEROS", "NAN", "INF"]

    var cells: [String] {
        [minimum, maximum, mean, standardDeviation, norm].map { $0.short() }
            + [zeroCount, nanCount, infinityCount].map(\.grouped)
    }
}

extension Histogram {
    func json(name: TensorName) -> JSONOutput {
        [
            "name": .string(name.text), "edges": .array(edges.map(JSONOutput.number)), "counts": .integers(counts),
        ]
    }

    /// One line for each bin: its lower edge, its count and a bar.
    func text(name: TensorName) -> String {
        var table = Table([.init("FROM", .right), .init("COUNT", .right), .init("")])
        let highest = max(1, counts.max() ?? 1)
        for (edge, count) in zip(edges, counts) {
            let length = Int((Double(count) / Double(highest) * 50).rounded(.up))
            table.append([edge.short(), count.grouped, String(repeating: "#", count: length)])
        }
        return "histogram of \(name)\n" + table.rendered()
    }
}
