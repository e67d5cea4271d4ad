import Reporting
import Testing

@Suite struct TextStyleTests {
    private func style(_ environment: [String: String]) -> TextStyle {
        TextStyle(terminalOf: 80) { environment[$0] }
    }

    private let modern = ["TERM": "xterm-256color", "LANG": "en_GB.UTF-8"]

    @Test func aModernTerminalHasBlocksAndColours() {
        #expect(style(modern) == TextStyle(columns: 80, drawsBlocks: true, hasColours: true))
        #expect(style(["TERM": "foot", "COLORTERM": "truecolor", "LC_ALL": "C.utf8"]).hasColours)
    }

    /// no-color.org: present and not an empty string, whatever its value.
    @Test func noColourTakesColoursAndLeavesBlocks() {
        for value in ["1", "0", "false"] {
            let style = style(modern.merging(["NO_COLOR": value]) { $1 })
            #expect(style == TextStyle(columns: 80, drawsBlocks: true, hasColours: false))
        }
        #expect(style(modern.merging(["NO_COLOR": ""]) { $1 }).hasColours)
    }

    /// POSIX: LC_ALL, then LC_CTYPE, then LANG; one that is empty counts as not set.
    @Test(arguments: [
        (["LC_ALL": "C", "LC_CTYPE": "C.UTF-8", "LANG": "C.UTF-8"], false),
        (["LC_ALL": "", "LC_CTYPE": "de_DE.utf8", "LANG": "C"], true),
        (["LC_CTYPE": "POSIX", "LANG": "C.UTF-8"], false), (["LANG": "C.UTF-8"], true), ([:], false),
        (["LANG": "ru_RU.KOI8-R"], false),
    ]) func theLocaleSaysWhetherThereAreBlocks(locale: [String: String], draws: Bool) {
        #expect(style(["TERM": "xterm"].merging(locale) { $1 }).drawsBlocks == draws)
    }

    @Test(arguments: ["dumb", "", nil]) func aDumbTerminalHasItsWidthAlone(terminal: String?) {
        var environment = ["LANG": "C.UTF-8", "COLORTERM": "truecolor"]
        environment["TERM"] = terminal
        #expect(style(environment) == TextStyle(columns: 80, drawsBlocks: false, hasColours: false))
    }

    @Test func aTerminalOfFewerColoursGetsShades() {
        #expect(
            style(["TERM": "vt220", "LANG": "C.UTF-8"])
                == TextStyle(columns: 80, drawsBlocks: true, hasColours: false))
    }
}
