import Reporting
import TensorCore
import Testing

@Suite struct WarningRendererTests {
    @Test func peopleSeeTheSentenceAndThePlace() {
        let plain = Warning(NumberWarning.notFinite, "odd\u{1B}")
        #expect(WarningRenderer.text(plain.about("m")) == "warning: m: odd\\u{1B}\n")
        let placed = Warning(NumberWarning.notFinite, "odd", file: "r.yaml", at: TextPosition(line: 3, column: 7))
        #expect(WarningRenderer.text(placed) == "warning: line 3: odd\n  in r.yaml, line 3, column 7\n")
    }

    @Test func programsSeeTheCode() {
        let placed = Warning(NumberWarning.notFinite, "odd", file: "r.yaml", at: TextPosition(line: 3, column: 7))
        #expect(
            WarningRenderer.event(placed).rendered(.compact)
                == #"{"event":"warning","code":"input.not_finite","message":"line 3: odd","file":"r.yaml","line":3,"column":7}"#
        )
        #expect(
            WarningRenderer.event(Warning(NumberWarning.notFinite, "odd")).rendered(.compact)
                == #"{"event":"warning","code":"input.not_finite","message":"odd"}"#)
    }
}
