import Checkpoints
import Experts
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Lines of text files as data.
@Suite struct TextFileTests {
    private let folder = TemporaryFolder()

    private func lines(
        _ text: String, _ format: TextFile.Format, _ options: DataOptions = DataOptions(), limit: Int? = nil
    ) throws -> TextFile { try lines(Array(text.utf8), format, options, limit: limit) }

    private func lines(
        _ bytes: [UInt8], _ format: TextFile.Format, _ options: DataOptions = DataOptions(), limit: Int? = nil
    ) throws -> TextFile {
        try TextFile(folder.write(bytes, to: "texts"), format: format, options: options, limit: limit)
    }

    @Test func plainTexts() throws {
        let file = try lines("\u{FEFF}one text\r\n\n  \nanother\tone\nlast", .plain)
        #expect(file.lines.map(\.text) == ["one text", "another\tone", "last"])
        #expect(file.lines.map(\.number) == [1, 4, 5] && file.classes == nil)
        #expect(try lines("a\nb\nc", .plain, limit: 2).lines.count == 2)
        #expect(code { _ = try lines("\n\n", .plain) } == "input.missing_data")
    }

    @Test func tables() throws {
        let plain = try lines("DE\tdeggendorf\nFR\tsaint-malo\n", .table)
        #expect(plain.lines.map(\.text) == ["deggendorf", "saint-malo"] && plain.classes == ["DE", "FR"])
        let headed = try lines("idx\tsentence\tlabel\n1\tgood\t1\n2\tbad\t0\n", .table)
        #expect(headed.lines.map(\.text) == ["good", "bad"] && headed.classes == ["1", "0"])
        let named = try lines("label\ttitle\n1\tx\n", .table, DataOptions(textField: "title"))
        #expect(named.lines.map(\.text) == ["x"] && named.classes == ["1"])
        let without = try lines("text\tid\na\t7\n", .table)
        #expect(without.lines.map(\.text) == ["a"] && without.classes == nil)
    }

    @Test func objects() throws {
        let file = try lines(#"{"text":"a\u00e9","label":3,"id":[1]}"# + "\n" + #"{"label":"4","text":"b"}"#, .json)
        #expect(file.lines.map(\.text) == ["aé", "b"] && file.classes == ["3", "4"])
        #expect(try lines(#"{"q":"x"}"#, .json, DataOptions(textField: "q")).lines.map(\.text) == ["x"])
    }

    @Test(
        arguments: [
            ("a\n{\"text\": 1}", .json, 1), ("{\"text\":\"a\"}\n{\"text\":1}", .json, 2),
            ("{\"text\":\"a\"}\n[]", .json, 2),
            ("{\"text\":\"a\"}\n{\"title\":\"b\"}", .json, 2), ("a\tb\nc", .table, 2), ("a\tb\tc", .table, 1),
            ("{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\"}", .json, 2),
        ] as [(String, TextFile.Format, Int)])
    func badLines(text: String, format: TextFile.Format, line: Int) throws {
        let error = try #require(throws: InputError.self) { _ = try lines(text, format) }
        #expect(error.code == "input.bad_text" && error.position?.line == line, "\(error.message)")
    }

    @Test func bytesThatAreNoText() throws {
        let bytes = Array("good\nb".utf8) + [0xC3, 0x28] + Array("\nlast".utf8)
        let error = try #require(throws: InputError.self) { _ = try lines(bytes, .plain) }
        #expect(error.code == "input.bad_text" && error.position?.line == 2 && error.byteOffset == 6)
        let file = try lines(bytes, .plain, DataOptions(skipsBad: true))
        #expect(file.lines.map(\.text) == ["good", "last"] && file.skipped.count == 1)
    }

    @Test func sourcesAreToldByTheirNames() throws {
        func isText(_ name: String, _ format: TextFile.Format) throws -> Bool {
            guard case .texts(let found) = DataSource(at: try folder.write([65], to: name)) else { return false }
            return found == format
        }
        #expect(try isText("a.txt", .plain) && isText("a.TSV", .table) && isText("a.jsonl", .json))
        #expect(try !isText("a.npz", .plain))
    }
}
