import Reporting

/// One report of every picture, small enough that what is drawn can be worked out by hand.
enum SamplePictures {
    static let heatMap = Report.Matrix(
        nil, title: "on \\ from", kind: .decimals(2), rows: ["digits", "greek"], columns: ["digits", "greek"],
        values: [[.nan, 0.5], [2, 0]], caption: "Interference")

    static let diverging = Report.Matrix(
        nil, title: "expert", kind: .decimals(1), rows: ["a"], columns: ["blocks.0.attn.qkv.weight", "b", "c"],
        values: [[-0.5, 0, 1]], scale: .diverging, caption: "Cosine")

    static let bars = Report.Bars(
        "Accuracy", title: "task", labels: ["digits", "greek"], kind: .share,
        groups: [
            .init("base", [0.5, 0.25], intervals: [0.4...0.6, nil]), .init("merged", [-0.2, nil]),
        ])

    static let curves = curves(isLogarithmic: false, [2, 4, .nan, 3], [1, 1.5, 2, 2.5])
    static let logarithmic = curves(isLogarithmic: true, [1, 0.1, 0.01, 0.001], [0, 0.01, 0.1, 1])

    static func curves(isLogarithmic: Bool, _ first: [Double], _ second: [Double]) -> Report.Series {
        func rows(_ name: String, _ figures: [Double]) -> [[Report.Value]] {
            figures.enumerated().map { [.text(name), .integer($0), .number($1)] }
        }
        var series = Report.Series(
            "losses", name: .init("expert", "expert"), axis: .init("step", "step", .count),
            figures: [.init("loss", "loss", .number)], rows: rows("digits", first) + rows("greek", second))
        series.isLogarithmic = isLogarithmic
        series.caption = "Losses"
        return series
    }

    static let scatter = Report.Scatter(
        "Merges", title: "merge", x: .init(nil, "interference"), y: .init(nil, "accuracy", .share),
        points: [
            .init("ties", group: "plain", x: 0, y: 0.5, interval: 0.4...0.6),
            .init("ties + RI", group: "with RI", x: 1, y: 0.6), .init("gone", group: "plain", x: .nan, y: 0.5),
        ])

    static let all: [(name: String, section: Report.Section)] = [
        ("heat-map", .matrix(heatMap)), ("diverging", .matrix(diverging)), ("bars", .bars(bars)),
        ("curves", .series(curves)), ("logarithmic", .series(logarithmic)), ("scatter", .scatter(scatter)),
    ]

    /// Every picture of a page, in its order.
    static func pictures(of page: String) -> [String] {
        page.ranges(of: "<svg").compactMap { start in
            guard let end = page[start.lowerBound...].firstRange(of: "</svg>\n") else { return nil }
            return String(page[start.lowerBound..<end.upperBound])
        }
    }

    static func picture(_ section: Report.Section) -> String {
        pictures(of: Report(title: "t", sections: [section]).html).joined()
    }
}
