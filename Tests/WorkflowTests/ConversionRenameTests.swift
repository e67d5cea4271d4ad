import Checkpoints
import TensorCore
import Testing
import TestSupport
import Transcoding

@Suite struct ConversionRenameTests {
    private let folder = TemporaryFolder()

    /// The name that a rule makes of another, by way of a plan.
    private func rename(_ name: TensorName, _ rule: String) throws -> TensorName {
        let descriptor = try TensorDescriptor(name: name, dtype: .u8, shape: [0])
        let file = folder.file("x.safetensors")
        _ = try SafetensorsWriter(
            creating: file, declaring: [descriptor], options: WriteOptions(force: true, sync: false)
        )
        .finish()
        let plan = try ConversionPlan(
            of: try TensorStore(opening: file), to: try .test(folder.file("y.safetensors")),
            options: ConversionOptions(renames: [TensorRename(rule)]))
        return try #require(plan.items.first).target.name
    }

    @Test(arguments: [
        ("a.b", "b=>c", "a.c"), ("a.a", "a=>bb", "bb.bb"), ("x1y2", #"([a-z])(\d)=>$2$1"#, "1x2y"),
        ("x1", #"(x)(1)=>\2\1"#, "1x"),
        ("x1", #"(x)=>${1}0"#, "x01"), ("abc", "^=>pre.", "pre.abc"), ("abc", "b=>$$1", "a$1c"),
        ("abc", "b=>\\\\", "a\\c"), ("abc", "(.*)=>model.$1", "model.abc"), ("abc", "x*=>-", "-a-b-c-"),
        ("abc", "b=>[$0]", "a[b]c"), ("abc", "z=>y", "abc"), ("a", "(z)?a=>$1b", "b"), ("a=>b", "a=>x=>", "x=>=>b"),
        ("a", "a=>$x", "$x"),
        // Scalar by scalar: the accent of a decomposed letter is a character of its own.
        ("e\u{301}", "e=>a", "a\u{301}"), ("e\u{301}", "\u{e9}=>x", "e\u{301}"),
    ])
    func replacesEveryMatch(_ name: String, _ rule: String, _ expected: String) throws {
        #expect(try rename(TensorName(name), rule) == TensorName(expected))
    }

    @Test(arguments: ["no arrow", "=>x", "(=>x", "[=>x", "*=>x"]) func refusesBrokenRules(_ rule: String) {
        let error = #expect(throws: RenameError.self) { try TensorRename(rule) }
        #expect(error?.code == "usage.rename")
        #expect(error?.severity == .usage)
    }

    @Test func refusesGroupsThatThePatternDoesNotHave() {
        let error = #expect(throws: RenameError.self) { try rename("a", "(a)=>$2") }
        #expect(error?.code == "usage.rename")
    }
}
