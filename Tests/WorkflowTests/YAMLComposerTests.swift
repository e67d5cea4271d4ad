import Checkpoints
import Glibc
import Recipes
import SystemPackage
import TensorCore
import Testing
import TestSupport

/// Trees of YAML documents: where everything stands, what aliases may do, and what strangers write.
@Suite struct YAMLComposerTests {
    private func failure(of text: String) -> YAMLError? {
        do throws(YAMLError) {
            _ = try YAMLComposer.documents(of: text)
            return nil
        } catch { return error }
    }

    /// Every node as `text@line:column`, those of collections before what is in them.
    private func places(_ node: YAMLNode) -> [String] {
        let place = "@\(node.position.line):\(node.position.column)"
        switch node.content {
        case .scalar(let scalar): return [scalar.text + place]
        case .sequence(let nodes): return ["[]" + place] + nodes.flatMap(places)
        case .mapping(let entries):
            return ["{}" + place]
                + entries.flatMap { ["\($0.key.text)@\($0.position.line):\($0.position.column)"] + places($0.value) }
        }
    }

    /// Counted by hand; columns count characters, not bytes, and an anchor belongs to what it names.
    @Test func knowsWhereEverythingStands() throws {
        let documents = try YAMLComposer.documents(
            of: "a: 1\nb:\n  - x\n  - é: [ñ, &k \"q\"]\n    *k : ~\r\n    c:\n--- *k\n---\n")
        #expect(
            documents.map(places) == [
                [
                    "{}@1:1", "a@1:1", "1@1:4", "b@2:1", "[]@3:3", "x@3:5", "{}@4:5", "é@4:5", "[]@4:8", "ñ@4:9",
                    "q@4:12",
                    "q@5:5", "~@5:10", "c@6:5", "@6:7",
                ], ["q@4:12"], ["@9:1"],
            ])
        #expect(documents.map(\.isNull) == [false, false, true])
    }

    @Test func tellsTextsFromEmptyValues() throws {
        let text = "- ~\n- null\n-\n- NULL\n- ''\n- \"null\"\n- !!str null\n- !!null x\n- nUll\n- |\n- null # ~\n"
        let root = try #require(try YAMLComposer.documents(of: text).first)
        guard case .sequence(let nodes) = root.content else {
            Issue.record("no list")
            return
        }
        #expect(
            nodes.map(\.isNull) == [true, true, true, true, false, false, false, true, false, false, true])
    }

    /// YAML lets the colon follow an alias between braces; elsewhere it would have to follow a space.
    @Test(arguments: ["{*k : 1}", "{*k: 1}", "{*k:1}", "{ *k:}", "{*k}"])
    func takesAliasesBeforeColons(mapping: String) throws {
        let root = try #require(try YAMLComposer.documents(of: "[&k key, \(mapping)]").first)
        guard case .sequence(let nodes) = root.content, case .mapping(let entries) = nodes[1].content else {
            Issue.record("no mapping")
            return
        }
        #expect(entries.map(\.key.text) == ["key"])
        #expect(entries[0].value.isNull == !mapping.contains("1"))
    }

    // MARK: - Limits

    private static let laughs =
        "b0: &b0 [x, x]\n" + (1..<40).map { "b\($0): &b\($0) [*b\($0 - 1), *b\($0 - 1)]\n" }.joined()
    /// Every list holds the one before.
    private static let ladder = "a0: &a0 []\n" + (1..<200).map { "a\($0): &a\($0) [*a\($0 - 1)]\n" }.joined()
    private static let stairs = (0..<1000).map { String(repeating: " ", count: $0) + "k:\n" }.joined()

    /// Refused at the value that goes too far, and soon.
    @Test(
        arguments: [
            (String(repeating: "[", count: 100_000), "nested more than 100 deep", 1, 101),
            (String(repeating: "{a: ", count: 100_000), "nested more than 100 deep", 1, 401),
            (String(repeating: "- ", count: 1 << 19), "nested more than 100 deep", 1, 201),
            (stairs, "nested more than 100 deep", 101, 101),
            // The list of line n holds n, and one more is the mapping.
            (ladder, "nested more than 100 deep", 100, 12),
            (String(repeating: "? ", count: 1 << 19), "a key is not a text", 1, 3),
            (String(repeating: "[{", count: 100_000), "a key is not a text", 1, 3),
            ("a: &a [*a]\n", "undefined alias *a: it stands in what &a names", 1, 8),
            ("&a {*a : 1}\n", "undefined alias *a", 1, 5), ("&a {? [*a] : 1}\n", "a key is not a text", 1, 7),
            ("a: &a x\nb: &a [*a]\n", "undefined alias *a: it stands in", 2, 8),
            ("b: *nobody\n", "undefined alias *nobody", 1, 4),
            (laughs, "stand for more than 100000 values", 15, 18),
            (laughs + "*b39: 1\n", "more than 100000 values", 15, 18),
            ("[&a x" + String(repeating: ", *a", count: 100_001) + "]", "more than 100000 values", 1, 400_008),
            ("{" + (0...1000).map { "k\($0): 1, " }.joined() + "k0: 2}", "\"k0\" appears twice", 1, 8902),
        ] as [(String, String, Int, Int)]) func refusesSoon(text: String, problem: String, line: Int, column: Int)
        throws
    {
        let started = ContinuousClock.now
        let error = try #require(failure(of: text))
        #expect(ContinuousClock.now - started < .seconds(5))
        #expect(error.problem.contains(problem), "\(error.problem)")
        #expect(error.position == TextPosition(line: line, column: column), "\(error.position)")
    }

    /// What is long is not deep, and a hundred thousand aliases of a text are that many values.
    @Test func takesWhatIsOnlyLong() throws {
        let started = ContinuousClock.now
        for text in [
            "[&a x" + String(repeating: ", *a", count: 100_000) + "]",
            "a: " + String(repeating: "long ", count: 1 << 20),
            "? " + String(repeating: "k", count: 1 << 20) + "\n: v\n",
            "a: \"" + String(repeating: "\\u00e9", count: 100_000) + "\"",
            String(repeating: "- a\n", count: 1 << 18), String(repeating: "--- a\n", count: 100_000),
            String(repeating: "[", count: 100) + String(repeating: "]", count: 100),
            (0..<100_000).map { "k\($0): &a\($0) v\n" }.joined(),
        ] {
            #expect(failure(of: text) == nil, "\(text.prefix(20))")
        }
        #expect(ContinuousClock.now - started < .seconds(20))
    }

    /// One token a million times over, in and out of brackets.
    @Test(arguments: [
        "&a ", "!a ", "? ", ": ", "*a ", "\" ", "' ", "| ", "> ", "% ", ", ", "] ", "a: ", "a:", "---\n", "\t", "&a [",
        "- - ",
    ])
    func staysWithinTime(token: String) throws {
        let started = ContinuousClock.now
        for start in ["", "[", "a: "] {
            _ = failure(of: start + String(repeating: token, count: 1_000_000 / token.utf8.count))
        }
        #expect(ContinuousClock.now - started < .seconds(10), "\(ContinuousClock.now - started)")
    }

    // MARK: - Damaged recipes

    /// How much longer than usual to look for trouble: `UNTANGLE_FUZZ=100 swift test ...`.
    private static let fuzzFactor = getenv("UNTANGLE_FUZZ").flatMap { Int(String(cString: $0)) } ?? 1

    private static func recipes() throws -> [[UInt8]] {
        let names = try RecipeToyModels.lines(of: "references.tsv").map { "recipes/configs/\($0[0]).yaml" }
        return try (names + ["demo.yaml", "merge.yaml"]).map { try contents(Fixtures.path($0)) }
    }

    /// A recipe is read or refused; an error is ours and names a line that is there.
    @Test func damagedRecipesAreReadOrRefused() throws {
        let recipes = try Self.recipes()
        let folder = TemporaryFolder()
        let pieces = [
            "\t", "  ", "*a", "&a ", "{", "}", "[", "]", ": ", "- ", "\n", "\"", "'", "|", "#", "!!str ", "<<: *a",
            "---\n", "? ",
        ]
        let seed: UInt64 = 47
        var generator = TestGenerator(state: seed)
        var (read, refused) = (0, 0)
        for round in 0..<4000 * Self.fuzzFactor {
            var bytes = recipes[round % recipes.count]
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let place = Int.random(in: 0..<max(1, bytes.count), using: &generator)
                switch Int.random(in: 0..<5, using: &generator) {
                case 0 where !bytes.isEmpty: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 1: bytes.removeSubrange(min(place, bytes.count)...)
                case 2:
                    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                    let line = lines[Int.random(in: 0..<lines.count, using: &generator)]
                    lines.insert(line, at: Int.random(in: 0..<lines.count, using: &generator))
                    bytes = Array(lines.joined(separator: [UInt8(ascii: "\n")]))
                case 3:
                    let piece = pieces[Int.random(in: 0..<pieces.count, using: &generator)]
                    bytes.insert(contentsOf: Array(piece.utf8), at: min(place, bytes.count))
                default: bytes.removeSubrange(min(place, bytes.count)..<min(place + 4, bytes.count))
                }
            }
            let path = try folder.write(bytes, to: "fuzz.yaml")
            do {
                _ = try RecipeBook.load(path)
                read += 1
            } catch let error as RecipeError {
                refused += 1
                let lineCount = bytes.count { $0 == 0x0A || $0 == 0x0D } + 1
                if let line = error.line { #expect((1...lineCount).contains(line), "seed \(seed), round \(round)") }
            }
        }
        // Neither is rare, or little was looked at.
        #expect(read > 200 && refused > 1000, "\(read) read, \(refused) refused")
    }

    @Test func cutRecipesAreReadOrRefused() throws {
        for recipe in try Self.recipes() {
            for count in 0..<recipe.count {
                let text = String(decoding: recipe[..<count], as: UTF8.self)
                do throws(RecipeError) { _ = try RecipeBook.parse(text, path: "r.yaml") } catch {
                    #expect(!error.code.isEmpty)
                }
            }
        }
    }
}
