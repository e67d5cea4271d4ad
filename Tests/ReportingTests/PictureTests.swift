import Foundation
import Reporting
import TestSupport
import Testing

/// What pictures are made of. Places are worked out by hand from the sizes that pictures have.
@Suite struct PictureTests {
    /// The files were looked at in a browser. `UNTANGLE_DRAW=1 swift test --filter PictureTests` writes them anew.
    @Test(arguments: SamplePictures.all.map(\.name)) func isDrawnAsBefore(name: String) throws {
        let section = try #require(SamplePictures.all.first { $0.name == name }).section
        let file = URL(filePath: Fixtures.path("pictures/\(name).svg").string)
        let picture = SamplePictures.picture(section)
        if ProcessInfo.processInfo.environment["UNTANGLE_DRAW"] != nil {
            try picture.write(to: file, atomically: true, encoding: .utf8)
        }
        #expect(try picture == String(contentsOf: file, encoding: .utf8))
    }

    @Test func cellsHaveTheColourOfTheirShareOfTheLargest() {
        let picture = SamplePictures.picture(.matrix(SamplePictures.heatMap))
        // 2 is the largest and has the last of 17 steps, 0.5 a quarter of it.
        #expect(picture.contains("<g class=\"q16\">\n<title>greek, digits: 2.00</title>"))
        #expect(picture.contains("<g class=\"q4\">\n<title>digits, greek: 0.50</title>"))
        #expect(picture.contains("<g class=\"q0\">\n<title>greek, greek: 0.00</title>"))
        #expect(picture.contains("<g class=\"none\">\n<title>digits, digits: -</title>"))
        // The middle of 21 steps is 0, and -0.5 lies half-way to the first.
        let diverging = SamplePictures.picture(.matrix(SamplePictures.diverging))
        #expect(diverging.contains("<g class=\"d10\">\n<title>a, b: 0.0</title>"))
        #expect(diverging.contains("<g class=\"d5\">\n<title>a, blocks.0.attn.qkv.weight: -0.5</title>"))
        #expect(diverging.contains("<g class=\"d20\">\n<title>a, c: 1.0</title>"))
        // Twenty columns of letters: one for the dots, ten before and nine behind.
        #expect(diverging.contains("<title>blocks.0.attn.qkv.weight</title>"))
        #expect(diverging.contains(">blocks.0.a…kv.weight</text>"))
    }

    @Test func barsReachFromZeroToTheirFigures() {
        let picture = SamplePictures.picture(.bars(SamplePictures.bars))
        // -20 % to 60 % in steps of 20 % over 300 pixels from 60: 0 lies at 285, 50 % at 97.5 and -20 % at 360.
        #expect(picture.contains("<title>digits, base: 50.0 %, 95 %: 40.0 % to 60.0 %</title>"))
        #expect(picture.contains("y=\"97.5\" width=\"43\" height=\"187.5\""))
        #expect(picture.contains("y=\"285\" width=\"43\" height=\"75\""))
        for tick in ["-20 %", "0 %", "20 %", "40 %", "60 %"] { #expect(picture.contains(">\(tick)</text>")) }
        #expect(picture.components(separatedBy: "class=\"whisker\"").count == 2)
        #expect(!picture.contains("greek, merged"))
    }

    @Test func curvesBreakWhereAFigureIsMissing() throws {
        let picture = SamplePictures.picture(.series(SamplePictures.curves))
        // 1 to 4 over 300 pixels from 62 below the legend, upwards: 2 lies at 262, 4 at 62, 3 at 162. Steps 0 and 1 are joined, 3 is a dot.
        let path = try #require(picture.firstMatch(of: /class="curve" d="M[\d.]+ 262L[\d.]+ 62M([\d.]+) 162h0"/))
        // The second curve goes on to the same end.
        #expect(picture.contains("\(path.1) 212\""))
        #expect(picture.contains("<title>digits: 2 at 0 to 3 at 3</title>"))
        #expect(picture.contains("<title>greek: 1.5 at 1</title>"))
    }

    @Test func logarithmicAxesHaveEqualLengthsForEqualRatios() throws {
        let picture = SamplePictures.picture(.series(SamplePictures.logarithmic))
        // Three decades over 300 pixels from 62.
        #expect(picture.contains(/class="curve" d="M[\d.]+ 62L[\d.]+ 162 [\d.]+ 262 [\d.]+ 362"/))
        // 0 has no logarithm.
        #expect(picture.contains("<title>greek: 0.01 at 1 to 1 at 3</title>"))
    }

    @Test func pointsStandBetweenAxes() {
        let picture = SamplePictures.picture(.scatter(SamplePictures.scatter))
        // 40 % to 60 % over 400 pixels from 62 below the legend: the middle is 262, and the whisker is the whole height.
        #expect(picture.contains("cy=\"262\""))
        #expect(picture.contains(" 462V62\""))
        #expect(
            picture.contains("<title>ties (plain): interference 0, accuracy 50.0 %, 95 %: 40.0 % to 60.0 %</title>"))
        #expect(picture.contains(">ties + RI</text>"))
        #expect(!picture.contains("gone"))
    }

    /// Of a million figures a path has at most four a pixel, and among them the only peak.
    @Test func longCurvesAreThinnedAndKeepTheirPeaks() {
        var figures = [Double](repeating: 1, count: 1_000_000)
        figures[765_432] = 3
        let series = Report.Series(
            nil, name: .init(nil, ""), axis: .init(nil, "step"), figures: [.init(nil, "loss")],
            rows: figures.enumerated().map { [.text("a"), .integer($0), .number($1)] })
        let picture = SamplePictures.picture(.series(series))
        #expect(picture.utf8.count < 40_000)
        // 1 to 3 over 300 pixels from 32.
        #expect(picture.contains(/[L ][\d.]+ 32[ "]/))
    }

    /// Figures at the ends of what a number can be are drawn or left out, and nothing traps.
    @Test(arguments: [
        [1.7e308, -1.7e308], [.leastNonzeroMagnitude, 0], [1e16, 1e16 + 2], [.nan, .infinity], [-.infinity, 1], [0, 0],
        [-3, -3], [],
    ]) func drawsWhatCanBeDrawn(figures: [Double]) {
        let names = figures.indices.map { "n\($0)" }
        for kind: Report.Kind in [.number, .share, .bytes, .seconds, .count, .decimals(2)] {
            let report = Report(
                title: "t",
                sections: [
                    .bars(.init("c", title: "t", labels: names, kind: kind, groups: [.init("g", figures)])),
                    .matrix(.init(nil, title: "t", kind: kind, rows: ["r"], columns: names, values: [figures])),
                    .matrix(
                        .init(
                            nil, title: "t", kind: kind, rows: ["r"], columns: names, values: [figures],
                            scale: .diverging)),
                    .scatter(
                        .init(
                            "c", title: "t", x: .init(nil, "x", kind), y: .init(nil, "y", kind),
                            points: zip(names, figures).map { .init($0, group: "g", x: $1, y: $1) })),
                ]
                    + [true, false].map { isLogarithmic in
                        var series = Report.Series(
                            nil, name: .init(nil, "n"), axis: .init(nil, "x", kind), figures: [.init(nil, "y", kind)],
                            rows: figures.map { [.text("a"), .number($0), .number($0)] })
                        series.isLogarithmic = isLogarithmic
                        return .series(series)
                    })
            for attribute in ["nan", "inf"] {
                #expect(!SamplePictures.pictures(of: report.html).joined().contains("=\"\(attribute)"))
            }
        }
    }

    /// At the left, where a phone shows a picture that is wider than it, and in the colours of the curves.
    @Test func namesOfCurvesAreInALegend() throws {
        let names = (0..<30).map { "expert \($0)" }
        let series = Report.Series(
            nil, name: .init(nil, "expert"), axis: .init(nil, "step"), figures: [.init(nil, "loss")],
            rows: names.flatMap { name in (0..<2).map { [.text(name), .integer($0), .number(Double($0))] } })
        let picture = SamplePictures.picture(.series(series))
        // Beyond the eight colours, the kind of line tells them apart.
        #expect(picture.contains("<g class=\"t5 round3\">\n<title>expert 29</title>\n<rect class=\"fill\""))
        for name in picture.matches(of: /<text x="([\d.]+)" y="[\d.]+">expert/) {
            #expect(try #require(Double(name.1)) < 440)
        }
    }

    /// Figures near what chance makes differ in colour, and the legend says what the middle is.
    @Test func figuresAroundTheMiddleDiffer() {
        let matrix = Report.Matrix(
            nil, title: "t", kind: .share, rows: ["a"], columns: ["x", "y", "z"], values: [[0.47, 0.5, 0.52]],
            scale: .around(0.5, "chance"))
        let picture = SamplePictures.picture(.matrix(matrix))
        #expect(picture.contains("<g class=\"d0\">\n<title>a, x: 47.0 %</title>"))
        #expect(picture.contains("<g class=\"d10\">\n<title>a, y: 50.0 %</title>"))
        #expect(picture.contains("<g class=\"d17\">\n<title>a, z: 52.0 %</title>"))
        #expect(picture.contains(">47.0 %</text>") && picture.contains(">53.0 % (in the middle chance, 50.0 %)</text>"))
    }

    /// Labels that differ in their middles, as those of merges do, are cut elsewhere.
    @Test func differentLabelsAreDrawnDifferently() {
        let names = ["0.1", "0.2"].map { "task_arithmetic with lambda=\($0) and density=0.5 of its entries" }
        let points = names.map { Report.Scatter.Point($0, group: $0, x: $0 == names[0] ? 0 : 1, y: 1) }
        for section: Report.Section in [
            .bars(.init("c", title: "t", labels: names, kind: .number, groups: [.init("g", [1, 2])])),
            .matrix(.init(nil, title: "t", kind: .number, rows: names, columns: names, values: [[1, 2], [3, 4]])),
            .scatter(.init("c", title: "t", x: .init(nil, "x"), y: .init(nil, "y"), points: points)),
        ] {
            let picture = SamplePictures.picture(section)
            let texts = picture.matches(of: /<text[^>]*>([^<]*…[^<]*)</).map { String($0.1) }
            #expect(texts.count >= 2 && texts.allSatisfy { $0.contains("=0.1") != $0.contains("=0.2") }, "\(texts)")
        }
    }

    /// Each label ends below its bar, turned by 40 degrees: none begins left of the picture, whichever is longest.
    @Test func turnedLabelsStayInThePicture() throws {
        let labels = (0..<12).map { $0 == 2 ? "a_label_of_22_letters_" : "b\($0)" }
        let picture = SamplePictures.picture(
            .bars(.init("c", title: "t", labels: labels, kind: .number, groups: [.init("g", labels.map { _ in 1 })])))
        let place = try #require(picture.firstMatch(of: /translate\(([\d.]+) [\d.]+\) rotate\(-40\)">a_label/))
        #expect(try #require(Double(place.1)) >= 22 * 13 * 0.62 * 0.766)
    }
}
