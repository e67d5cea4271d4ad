import Foundation
import FoundationXML
import Reporting
import TensorCore
import Testing

/// What a page has, and what it never has.
@Suite struct PageTests {
    /// Text from a file that tries to be markup, to end what it stands in, or to change how its surroundings are read.
    static let hostile = [
        "<script>alert(1)</script>", "\"'&amp;]]>--><!--", "a\u{0}\u{1B}[31m\nb\u{85}\u{2028}",
        "\u{202E}gnp.\u{2066}\u{61C}",
        String(repeating: "long/", count: 2000), "e" + String(repeating: "\u{301}", count: 300), "\u{FFFE}\u{FFFF}漢🎉",
    ]

    /// A report with a name in every place that a name can have.
    static func report(of name: String) -> Report {
        let names = [name, "b"]
        let column = Report.Column("key", name)
        var matrix = Report.Matrix(
            "m", title: name, kind: .number, rows: names, columns: names, values: [[1, 2], [.nan, 4]])
        matrix.caption = name
        var series = Report.Series(
            "s", name: column, axis: column, figures: [column, .init(nil, "f")],
            rows: names.flatMap { name in (0..<3).map { [.text(name), .integer($0), .number(1), .number(Double($0))] } }
        )
        series.caption = name
        var report = Report(
            title: name,
            sections: [
                .facts([.init("f", name, .text, .text(name))]), .matrix(matrix), .series(series),
                .table(Report.Table("t", [column], rows: [[.text(name)]], footer: [.text(name)])),
                .bars(
                    .init(
                        name, title: name, labels: names, kind: .number,
                        groups: names.map { .init($0, [1, 2], intervals: [0...1, nil]) })),
                .scatter(
                    .init(
                        name, title: name, x: column, y: column,
                        points: names.map { .init($0, group: $0, x: 1, y: 2, interval: 1...2) })),
                .text([name]), .group([.text([name])]), .reports("r", [Report(title: name, sections: [.text([name])])]),
                .warnings,
            ], warnings: [Warning(NumberWarning.notFinite, name)], mark: "total")
        report.provenance = [.init("p", .text(name))]
        report.summary = [name]
        report.origin = .init(
            command: name, recipe: name, versions: [.init(name, name)],
            inputs: [.init(name, byteCount: 1, digest: name)])
        return report
    }

    /// A page is well-formed XML, so that a parser finds what browsers do: no element but those that pages have.
    @Test(arguments: hostile.indices) func takesNothingAsMarkup(number: Int) throws {
        let page = Self.report(of: Self.hostile[number]).html
        let found = try Elements(of: page)
        let plain = try Elements(of: Self.report(of: "plain").html)
        #expect(found.names == plain.names)
        // Long names are turned in pictures, and whole in the hover text of a column.
        #expect(found.attributes.subtracting(["transform", "title"]).isSubset(of: plain.attributes))
        #expect(!found.names.contains("script"))
        #expect(!page.unicodeScalars.contains { $0 != "\n" && ($0.value < 0x20 || $0.properties.isBidiControl) })
        for picture in SamplePictures.pictures(of: page) { _ = try Elements(of: picture) }
    }

    /// Nothing is fetched: no address but that of SVG's namespace, which is a name.
    @Test func fetchesNothing() {
        let page = Self.report(of: "plain").html.replacing("http://www.w3.org/2000/svg", with: "")
        for part in ["http", "url(", "@import", "src=", "<script", "href=\"/"] { #expect(!page.contains(part)) }
    }

    @Test func longNamesAreWholeInTablesAndHoverTexts() {
        let name = Self.hostile[4]
        let page = Self.report(of: name).html
        #expect(page.contains("<td class=\"long\">\(name)</td>"))
        #expect(SamplePictures.pictures(of: page)[0].contains("<title>\(name)</title>"))
        // Pictures have them otherwise cut: 28 columns of letters, of which one is the dots, 14 before and 13 behind.
        #expect(page.contains(">long/long/long…ng/long/long/</text>"))
    }

    @Test func saysFirstWhatMattersAndLastWhereItComesFrom() throws {
        var report = Report(
            title: "Title", sections: [.text(["middle"]), .warnings],
            warnings: [Warning(NumberWarning.notFinite, "careful")], mark: "total")
        report.provenance = [.init("total", .number(1))]
        report.summary = ["First sentence."]
        report.origin = .init(
            command: "untangle run r.yaml", recipe: "a: 1\nb: 2", versions: [.init("untangle", "1.2")],
            inputs: [.init("base.npz", byteCount: 2048, digest: "sha256:12")])
        let page = report.html
        var rest = page[...]
        for part in [
            "<!doctype html>", "<title>Title</title>", "<h1>Title</h1>", "<p>First sentence.</p>", ">middle</p>",
            "<li>careful</li>", "<pre>untangle run r.yaml</pre>", "<pre>a: 1\nb: 2</pre>", "<td>base.npz</td>",
            "<td class=\"right\">2.00 KiB</td>", "<td>sha256:12</td>", "untangle 1.2",
            "<pre>{\n  &quot;total&quot;: 1.0,\n  &quot;warnings&quot;: [",
        ] {
            rest = rest[(try #require(rest.firstRange(of: part), "\(part)")).upperBound...]
        }
        (report.origin, report.mark) = (nil, nil)
        #expect(!report.html.contains("<footer>"))
    }

    /// Every picture stands between its caption and its figures.
    @Test func figuresHaveACaptionAPictureAndATable() {
        for (name, section) in SamplePictures.all {
            let page = Report(title: "t", sections: [section]).html
            #expect(
                page.contains(
                    /<figure>\n<figcaption>[^<]+<\/figcaption>\n<div class="plot"(.|\n)*<\/svg>\n<\/div>\n<div class="rows"/
                ),
                "\(name)")
        }
    }

    /// What figures lie in stands beside them below the picture as well; a table of many columns is printed small.
    @Test func figuresOfAMatrixHaveTheirIntervals() {
        func page(_ count: Int) -> String {
            let names = (0..<count).map { "n\($0)" }
            var matrix = Report.Matrix(
                nil, title: "t", kind: .number, rows: ["r"], columns: names, values: [names.map { _ in 2 }])
            matrix.intervals = [names.map { $0 == "n0" ? 1...3 : nil }]
            return Report(title: "t", sections: [.matrix(matrix)]).html
        }
        #expect(page(2).contains("<td>r</td>\n<td>2 (1 to 3)</td>\n<td>2</td>"))
        #expect(page(12).contains("<table class=\"wide\">") && !page(2).contains("<table class=\"wide\">"))
    }

    /// Of 500 steps 60 are in the table, the first and the last among them, and a line says so.
    @Test func tablesOfLongCurvesHaveSomeOfTheirFigures() {
        let series = SamplePictures.curves(isLogarithmic: false, (0..<500).map { Double($0) }, [])
        let page = Report(title: "t", sections: [.series(series)]).html
        #expect(page.components(separatedBy: "<tr>").count - 1 == 61)
        #expect(page.contains("<td class=\"right\">0</td>\n<td class=\"right\">0</td>"))
        #expect(page.contains("<td class=\"right\">499</td>\n<td class=\"right\">499</td>"))
        #expect(page.contains("60 of 500 places"))
    }

    /// Eight experts of 24 layers with six matrices each: heat maps, bars, spectra, losses of 200 steps, a row for every tensor.
    @Test func ofEightExpertsWith24LayersIsUnderAMegabyte() {
        let experts = (0..<8).map { "expert_\($0)" }
        let layers = (0..<24).map { "blocks.\($0)" }
        let parts = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "norm1", "norm2"]
        func figures(_ count: Int) -> [Double] { (0..<count).map { 0.1 + Double(($0 * 7919) % 1000) / 1013 } }
        let square = { (title: String) -> Report.Section in
            .matrix(
                .init(
                    nil, title: title, kind: .decimals(3), rows: experts, columns: experts,
                    values: experts.map { _ in figures(8) }, caption: title))
        }
        func curves(_ title: String, _ count: Int) -> Report.Section {
            .series(
                Report.Series(
                    nil, name: .init(nil, "expert"), axis: .init(nil, "step", .count), figures: [.init(nil, title)],
                    rows: experts.flatMap { name in
                        figures(count).enumerated().map { [.text(name), .integer($0), .number($1)] }
                    }))
        }
        let report = Report(
            title: "vectors",
            sections: [
                .table(
                    .init(
                        "tensors",
                        [.init("name", "tensor")]
                            + ["norm", "relative", "cosine", "conflict", "rank", "svc"].map { .init($0, $0, .number) },
                        rows: layers.flatMap { layer in
                            parts.flatMap { part in
                                experts.map {
                                    [.text("\($0): \(layer).\(part).weight")] + figures(6).map(Report.Value.number)
                                }
                            }
                        })), square("cosine"), square("sign conflict"), square("overlap"), square("interference"),
                .matrix(
                    .init(
                        nil, title: "layer", kind: .decimals(3), rows: experts, columns: layers,
                        values: experts.map { _ in figures(24) })),
                .bars(
                    .init(
                        "Norms", title: "layer", labels: layers, kind: .number,
                        groups: experts.map { .init($0, figures(24), intervals: figures(24).map { 0...$0 }) })),
                curves("loss", 200), curves("own", 200), curves("others", 200), curves("energy", 64),
            ])
        #expect(report.html.utf8.count < 1_000_000)
        #expect(SamplePictures.pictures(of: report.html).count == 10)
    }
}

/// The names in a document, by a parser that stops where it is not well-formed.
private final class Elements: NSObject, XMLParserDelegate {
    private(set) var names: Set<String> = []
    private(set) var attributes: Set<String> = []

    init(of document: String) throws {
        super.init()
        let parser = XMLParser(data: Data(document.replacing("<!doctype html>\n", with: "").utf8))
        parser.delegate = self
        guard parser.parse() else {
            throw parser.parserError ?? CocoaError(.fileReadCorruptFile)
        }
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        names.insert(name)
        self.attributes.formUnion(attributes.keys)
    }
}
