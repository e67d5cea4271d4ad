import Checkpoints
import Experts
import Networks
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

    @Test func linesBeyondTheMemory() throws {
        let path = try folder.write(Array(String(repeating: "a line\n", count: 1000).utf8), to: "many.txt")
        #expect(try TextFile(path, format: .plain, options: DataOptions(), limit: 10, memory: 1000).lines.count == 10)
        #expect(code { _ = try TextFile(path, format: .plain, options: DataOptions(), memory: 1000) } == "io.memory")
    }

    @Test func tables() throws {
        let plain = try lines("DE\tdeggendorf\nFR\tsaint-malo\n", .table)
        #expect(plain.lines.map(\.text) == ["deggendorf", "saint-malo"] && plain.classes == ["DE", "FR"])
        let headed = try lines("idx\tsentence\tlabel\n1\tgood\t1\n2\tbad\t0\n", .table)
        #expect(headed.lines.map(\.text) == ["good", "bad"] && headed.classes == ["1", "0"])
        let named = try lines("label\ttitle\n1\tx\n", .table, DataOptions(textField: "title"))
        #expect(named.lines.map(\.text) == ["x"] && named.classes == ["1"])
        let words = try lines("noun\ttext\nverb\trun\n", .table)
        #expect(words.lines.map(\.text) == ["text", "run"] && words.classes == ["noun", "verb"])
        let mixed = try lines("DE\tulm\n", .table, DataOptions(textField: "body"))
        #expect(mixed.lines.map(\.text) == ["ulm"] && mixed.classes == ["DE"])
        #expect(
            code { _ = try lines("label\ttitle\n1\tx\n", .table, DataOptions(textField: "titel")) } == "input.bad_text")
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

/// Texts as a network takes them, against what the `tokenizers` library made of the same texts.
@Suite struct TextDataTests {
    private let folder = TemporaryFolder()
    private let suite: PipelineSuite
    private let backbone: Backbone

    init() throws {
        suite = try PipelineSuite("text")
        backbone = try Backbone(of: TensorStore(opening: suite.base))
    }

    /// The first eight texts of the test data of cities, with their countries.
    private static let cities = """
        DE\tdeggendorf
        FR\tsaint-malo
        JP\tujiie
        IT\tquarto oggiaro
        JP\tnasukarasuyama
        CN\tguocun
        DE\tlindlar
        IN\tchennimalai

        """

    private func tokens(_ name: String, _ text: String) throws -> (TokenSet, ClassLabels?) {
        let path = try folder.write(Array(text.utf8), to: name)
        let file = try DataFile(path, for: backbone, in: testContext)
        guard case .tokens(let tokens) = file.inputs else { throw MissingFixture(name: name) }
        return (tokens, file.labels)
    }

    @Test func textsOfTheSuiteHaveTheNumbersOfItsArray() throws {
        let (tokens, labels) = try tokens("cities.tsv", Self.cities)
        let array = try TokenFile(
            suite.path("test_cities.npz"), of: TokenShape(vocabulary: 640, longest: 16, typeCount: 2)
        ).tokens
        // The longest of the eight has ten pieces; what is padding in all is cut off.
        #expect(tokens.count == 8 && tokens.length == 10)
        for text in 0..<8 {
            let (own, row) = (text * 10..<text * 10 + 10, text * 16..<text * 16 + 10)
            #expect(tokens.ids[own].elementsEqual(array.ids[row]), "text \(text)")
            #expect(tokens.mask[own].elementsEqual(array.mask[row]), "text \(text)")
        }
        #expect(labels == .texts(["DE", "FR", "JP", "IT", "JP", "CN", "DE", "IN"]))
        #expect(labels?.numbers(classCount: 6) == [1, 2, 5, 4, 5, 0, 1, 3])
    }

    @Test func longTextsAreCutToTheModel() throws {
        let (tokens, _) = try tokens("long.txt", String(repeating: "deggendorf ", count: 10_000))
        #expect(tokens.count == 1 && tokens.length == 16 && tokens.ids.last == 3)
    }

    @Test func theTokenizerHasToBeThatOfTheModel() throws {
        for (vocabulary, expected) in [(639, "input.bad_tokenizer"), (640, nil)] as [(Int, String?)] {
            let copy = TemporaryFolder()
            for (name, bytes) in [
                ("base.safetensors", try contents(suite.base)),
                ("tokenizer.json", try contents(suite.path("tokenizer.json"))),
                ("config.json", try contents(suite.path("config.json"))),
            ] { _ = try copy.write(bytes, to: name) }
            if vocabulary < 640 {
                // A model with one word less.
                let table = "embeddings.word_embeddings.weight" as TensorName
                var all = try tensors(of: suite.base)
                let place = try #require(all.firstIndex { $0.name == table })
                all[place] = TestTensor(table, .f32, [639, 96], Array(all[place].bytes.prefix(639 * 96 * 4)))
                try copy.checkpoint("base.safetensors", all)
                let config = String(decoding: try contents(suite.path("config.json")), as: UTF8.self)
                _ = try copy.write(
                    Array(config.replacing("\"vocab_size\": 640", with: "\"vocab_size\": 639").utf8), to: "config.json")
            }
            let backbone = try Backbone(of: TensorStore(opening: copy.file("base.safetensors")))
            let path = try folder.write(Array("lindlar\n".utf8), to: "one.txt")
            #expect(code { _ = try DataFile(path, for: backbone, in: testContext) } == expected)
        }
    }

    @Test func tokensAreRandomTextsInTheFrameOfTheTokenizer() throws {
        func texts(_ count: Int, seed: UInt64) throws -> TokenSet {
            let inputs = try AuxiliarySource("tokens", count: count, seed: seed).inputs(for: backbone, in: testContext)
            guard case .tokens(let tokens) = inputs else { throw MissingFixture(name: "tokens") }
            return tokens
        }
        let (some, more, others) = (try texts(50, seed: 0), try texts(60, seed: 0), try texts(50, seed: 1))
        let (isPrefix, areOthers) = (some.ids == Array(more.ids[..<some.ids.count]), some.ids != others.ids)
        #expect(isPrefix && areOthers && some.length == 16)
        for text in 0..<50 {
            let row = Array(some.ids[text * 16..<text * 16 + 16])
            let length = some.mask[text * 16..<text * 16 + 16].count { $0 == 1 }
            // [CLS] and [SEP] around pieces that are not special; [PAD] behind them.
            #expect(row[0] == 2 && row[length - 1] == 3 && row[length...].allSatisfy { $0 == 0 })
            #expect(row[1..<length - 1].allSatisfy { $0 > 4 && $0 < 640 })
        }
    }
}
