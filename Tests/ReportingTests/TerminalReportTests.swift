import Glibc
import Reporting
import Testing

/// Reports on terminals: gauges, colours and widths.
@Suite struct TerminalReportTests {
    private let blocks = TextStyle(columns: 80, drawsBlocks: true, hasColours: false)
    private let colours = TextStyle(columns: 80, drawsBlocks: true, hasColours: true)

    private func table(
        _ gauge: Report.Gauge?, _ values: [Report.Value], names: [String] = [], footer: Report.Value? = nil
    ) -> Report {
        Report(
            title: "t",
            sections: [
                .table(
                    Report.Table(
                        nil, [.init(nil, "name"), .init(nil, "size", .number, gauge: gauge), .init(nil, "end")],
                        rows: values.enumerated().map { place, value in
                            [.text(names.isEmpty ? "n\(place)" : names[place]), value, .text("e")]
                        }, footer: footer.map { [.text("sum"), $0, .text("")] }))
            ])
    }

    /// Ten characters for the largest, 4, so that 1 has 2.5 and 0.01 a fifth of an eighth, which is drawn as one.
    @Test func barsAreAsLongAsTheFiguresAgainstTheLargest() {
        let report = table(
            .bar, [.integer(4), .number(1), .number(0.01), .number(0), .number(.nan), .none, .number(.infinity)],
            footer: .number(5))
        #expect(
            report.text(in: blocks) == """
                name  size             end
                n0       4 ██████████  e
                n1       1 ██▌         e
                n2    0.01 ▏           e
                n3       0             e
                n4     nan             e
                n5       -             e
                n6     inf ██████████  e
                sum      5

                """)
        #expect(report.text(in: .plain) == report.text)
        #expect(!report.text.contains("█"))
        #expect(!report.text(in: TextStyle(columns: 80, drawsBlocks: false, hasColours: true)).contains("█"))
    }

    /// Quarters of the largest magnitude; signs are in the numbers.
    @Test func withoutColoursHeatIsShades() {
        let values = [-4, -2, 0, 1, 3].map { Report.Value.number($0) }
        func shades(_ scale: Report.Scale) -> [String] {
            table(.heat(scale), values).text(in: blocks).split(separator: "\n").dropFirst().map { line in
                String(line.split(separator: " ").dropFirst(2).dropLast().joined())
            }
        }
        #expect(shades(.diverging) == ["█", "▒", "", "░", "▓"])
        #expect(shades(.sequential) == ["", "", "", "░", "▓"])
    }

    @Test func matricesAreHeatMaps() {
        let report = Report(
            title: "t",
            sections: [
                .matrix(
                    Report.Matrix(
                        nil, title: "on \\ from", kind: .decimals(1), rows: ["a", "b"], columns: ["a", "b"],
                        values: [[0, 2], [1, .nan]], caption: "who disturbs whom"))
            ])
        #expect(
            report.text(in: blocks) == """
                who disturbs whom
                on \\ from    a      b
                a          0.0    2.0 █
                b          1.0 ▒    -

                """)
        // From white to red in eight steps; half of the largest is the fifth. What is no number has no colour.
        #expect(
            report.text(in: colours) == """
                who disturbs whom
                on \\ from    a    b
                a          \u{1B}[48;5;231;38;5;16m0.0\u{1B}[0m  \u{1B}[48;5;160;38;5;231m2.0\u{1B}[0m
                b          \u{1B}[48;5;215;38;5;16m1.0\u{1B}[0m    -

                """)
        #expect(
            report.text == """
                who disturbs whom
                on \\ from    a    b
                a          0.0  2.0
                b          1.0    -

                """)
    }

    /// By WCAG 2, on xterm's cube of levels 0, 95, 135, 175, 215, 255; below 4.5 is not AA.
    @Test func everyColourCanBeReadOn() throws {
        func luminance(_ number: Int) -> Double {
            let levels = [number / 36, number / 6 % 6, number % 6].map { [0.0, 95, 135, 175, 215, 255][$0] / 255 }
            let light = levels.map { $0 <= 0.04045 ? $0 / 12.92 : pow(($0 + 0.055) / 1.055, 2.4) }
            return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
        }
        var seen: Set<Int> = []
        for scale in [Report.Scale.sequential, .diverging] {
            let values = (-20...20).map { Report.Value.number(Double($0)) }
            for part in table(.heat(scale), values).text(in: colours).split(separator: "\u{1B}[48;5;").dropFirst() {
                let numbers = part.prefix { $0 != "m" }.split(separator: ";")
                let (back, front) = (try #require(Int(numbers[0])), try #require(Int(numbers[3])))
                let light = [luminance(back - 16), luminance(front - 16)].sorted()
                #expect((light[1] + 0.05) / (light[0] + 0.05) >= 4.5, "\(front) on \(back)")
                seen.insert(back)
            }
        }
        #expect(seen.count == 17)
    }

    private let names = ["model.layers.10.self_attn.q_proj.weight", "model.norm.weight"]

    @Test func namesAreCutToTheWidthOfTheTerminal() {
        let report = table(.bar, [.integer(1_234_567), .integer(12)], names: names)
        func text(_ columns: Int) -> String {
            report.text(in: TextStyle(columns: columns, drawsBlocks: true, hasColours: false))
        }
        #expect(
            text(120) == """
                name                                          size             end
                model.layers.10.self_attn.q_proj.weight  1,234,567 ██████████  e
                model.norm.weight                               12 ▏           e

                """)
        #expect(
            text(60) == """
                name                                    size             end
                …layers.10.self_attn.q_proj…       1,234,567 ██████████  e
                model.norm.weight                         12 ▏           e

                """)
        for columns in [40, 60, 80, 120] {
            for line in text(columns).split(separator: "\n") { #expect(line.count <= columns, "\(line)") }
            #expect(text(columns).contains("1,234,567"))
        }
        // Bars go before names get short.
        #expect(text(40).contains("█") == false)
        // Numbers stay, whatever happens.
        #expect(text(10).contains("1,234,567"))
        #expect(report.text.contains(names[0]))
    }

    /// 日本 and the others take two columns each, a combining accent none; neither is cut apart, and what is left over is padded.
    @Test func cutsByTheColumnsThatCharactersTake() {
        let wide = String(repeating: "日本", count: 10)
        let accents = String(repeating: "e\u{301}", count: 40)
        let style = TextStyle(columns: 24, drawsBlocks: true, hasColours: false)
        // 24 - 3 ("end") - 2 - 4 ("size") - 2 leaves 13, of which six are before the mark and six behind it.
        #expect(
            table(nil, [.integer(1), .integer(2)], names: [wide, accents]).text(in: style) == """
                name           size  end
                日本日…本日本     1  e
                \(String(repeating: "e\u{301}", count: 6))…\(String(repeating: "e\u{301}", count: 6))     2  e

                """)
        // Without block characters the mark is ASCII.
        let dumb = TextStyle(columns: 24, drawsBlocks: false, hasColours: false)
        #expect(table(nil, [.integer(1)], names: ["abcdefghijklmnopqrst"]).text(in: dumb).contains("abcde...pqrst"))
    }

    /// A digest that lacks its middle is of no use.
    @Test func whatIsToBeCopiedIsNotCut() {
        var digest = Report.Column(nil, "digest")
        digest.mayBeCut = false
        let text = String(repeating: "0123456789abcdef", count: 4)
        let report = Report(
            title: "t",
            sections: [
                .table(Report.Table(nil, [.init(nil, "name"), digest], rows: [[.text(names[0]), .text(text)]]))
            ])
        #expect(report.text(in: blocks).contains(text))
        #expect(report.text(in: blocks).contains("…"))
    }

    private func matrix(of names: [String]) -> Report {
        Report(
            title: "t",
            sections: [
                .matrix(
                    Report.Matrix(
                        nil, title: "on \\ from", kind: .decimals(4), rows: names, columns: names,
                        values: names.map { _ in names.indices.map { Double($0 + 1) / 10 } }))
            ])
    }

    /// Columns have the numbers of the rows where their names have no room, and go below each other where that is not enough.
    @Test func matricesNumberTheirColumns() {
        let report = matrix(of: (1...4).map { "expert_number_\($0)" })
        let style = TextStyle(columns: 60, drawsBlocks: false, hasColours: false)
        #expect(
            report.text(in: style) == """
                   on \\ from             1       2       3       4
                1  expert_number_1  0.1000  0.2000  0.3000  0.4000
                2  expert_number_2  0.1000  0.2000  0.3000  0.4000
                3  expert_number_3  0.1000  0.2000  0.3000  0.4000
                4  expert_number_4  0.1000  0.2000  0.3000  0.4000

                """)
        let narrow = report.text(in: TextStyle(columns: 40, drawsBlocks: true, hasColours: false))
        #expect(
            narrow == """
                   on \\ from          1       2       3
                1  …number_1     0.1000  0.2000  0.3000
                2  …number_2     0.1000  0.2000  0.3000
                3  …number_3     0.1000  0.2000  0.3000
                4  …number_4     0.1000  0.2000  0.3000

                   on \\ from          4
                1  …number_1     0.4000
                2  …number_2     0.4000
                3  …number_3     0.4000
                4  …number_4     0.4000

                """)
    }

    /// Titles break between words before anything else gives way, and anywhere before a number does.
    @Test func titlesBreak() {
        let report = Report(
            title: "t",
            sections: [
                .table(
                    Report.Table(
                        nil,
                        [
                            .init(nil, "layer"), .init(nil, "mean cosine", .decimals(4)),
                            .init(nil, "norm expert_greek", .number),
                        ],
                        rows: [[.text("blocks.0.attention"), .number(0.25), .number(2)]]))
            ])
        func text(_ columns: Int) -> String {
            report.text(in: TextStyle(columns: columns, drawsBlocks: true, hasColours: false))
        }
        #expect(
            text(50)
                == "layer               mean cosine  norm expert_greek\nblocks.0.attention       0.2500                  2\n"
        )
        #expect(
            text(42) == """
                                      mean            norm
                layer               cosine    expert_greek
                blocks.0.attention  0.2500               2

                """)
        for line in text(30).split(separator: "\n") { #expect(line.count <= 30) }
        #expect(text(30).contains("expert") && text(30).contains("greek") && !text(30).contains("…e"))
    }

    /// Names that differ in one place, at every width: two are never the same, and a name is not longer than it has to be.
    @Test func differentNamesStayDifferent() {
        let layers = (0..<12).flatMap { layer in
            ["q_proj", "k_proj", "o_proj"].map { "model.layers.\(layer).self_attn.\($0).weight" }
        }
        let merges = (1...9).map { "task_arithmetic, lambda=0.\($0), of experts that were adapted in 250 steps" }
        let paths = ["a", "b"].map { "/models/\($0)/" + String(repeating: "x", count: 60) }
        for names in [layers, merges, paths, ["expert_digits", "expert_fashion_tops", "expert_fashion_shoes"]] {
            let report = table(nil, names.map { _ in .integer(1) }, names: names)
            for columns in [24, 40, 60, 80, 100] {
                let text = report.text(in: TextStyle(columns: columns, drawsBlocks: true, hasColours: false))
                let first = text.components(separatedBy: "\n\n")[0].split(separator: "\n").dropFirst()
                #expect(first.count == names.count && Set(first).count == names.count, "\(columns): \(text)")
            }
        }
    }
}
