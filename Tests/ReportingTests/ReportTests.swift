import Reporting
import TensorCore
import Testing

/// Every renderer on one report, whose texts are written here by hand.
@Suite struct ReportTests {
    private let report = Report(
        title: "a < b", provenance: [.init("base", .text("b,\"c\""))],
        sections: [
            .table(
                Report.Table(
                    "tasks",
                    [
                        .init("name", "task"), .init("accuracy.base", "base", .share), .init("samples", nil, .count),
                        .init("accuracy.merged", "merged", .share), .init("loss", "loss", .change(decimals: 1)),
                        .init("maybe", nil), .init(nil, "note"), .init("steps", nil),
                    ],
                    rows: [
                        [
                            .text("<x|y>"), .number(0.5), .integer(1200), .none, .change(first: 2, last: 1.25),
                            .absent, .text("n"),
                            .table(Report.Table("steps", [.init("step", nil)], rows: [[.integer(1)], [.integer(2)]])),
                        ],
                        [
                            .text("z\n"), .number(.nan), .integer(3), .number(1), .none, .flag(true), .none,
                            .table(Report.Table("steps", [.init("step", nil)], rows: [[.integer(7)]])),
                        ],
                    ],
                    footer: [
                        .text("mean"), .number(0.75), .none, .none, .text(""), .none, .text(""), .none,
                    ])),
            .facts([.init("mean.base", .number(.infinity)), .init("mean.list", .numbers([1, 2.5]))]),
            .matrix(
                Report.Matrix(
                    "matrix", title: "on \\ from", kind: .decimals(2), rows: ["p"], columns: ["q", "r"],
                    values: [[0.125, 2]])),
            .text(["done\u{1B}"]), .warnings,
        ], warnings: [Warning(NumberWarning.notFinite, "careful")])

    @Test func peopleSeeWhatHasATitle() {
        // 0.125 is between 0.12 and 0.13, and C rounds it to even.
        #expect(
            report.text == """
                task      base   merged        loss  note
                <x|y>   50.0 %        -  2.0 -> 1.2  n
                z\\u{A}     nan  100.0 %           -  -
                mean    75.0 %        -

                on \\ from     q     r
                p          0.12  2.00

                done\\u{1B}

                """)
    }

    @Test func documentsHaveWhatHasAKey() {
        #expect(
            report.json.rendered(.compact)
                == #"{"base":"b,\"c\"","tasks":[{"name":"<x|y>","accuracy":{"base":0.5,"merged":null},"samples":1200,"#
                + #""loss":{"first":2.0,"last":1.25},"steps":[{"step":1},{"step":2}]},"#
                + #"{"name":"z\n","accuracy":{"base":"nan","merged":1.0},"samples":3,"loss":null,"maybe":true,"#
                + #""steps":[{"step":7}]}],"mean":{"base":"inf","list":[1.0,2.5]},"#
                + #""matrix":{"rows":["p"],"columns":["q","r"],"values":[[0.125,2.0]]},"warnings":["careful"]}"#)
    }

    /// Quoted by RFC 4180, and nested tables say to which row they belong.
    @Test func tablesOfCSVAreNamed() {
        #expect(
            report.csv == """
                facts
                key,value
                base,"b,""c""\"
                mean.base,inf
                mean.list,1.0;2.5

                tasks
                name,accuracy.base,samples,accuracy.merged,loss.first,loss.last,maybe
                <x|y>,0.5,1200,,2.0,1.25,
                "z
                ",nan,3,1.0,,,true

                tasks.steps
                tasks.name,step
                <x|y>,1
                <x|y>,2
                "z
                ",7

                matrix
                ,q,r
                p,0.125,2.0

                warnings
                code,message
                input.not_finite,careful

                """)
    }

    @Test func oneTableOfCSVStandsAlone() {
        let series = Report.Series(
            "trace", name: .init("expert", "expert"), axis: .init("step", "step"),
            figures: [.init("loss", "loss <")],
            rows: [
                [.text("a"), .integer(1), .number(4)], [.text("a"), .integer(3), .number(2)],
                [.text("b"), .integer(2), .number(.nan)], [.text("b"), .integer(3), .number(3)],
            ])
        let report = Report(title: "t", sections: [.series(series)])
        #expect(report.csv == "expert,step,loss\na,1,4.0\na,3,2.0\nb,2,nan\nb,3,3.0\n")
        #expect(report.text == "")
        #expect(report.html.contains("<figcaption>Loss &lt; by step</figcaption>"))
    }

    @Test func pagesTakeNothingAsMarkup() {
        let page = report.html
        #expect(page.contains("<title>a &lt; b</title>"))
        #expect(page.contains("<tr>\n<th>task</th>\n<th class=\"right\">base</th>"))
        #expect(page.contains("<tr>\n<td>&lt;x|y&gt;</td>\n<td class=\"right\">50.0 %</td>"))
        #expect(!page.contains("<x"))
        #expect(!page.contains("<pre>"))
        var marked = report
        marked.mark = "tasks"
        #expect(marked.html.contains("<pre>{\n  &quot;base&quot;: &quot;b,"))
        #expect(marked.markdown.contains("```json\n{\n  \"base\""))
        #expect(
            report.markdown == """
                # a \\< b

                | task | base | merged | loss | note |
                | --- | --: | --: | --: | --- |
                | \\<x\\|y\\> | 50.0 % | - | 2.0 -\\> 1.2 | n |
                | z\\\\u\\{A\\} | nan | 100.0 % | - | - |
                | mean | 75.0 % | - |  |  |

                | on \\\\ from | q | r |
                | --- | --: | --: |
                | p | 0.12 | 2.00 |

                    done\\u{1B}

                """)
    }

    /// Formulas and addresses that nobody put into brackets are text as well.
    @Test func markdownMakesNothingOfNames() {
        let names = ["$(x) $y$", "http://a.b", "www.a.b", "a@b.c"]
        let report = Report(
            title: "t", sections: [.table(Report.Table(nil, [.init(nil, "n")], rows: names.map { [.text($0)] }))])
        #expect(
            report.markdown.hasSuffix(
                """
                | \\$(x) \\$y\\$ |
                | http\\://a.b |
                | www\\.a.b |
                | a\\@b.c |

                """))
    }

    /// Facts with a title, groups, reports within a report, and rows that are made when they are needed.
    @Test func partsOfReportsAreRenderedForEveryReader() {
        let report = Report(
            title: "t",
            sections: [
                .group([
                    .facts([.init("a", "first", .count, .integer(1200)), .init("hidden", .text("h"))]),
                    .text(["  in <b>"]), .text([]),
                ]),
                .reports(
                    "parts",
                    [
                        Report(title: "p", sections: [.facts([.init("x.y", .integer(1)), .init("z", .absent)])]),
                        Report(
                            title: "q",
                            sections: [.facts([.init("z", .facts([.init("k", .text("v"))]))]), .text(["two"])]),
                    ]),
                .table(
                    Report.Table(
                        "rows", [.init("shape", "shape", .shape), .init("types", "types", .pair)],
                        rows: Report.Rows(of: [("A", 1), ("B", 2)]) { type, length in
                            [.integers([2, length]), .texts(["A", type])]
                        })),
            ])
        #expect(
            report.text == """
                first  1,200
                  in <b>

                two

                shape   types
                [2, 1]  A
                [2, 2]  A -> B

                """)
        #expect(
            report.json.rendered(.compact)
                == #"{"a":1200,"hidden":"h","parts":[{"x":{"y":1}},{"z":{"k":"v"}}],"#
                + #""rows":[{"shape":[2,1],"types":["A","A"]},{"shape":[2,2],"types":["A","B"]}]}"#)
        #expect(
            report.csv == """
                facts
                key,value
                a,1200
                hidden,h

                parts
                x.y,z
                1,
                ,k=v

                rows
                shape,types
                2;1,A;A
                2;2,A;B

                """)
        #expect(
            report.html.contains(
                """
                <table>
                <tr>
                <td>first</td>
                <td class="right">1,200</td>
                </tr>
                </table>
                </div>
                <p class="lines">  in &lt;b&gt;</p>
                <p class="lines">two</p>
                <div class="rows" tabindex="0" role="region" aria-label="rows">
                <table>
                <thead>
                <tr>
                <th>shape</th>
                """))
        #expect(
            report.markdown == """
                # t

                |  |  |
                | --- | --: |
                | first | 1,200 |

                      in <b>

                    two

                | shape | types |
                | --- | --- |
                | \\[2, 1\\] | A |
                | \\[2, 2\\] | A -\\> B |

                """)
    }
}
