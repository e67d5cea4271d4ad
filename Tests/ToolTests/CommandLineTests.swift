import Checkpoints
import Foundation
import TestSupport
import Testing

@Suite struct CommandLineTests {
    private static let commands = [
        "inspect", "convert", "verify", "diff", "vectors", "interference", "resolve", "merge", "evaluate", "run",
    ]
    private let base = "Fixtures/suites/tiny/base.safetensors"

    @Test func printsItsVersion() throws {
        let outcome = try Tool().run("--version")
        #expect(outcome.status == 0)
        #expect(outcome.output == "0.1.0\n")
    }

    @Test(arguments: [[], ["--help"], ["help"], ["-h"]])
    func printsHelp(arguments: [String]) throws {
        let outcome = try Tool().run(arguments)
        #expect(outcome.status == 0)
        #expect(outcome.errors == "")
        for command in Self.commands { #expect(outcome.output.contains("\n  \(command) ")) }
    }

    @Test(arguments: commands)
    func printsHelpWithAnExampleThatWorks(command: String) throws {
        let tool = try Tool()
        let help = try tool.run(command, "--help")
        #expect(help.status == 0)
        #expect(try tool.run("help", command).output == help.output)
        let lines = help.output.split(separator: "\n", omittingEmptySubsequences: false)
        let start = try #require(lines.firstIndex(of: "Example:"))
        let example = lines[(start + 1)...].prefix { !$0.isEmpty }.joined(separator: "\n")
        #expect(example.contains("untangle \(command)"))
        let outcome = try tool.shell(example)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(!outcome.output.isEmpty)
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func printsCompletions(shell: String) throws {
        let outcome = try Tool().run("--generate-completion-script", shell)
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("untangle"))
    }

    @Test(arguments: [
        ["frobnicate"], ["--frobnicate"], ["inspect"], ["verify", "a", "b"], ["inspect", "a", "--sort", "colour"],
        ["inspect", "a", "--threads", "0"], ["inspect", "a", "--memory", "lots"],
        ["convert", "a", "b", "--dtype", "F33"],
        ["convert", "a", "b", "--shard-size", "-1"], ["diff", "a", "b", "--tolerance", "-1"], ["diff", "a"],
        ["verify", "a", "--npy-void", "F32"], ["inspect", ""],
    ])
    func refusesCommandLinesThatMakeNoSense(arguments: [String]) throws {
        let outcome = try Tool().run(arguments)
        #expect(outcome.status == 2)
        #expect(outcome.output == "")
        #expect(outcome.errors.hasPrefix("error: "))
        #expect(outcome.errors.contains("   [usage]\n"))
        let asJSON = try Tool().run(arguments + ["--json"])
        #expect(asJSON.status == 2)
        #expect(try asJSON.error()["code"].string == "usage")
    }

    /// Rather than write to a file of another name.
    @Test func refusesArgumentsThatAreNotUTF8() throws {
        let tool = try Tool()
        let outcome = try tool.shell(#"untangle convert \#(base) $'caf\xe9.safetensors' --json"#)
        #expect(outcome.status == 2)
        #expect(try outcome.error()["code"].string == "usage")
        #expect(try outcome.error()["message"].string?.hasPrefix("argument 3 is not valid UTF-8: \"caf") == true)
        #expect(try tool.names(in: ".").filter { $0.hasPrefix("caf") }.isEmpty)
        #expect(try tool.shell("untangle convert \(base) café.safetensors").status == 0)
    }

    @Test func saysWhatAnOptionTakes() throws {
        for count in ["0", "5000", "many"] {
            let outcome = try Tool().run("inspect", base, "--threads", count)
            #expect(outcome.status == 2)
            #expect(outcome.errors.contains("'\(count)' is invalid for '--threads <n>': give a number from 1 to 1024"))
        }
        for arguments in [["convert", base, "x.npz"], ["merge", "--method", "average", base, "--output", "x.npz"]] {
            let outcome = try Tool().run(arguments + ["--dtype", "float7"])
            #expect(outcome.status == 2)
            for name in ["F16", "BF16", "F32"] { #expect(outcome.errors.contains(name)) }
        }
    }

    /// The names that recipes and PyTorch have do as well.
    @Test(arguments: [
        ("bfloat16", "BF16"), ("float16", "F16"), ("Float32", "F32"), ("float64", "F64"), ("bf16", "BF16"),
    ])
    func takesTypesByBothNames(name: String, dtype: String) throws {
        let tool = try Tool()
        #expect(try tool.run("convert", base, "c.safetensors", "--dtype", name).status == 0)
        let merge = ["merge", "--method", "average", base, "--output", "m.safetensors", "--dtype", name]
        #expect(try tool.run(merge).status == 0)
        for file in ["c.safetensors", "m.safetensors"] {
            let tensors = try tool.run("inspect", file, "--json").json()["tensors"].items
            #expect(tensors.allSatisfy { $0["dtype"].string == dtype })
        }
    }

    @Test func namesTheCommandWhoseHelpHelps() throws {
        let outcome = try Tool().run("inspect")
        #expect(
            outcome.errors == """
                error: Missing expected argument '<checkpoint> ...'   [usage]
                  hint: see 'untangle inspect --help'

                """)
    }

    @Test func saysThatAFileIsMissing() throws {
        let commandLines = [
            ["inspect", "missing.npz"], ["convert", "missing.npz", "b.npz"], ["verify", "missing.npz"],
            ["diff", "missing.npz", "b.npz"], ["vectors", "--base", "missing.npz", base], ["run", "missing.npz"],
            ["merge", "missing.npz", "b.npz"],
            ["evaluate", "missing.npz", "--head", "a=b.npz", "--data", "a=c.npz"],
        ]
        for arguments in commandLines {
            let outcome = try Tool().run(arguments + ["--json"])
            #expect(outcome.status == 3)
            #expect(try outcome.error()["code"].string == "io.not_found")
            #expect(try outcome.error()["file"].string == "missing.npz")
        }
    }

    @Test func endsQuietlyWhenThePipeBreaks() throws {
        let tool = try Tool()
        let outcome = try tool.shell(
            "untangle inspect \(base) | true; echo ${PIPESTATUS[0]}; untangle diff \(base) "
                + "Fixtures/suites/tiny/expert_digits.safetensors | true; echo ${PIPESTATUS[0]}")
        #expect(outcome.errors == "")
        // The status stays the answer of the command.
        #expect(outcome.output == "0\n1\n")
    }

    @Test func reportsAFullDiskOnStandardOutput() throws {
        let outcome = try Tool().shell("untangle inspect \(base) --json > /dev/full")
        #expect(outcome.status == 4)
        #expect(try outcome.error()["code"].string == "io.disk_full")
    }

    /// A name that would clear the screen or move the cursor is shown, not obeyed.
    @Test func neverPrintsControlCharactersOfAFile() throws {
        let tool = try Tool()
        let header =
            #"{"a\u001b[2J\nb":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"__metadata__":{"k\u0007":"v\u009b"}}"#
        var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init)
        bytes += Array(header.utf8) + [7]
        _ = try tool.folder.write(bytes, to: "odd\u{1B}.safetensors")
        for arguments in [
            ["inspect"], ["inspect", "--tree"], ["inspect", "--json"], ["verify"],
            ["inspect", "--histogram", "x\u{1B}"],
        ] {
            let outcome = try tool.run(arguments + ["odd\u{1B}.safetensors"])
            for text in [outcome.output, outcome.errors] {
                #expect(
                    !text.unicodeScalars.contains {
                        $0 != "\n" && ($0.value < 0x20 || (0x7F...0x9F).contains($0.value))
                    })
            }
        }
    }

    @Test func documentsEveryErrorCode() throws {
        let page = Fixtures.folder.removingLastComponent().appending("docs/errors.md")
        let text = try String(contentsOfFile: page.string, encoding: .utf8)
        let codes = FormatCategory.allCases.map { "format.\($0.rawValue)" }
        for code in codes { #expect(text.contains("| `\(code)` |"), "\(code)") }
    }
}
