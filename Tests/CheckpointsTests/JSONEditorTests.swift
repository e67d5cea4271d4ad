import Checkpoints
import TensorCore
import TestSupport
import Testing

@Suite struct JSONEditorTests {
    private func edit(_ text: String, _ path: String..., to literal: String) throws -> String {
        var editor = try JSONEditor(Array(text.utf8))
        try editor.set(path, to: literal)
        return String(decoding: editor.text, as: UTF8.self)
    }

    @Test func replacesAValueAndNothingElse() throws {
        #expect(
            try edit(#"{"a": 1e-05,  "b":"x\u0041" ,"c":[1, 2]}"#, "b", to: "7") == #"{"a": 1e-05,  "b":7 ,"c":[1, 2]}"#
        )
        #expect(try edit(#"{"a":{"b":null},"b":1}"#, "a", "b", to: "true") == #"{"a":{"b":true},"b":1}"#)
        #expect(try edit(#"{"a":[1,2]}"#, "a", to: "{}") == #"{"a":{}}"#)
    }

    @Test func addsAKeyInTheStyleOfItsObject() throws {
        #expect(try edit("{\n  \"a\": 1\n}\n", "b", to: "2") == "{\n  \"a\": 1,\n  \"b\": 2\n}\n")
        #expect(try edit(#"{"a":1}"#, "b", to: "2") == #"{"a":1,"b":2}"#)
        #expect(try edit(#"{"a": 1}"#, "b", to: "2") == #"{"a": 1, "b": 2}"#)
        #expect(try edit("{ }", "b", to: "2") == #"{"b": 2 }"#)
        #expect(try edit(#"{"a": {"c": {"x": 1}}}"#, "a", "c", "d", to: "[]") == #"{"a": {"c": {"x": 1, "d": []}}}"#)
    }

    @Test func leavesATextWithoutThePlaceAlone() throws {
        #expect(try edit(#"{"a":1}"#, "a", "b", to: "2") == #"{"a":1}"#)
        #expect(try edit("[1]", "a", to: "2") == "[1]")
        var editor = try JSONEditor(Array(#"{"a":1}"#.utf8))
        #expect(try editor.set(["a"], to: "1") == false)
        #expect(throws: FormatError.self) { try JSONEditor(Array("{".utf8)) }
        #expect(JSONEditor.quoted("a\"\n") == #""a\"\n""#)
    }

    /// Values printed by python-xxhash 4.1.
    @Test func hashesAsXXHSumDoes() {
        #expect(ContentHash.Accumulator().finish().description == "99aa06d3014798d86001c324468d497f")
        let bytes = (0..<1000).map { UInt8($0 % 251) }
        let hash = ContentHash.Accumulator()
        bytes[..<333].withUnsafeBytes { hash.update($0) }
        bytes[333...].withUnsafeBytes { hash.update($0) }
        #expect(hash.finish().description == "18bf41bc8229e27733ef703fb2b20ed1")
    }
}
