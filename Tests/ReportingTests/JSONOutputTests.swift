import Reporting
import Testing

@Suite struct JSONOutputTests {
    @Test func keepsTheOrderOfKeysAndIndentsByTwo() {
        let document: JSONOutput = [
            "z": 1, "a": ["x", "y"], "shape": [3, 4], "empty": [], "none": [:], "nested": ["ok": true, "no": nil],
        ]
        #expect(
            document.rendered() == """
                {
                  "z": 1,
                  "a": [
                    "x",
                    "y"
                  ],
                  "shape": [3, 4],
                  "empty": [],
                  "none": {},
                  "nested": {
                    "ok": true,
                    "no": null
                  }
                }
                """)
        #expect(
            document.rendered(.compact)
                == #"{"z":1,"a":["x","y"],"shape":[3,4],"empty":[],"none":{},"nested":{"ok":true,"no":null}}"#)
    }

    @Test func printsNumbersSoThatTheyReadBackTheSame() {
        let document: JSONOutput = [
            0.1, 1e-7, -0.0, .number(.leastNonzeroMagnitude), 1.7976931348623157e308, 1e16, 2.0,
        ]
        #expect(
            document.rendered(.compact) == "[0.1,1e-07,-0.0,5e-324,1.7976931348623157e+308,1e+16,2.0]")
    }

    @Test func writesWhatJSONLacksAsStrings() {
        let document: JSONOutput = [.number(.nan), .number(-.nan), .number(.infinity), .number(-.infinity)]
        #expect(document.rendered(.compact) == #"["nan","nan","inf","-inf"]"#)
    }

    @Test func escapesQuotesBackslashesAndControlCharacters() {
        let text = "\"\\\n\r\t\u{0}\u{1B}[31m\u{7F}\u{9B}\u{2028}\u{202E}\u{2066}/é\u{1F40D}"
        #expect(
            JSONOutput.string(text).rendered()
                == #""\"\\\n\r\t\u0000\u001b[31m\u007f\u009b\u2028\u202e\u2066/é"# + "\u{1F40D}\"")
        #expect((["\n": 1] as JSONOutput).rendered(.compact) == #"{"\n":1}"#)
    }

    @Test func addsMembersThatAreAskedFor() {
        let base: JSONOutput = ["a": 1]
        #expect(base.adding("b", 2).rendered(.compact) == #"{"a":1,"b":2}"#)
        #expect(base.adding("b", nil) == base)
    }
}
