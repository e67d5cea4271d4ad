import Foundation
import TestSupport
import Testing

/// Names that drive a terminal or turn the direction of writing, in everything that people are shown.
@Suite struct StrangeNameTests {
    private let tool: Tool
    /// As a file, a tensor and metadata may be called.
    private let name = "a\u{1B}[31m\u{202E}b\u{2066}\u{200F}\u{9B}c"

    init() throws {
        tool = try Tool()
        try write("\(name).safetensors", tensor: name, value: 1)
        try write("\(name) 2.safetensors", tensor: name, value: 2)
        try write("other.safetensors", tensor: "other\(name)", value: 1)
        let quoted = #"a\e[31m\u202eb\u2066\u200f\x9bc"#
        let recipe = """
            merge_method: average
            models: [{ model: "\(quoted).safetensors" }, { model: "\(quoted) 2.safetensors" }]
            output: "\(quoted) r.safetensors"

            """
        _ = try tool.folder.write(Array(recipe.utf8), to: "\(name).yaml")
    }

    private func write(_ file: String, tensor: String, value: Float) throws {
        let header: [String: Any] = [
            "__metadata__": [name: name],
            "\(tensor).weight": ["dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]],
        ]
        let json = try JSONSerialization.data(withJSONObject: header)
        let start = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) }
        let values = [value, 0, 0, value].withUnsafeBytes { Array($0) }
        _ = try tool.folder.write(start + json + values, to: file)
    }

    @Test(arguments: [
        ["inspect", "NAME.safetensors"], ["inspect", "NAME.safetensors", "--tree"],
        ["inspect", "NAME.safetensors", "--stats", "--checksum"],
        ["inspect", "NAME.safetensors", "--histogram", "NAME.weight"], ["inspect", "NAME.none"],
        ["verify", "NAME.safetensors"], ["diff", "NAME.safetensors", "NAME 2.safetensors"],
        ["diff", "NAME.safetensors", "other.safetensors"], ["convert", "NAME.safetensors", "NAME.skein"],
        ["convert", "NAME.safetensors", "NAME.unknown"], ["convert", "NAME.safetensors", "NAME 2.safetensors"],
        ["vectors", "--base", "NAME.safetensors", "NAME 2.safetensors", "--per", "tensor", "--spectrum"],
        ["merge", "--method", "average", "NAME.safetensors", "NAME 2.safetensors", "--output", "NAME m.safetensors"],
        ["merge", "--method", "average", "NAME.safetensors", "NAME 2.safetensors", "--output", "NAME/"],
        ["merge", "--method", "average", "NAME.safetensors", "other.safetensors", "--output", "m.safetensors"],
        [
            "merge", "--method", "tsv_m", "--base", "NAME.safetensors", "NAME 2.safetensors", "--dry-run", "--output",
            "NAME.safetensors",
        ],
        ["merge", "NAME.yaml", "NAME m.safetensors"], ["run", "NAME.yaml"],
        ["merge", "--method", "NAME", "NAME.safetensors", "--output", "NAME.safetensors"], ["NAME"],
    ]) func areShownEscaped(arguments: [String]) throws {
        let outcome = try tool.run(arguments.map { $0.replacing("NAME", with: name) })
        let text = outcome.output + outcome.errors
        #expect(text.contains(#"a\u{1B}[31m\u{202E}b\u{2066}\u{200F}\u{9B}c"#))
        let controls = text.unicodeScalars.filter {
            $0 != "\n" && ($0.properties.generalCategory == .control || $0.properties.isBidiControl)
        }
        #expect(controls.isEmpty, "\(text.debugDescription)")
    }

    /// JSON has names as they are; what must be escaped there is.
    @Test func areWholeInJSON() throws {
        let outcome = try tool.run("inspect", "\(name).safetensors", "--json")
        #expect(try outcome.json()["tensors"][0]["name"].string == "\(name).weight")
        #expect(outcome.output.utf8.allSatisfy { $0 >= 0x20 || $0 == UInt8(ascii: "\n") })
    }
}
