import Reporting
import Testing

@Suite struct TableTests {
    @Test func alignsColumnsAndLeavesNoSpacesAtLineEnds() {
        var table = Table([.init("NAME"), .init("BYTES", .right), .init("NOTE")])
        table.append(["a.weight", "12", ""])
        table.append(["b", "1,234,567", "large"])
        table.append(["c"])
        #expect(
            table.rendered() == """
                NAME          BYTES  NOTE
                a.weight         12
                b         1,234,567  large
                c

                """)
    }

    @Test func countsColumnsAsATerminalDoes() {
        var table = Table([.init(""), .init("")])
        table.showsTitles = false
        table.append(["日本", "wide"])
        table.append(["e\u{301}", "combining"])
        table.append(["abcd", "plain"])
        #expect(
            table.rendered() == """
                日本  wide
                e\u{301}     combining
                abcd  plain

                """)
    }

    @Test func escapesControlCharacters() {
        var table = Table([.init("NAME")])
        table.append(["a\u{1B}[2J\nb"])
        #expect(table.rendered() == "NAME\na\\u{1B}[2J\\u{A}b\n")
    }

    @Test func printsTitlesOfAnEmptyTable() {
        #expect(Table([.init("A"), .init("B", .right)]).rendered() == "A  B\n")
    }
}
