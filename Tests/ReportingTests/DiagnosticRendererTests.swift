import Reporting
import TensorCore
import Testing

private struct Fault: Diagnostic {
    var code = "format.truncated"
    var message = "tensor \"a\" ends at byte 200 but the file has 100"
    var file: String?
    var tensor: String?
    var byteOffset: UInt64?
    var position: TextPosition?
    var hint: String?
    var details: DiagnosticTable?
    var severity = DiagnosticSeverity.badInput
}

@Suite struct DiagnosticRendererTests {
    @Test func printsThreeLines() {
        let fault = Fault(file: "model.safetensors", tensor: "a", byteOffset: 7312, hint: "download it again")
        #expect(
            DiagnosticRenderer.text(fault) == """
                error: tensor "a" ends at byte 200 but the file has 100
                  in model.safetensors, tensor "a", at byte 7,312   [format.truncated]
                  hint: download it again

                """)
    }

    @Test func saysWhereInATextAnErrorIs() {
        let fault = Fault(message: "m", file: "r.yaml", position: TextPosition(line: 3, column: 7))
        #expect(
            DiagnosticRenderer.text(fault) == """
                error: m
                  in r.yaml, line 3, column 7   [format.truncated]

                """)
        #expect(
            DiagnosticRenderer.json(fault).rendered(.compact).hasSuffix(
                #""file":"r.yaml","tensor":null,"offset":null,"hint":null,"line":3,"column":7}}"#))
    }

    @Test func putsTheCodeOnTheFirstLineWhenThereIsNoPlace() {
        #expect(
            DiagnosticRenderer.text(Fault(code: "usage", message: "no input"))
                == "error: no input   [usage]\n")
    }

    @Test func printsDetailsAsATableBeforeTheLines() {
        let rows = (0..<42).map { ["t\($0)", "missing"] }
        let fault = Fault(
            code: "merge.incompatible", message: "42 differ",
            details: .init(columns: ["tensor", "problem"], rows: rows))
        let lines = DiagnosticRenderer.text(fault).split(separator: "\n")
        #expect(lines.count == 1 + 40 + 1 + 1)
        #expect(lines[0] == "tensor  problem")
        #expect(lines[1] == "t0      missing")
        #expect(lines[41] == "and 2 more; --json lists all")
        #expect(lines[42] == "error: 42 differ   [merge.incompatible]")
        let json = DiagnosticRenderer.json(fault).rendered(.compact)
        #expect(json.contains(#""details":[{"tensor":"t0","problem":"missing"},"#))
        #expect(json.contains(#"{"tensor":"t41","problem":"missing"}]"#))
        #expect(!DiagnosticRenderer.json(Fault()).rendered().contains("details"))
    }

    @Test func escapesWhatAStrangerWrote() {
        let fault = Fault(message: "bad\nname", file: "a\u{1B}]0;x\u{7}", tensor: "t\u{9B}", hint: "x\ny")
        #expect(
            DiagnosticRenderer.text(fault) == """
                error: bad\\u{A}name
                  in a\\u{1B}]0;x\\u{7}, tensor "t\\u{9B}"   [format.truncated]
                  hint: x\\u{A}y

                """)
    }

    @Test func rendersEveryKeyAsJSON() {
        let fault = Fault(message: "m", file: "f", byteOffset: 3)
        #expect(
            DiagnosticRenderer.json(fault).rendered(.compact)
                == #"{"error":{"code":"format.truncated","message":"m","file":"f","tensor":null,"offset":3,"hint":null}}"#
        )
    }
}
