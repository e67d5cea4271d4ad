import Testing

@Suite struct TokenizeTests {
    private let tokenizer = "Fixtures/tokenizers/wordpiece.json"

    @Test func showsPiecesAndNumbers() throws {
        let outcome = try Tool().run("tokenize", "--tokenizer", tokenizer, "--text", "Hello, naïve\u{7}")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(
            outcome.output == """
                Hello, naïve\\u{7}
                  [CLS] hello , naive [SEP]
                  2 39 27 43 3
                1 text, 5 pieces of 81, 2 special

                """)
    }

    @Test func printsOneDocument() throws {
        let tool = try Tool()
        _ = try tool.folder.write(Array("world\r\n\ncafés".utf8), to: "lines.txt")
        let outcome = try tool.shell("untangle tokenize - --tokenizer \(tokenizer) --text hello --json < lines.txt")
        let document = try outcome.json()
        #expect(document.keys == ["tokenizer", "texts"])
        #expect(document["tokenizer"].string == tokenizer)
        #expect(document["texts"].items.map { $0["text"].string } == ["hello", "world", "", "cafés"])
        let text = document["texts"][3]
        #expect(text.keys == ["text", "ids", "pieces", "special"])
        #expect(text["pieces"].items.map(\.string) == ["[CLS]", "cafe", "##s", "[SEP]"])
        #expect(text["special"].items.map(\.bool) == [true, false, false, true])
        #expect(text["ids"].items.first?.int == 2 && text["ids"].count == 4)
    }

    /// What stands beside the texts of a table or of lines of JSON is no part of them.
    @Test func takesTextsAsDataDoes() throws {
        let tool = try Tool()
        _ = try tool.folder.write(Array("en\thello\nfr\tworld\n".utf8), to: "a.tsv")
        _ = try tool.folder.write(Array("{\"body\": \"hello\", \"label\": 1}\n[]\n".utf8), to: "b.jsonl")
        let outcome = try tool.run(
            "tokenize", "a.tsv", "--tokenizer", tokenizer, "--json")
        #expect(try outcome.json()["texts"].items.map { $0["text"].string } == ["hello", "world"])
        let lines = try tool.run(
            "tokenize", "b.jsonl", "--text-field", "body", "--skip-bad", "--tokenizer", tokenizer, "--json")
        #expect(try lines.json()["texts"].items.map { $0["text"].string } == ["hello"])
        #expect(try tool.run("tokenize", "b.jsonl", "--tokenizer", tokenizer).status == 3)
    }

    /// The tokenizer lies in a model's folder, beside its checkpoint.
    @Test func findsTheTokenizerOfAModel() throws {
        let tool = try Tool()
        _ = try tool.shell("mkdir model && cp \(tokenizer) model/tokenizer.json && touch model/model.safetensors")
        for place in ["model", "model/", "model/model.safetensors", "model/tokenizer.json"] {
            let outcome = try tool.run("tokenize", "--tokenizer", place, "--text", "hello", "--json")
            #expect(try outcome.json()["texts"][0]["ids"].count == 3, "\(place)")
        }
    }

    @Test func refusesWhatIsNoTextOrNoTokenizer() throws {
        let tool = try Tool()
        _ = try tool.folder.write(Array("ok\nbad ".utf8) + [0xFF, 0x0A], to: "bad.txt")
        let bad = try tool.run("tokenize", "bad.txt", "--tokenizer", tokenizer, "--json")
        #expect(bad.status == 3)
        #expect(try bad.error()["code"].string == "tokenizer.bad_text")
        #expect(try bad.error()["file"].string == "bad.txt")
        #expect(try bad.error()["offset"].int == 7)
        #expect(try bad.error()["line"].int == 2)
        let missing = try tool.run("tokenize", "--text", "a", "--tokenizer", "none.json", "--json")
        #expect(missing.status == 3)
        #expect(try missing.error()["code"].string == "io.not_found")
        let older = try tool.run("tokenize", "--text", "a", "--tokenizer", "Fixtures/suites/tiny")
        #expect(older.status == 3 && older.errors.contains("Fixtures/suites/tiny has no tokenizer.json with it"))
        #expect(try tool.run("tokenize", "--tokenizer", tokenizer).status == 2)
        #expect(try tool.run("tokenize", "--text", "a").status == 2)
        #expect(try tool.run("tokenize", "-", "-", "--tokenizer", tokenizer).status == 2)
    }
}
