import Reporting
import Testing

@Suite struct HTMLPageTests {
    @Test func tablesBecomeRowsAndNothingIsMarkup() {
        var table = Table([.init("task"), .init("loss", .right)])
        table.append(["<script>&\"", "0.5"])
        let page = HTMLPage(title: "a < b", tables: [table], details: "{\"x\": 1}").rendered()
        #expect(page.contains("<title>a &lt; b</title>"))
        #expect(page.contains("<tr><th>task</th><th class=\"right\">loss</th></tr>"))
        #expect(page.contains("<tr><td>&lt;script&gt;&amp;&quot;</td><td class=\"right\">0.5</td></tr>"))
        #expect(page.contains("<pre>{&quot;x&quot;: 1}</pre>"))
        #expect(!page.contains("<script>"))
    }
}
