import Foundation
import Glibc
import SystemPackage
import Testing

extension Tool {
    /// Runs the tool on a terminal of a width and reads what it is shown on it.
    ///
    /// - Parameter errorsToo: whether standard error leads there as well.
    func onTerminal(
        columns: Int, errorsToo: Bool = false, environment: [String: String] = [:], _ arguments: [String]
    ) throws -> String {
        // What posix_openpt, unlockpt and ptsname do, which Glibc does not show to Swift.
        let main = try FileDescriptor.open("/dev/ptmx", .readWrite, options: .closeOnExec)
        defer { try? main.close() }
        var (lock, number): (Int32, UInt32) = (0, 0)
        guard ioctl(main.rawValue, 0x4004_5431, &lock) == 0, ioctl(main.rawValue, 0x8004_5430, &number) == 0 else {
            throw Errno(rawValue: errno)
        }
        let terminal = FileDescriptor(rawValue: open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC))
        var size = winsize(ws_row: 24, ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
        guard terminal.rawValue >= 0, ioctl(terminal.rawValue, UInt(TIOCSWINSZ), &size) == 0 else {
            throw Errno(rawValue: errno)
        }
        let process = Process()
        process.executableURL = Self.binary
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path.string)
        process.environment = ["TERM": "xterm-256color", "LC_ALL": "C.UTF-8"].merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        let stream = FileHandle(fileDescriptor: terminal.rawValue, closeOnDealloc: false)
        process.standardOutput = stream
        process.standardError = errorsToo ? stream : FileHandle.nullDevice
        try process.run()
        try terminal.close()
        // The last reader of a terminal that nobody writes to any more gets an error.
        var (text, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 1 << 12))
        while let count = try? buffer.withUnsafeMutableBytes({ try main.read(into: $0) }), count > 0 {
            text += buffer[..<count]
        }
        process.waitUntilExit()
        return String(decoding: text, as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: false)
            .joined(separator: "\n")
    }
}

/// What people see who sit at a terminal.
@Suite struct TerminalTests {
    private let tree = ["inspect", TinySuite.base, "--tree", "--only", "blocks.0.mlp.*", "--only", "cls_token"]

    /// 64.75 of 65 KiB are 99.6 %; 32.5 of the 64.75 of the longest bar are five of ten characters.
    @Test func aTreeHasBars() throws {
        #expect(
            try Tool().onTerminal(columns: 80, tree) == """
                Fixtures/suites/tiny/base.safetensors: safetensors
                  model: ViTModel, 2 layers, width 64, 2 heads

                MODULE     TENSORS  PARAMETERS      SIZE   SHARE
                blocks           4      16,576  64.8 KiB  99.6 % ██████████
                  0              4      16,576  64.8 KiB  99.6 % ██████████
                    mlp          4      16,576  64.8 KiB  99.6 % ██████████
                      fc1        2       8,320  32.5 KiB  50.0 % █████
                      fc2        2       8,256  32.2 KiB  49.6 % █████
                cls_token        1          64     256 B   0.4 % ▏

                5 tensors, 16,640 parameters, 65.0 KiB, all F32

                """)
    }

    @Test(arguments: [40, 80, 120]) func linesFitTheTerminal(columns: Int) throws {
        let tool = try Tool()
        let name = "model.language_model.layers.10.self_attn.q_proj.base_layer.original.weight"
        try tool.write("long.safetensors", [StoredTensor(name, [2, 2], [1, 2, 3, 4])])
        let text = try tool.onTerminal(columns: columns, ["inspect", "long.safetensors"])
        for line in text.split(separator: "\n") { #expect(line.count <= columns, "\(line)") }
        #expect(text.contains(name) == (columns == 120))
        #expect(text.contains("F32    [2, 2]  16 B\n"))
        // A pipe gets the whole name.
        #expect(try tool.run("inspect", "long.safetensors").output.contains(name))
    }

    private func matrix(_ environment: [String: String]) throws -> String {
        var arguments = ["interference", "--base", TinySuite.base, "--method", "linear", "--matrix"]
        for name in ["digits", "latin_lower"] {
            arguments += [
                "--expert", "\(name)=\(TinySuite.expert(name))",
                "--head", "\(name)=Fixtures/suites/tiny/heads_\(name).safetensors",
                "--data", "\(name)=Fixtures/suites/tiny/test_\(name).npz",
            ]
        }
        return try Tool().onTerminal(columns: 100, environment: environment, arguments)
    }

    @Test func aMatrixIsAHeatMap() throws {
        #expect(try matrix([:]).contains("\u{1B}[48;5;160;38;5;231m"))
        let plain = try matrix(["NO_COLOR": "1"])
        #expect(!plain.contains("\u{1B}"))
        #expect(plain.contains(" █"))
        let dumb = try matrix(["TERM": "dumb"])
        #expect(dumb.utf8.allSatisfy { $0 < 0x80 && $0 != 0x1B })
    }

    /// Eight experts: whatever the width, all figures are there, no line is longer, and two experts never look the same.
    @Test(arguments: [60, 80, 100]) func eightExpertsCanBeTold(columns: Int) throws {
        let suite = "Fixtures/suites/eight-tasks"
        let experts = [
            "cyrillic", "devanagari", "digits", "fashion_gear", "fashion_tops", "gratings", "greek", "latin_lower",
        ]
        let text = try Tool().onTerminal(
            columns: columns, environment: ["NO_COLOR": "1"],
            ["vectors", "--base", "\(suite)/base.safetensors", "--per", "kind"]
                + experts.map { "\(suite)/expert_\($0).safetensors" })
        // Sentences are for the terminal to break.
        let tables = text.components(separatedBy: "\n\n").dropFirst().map { $0.split(separator: "\n") }
        for line in tables.joined() { #expect(line.count <= columns || line.hasPrefix("Entries"), "\(line)") }
        var found = 0
        for rows in tables.map({ $0.suffix(8) }) where rows.count == 8 && rows.allSatisfy({ $0.contains(/\d/) }) {
            let names = rows.compactMap { $0.split(separator: "  ").first { Int($0) == nil } }
            #expect(Set(names).count == 8, "\(rows)")
            found += 1
        }
        // The experts, and at least a block of each matrix.
        #expect(found >= 4)
        for title in ["cosine", "conflict"] { #expect(text.contains(title)) }
        #expect(!text.contains("mea…") && text.contains("\n8  "))
    }

    @Test func namesTheNextCommand() throws {
        let tool = try Tool()
        func hint(_ arguments: String...) throws -> String? {
            try tool.onTerminal(columns: 100, errorsToo: true, ["inspect"] + arguments).split(separator: "\n")
                .first { $0.contains("next: ") }.map(String.init)
        }
        let head = "Fixtures/suites/tiny/heads_digits.safetensors"
        #expect(try hint(TinySuite.base) == "next: untangle vectors --base BASE \(TinySuite.base)")
        #expect(try hint(head) == "next: untangle inspect \(head) --stats")
        #expect(try hint(head, TinySuite.base) == "next: untangle diff \(head) \(TinySuite.base)")
        for option in ["--quiet", "--json", "--progress=none", "--progress=json", "--progress=plain"] {
            #expect(try hint(TinySuite.base, option) == nil, "\(option)")
        }
        try tool.write(
            "an adapter.safetensors", [StoredTensor("l.0.q.lora_A.weight", [1, 2], [1, 2])])
        #expect(try hint("an adapter.safetensors") == "next: untangle verify 'an adapter.safetensors'")
        #expect(try tool.run("convert", head, "h.skein").status == 0)
        #expect(try hint("h.skein") == "next: untangle convert h.skein h.safetensors")
        // A hint is to work as it stands.
        try tool.write("h.safetensors", [StoredTensor("w", [1], [1])])
        #expect(try hint("h.skein") == "next: untangle convert h.skein h-2.safetensors")
        #expect(try tool.run("convert", "h.skein", "h-2.safetensors").status == 0)
    }
}
