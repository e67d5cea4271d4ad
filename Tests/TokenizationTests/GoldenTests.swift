import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Tokenization

/// What the `tokenizers` library (0.23.3) made of lines: `Fixtures/tokenizers/make.py`.
@Suite struct GoldenTests {
    static let names = ["wordpiece", "template", "bytelevel", "metaspace", "prefix", "unigram", "wordlevel"]

    private static let golden: JSONValue? = try? JSONDocument.parse(
        try MappedFile(Fixtures.path("tokenizers/golden.json")).withUnsafeBytes { Array($0) })

    @Test(arguments: names) func encodesAsTheLibrary(name: String) throws {
        let golden = try #require(Self.golden)
        let tokenizer = try Tokenizer(reading: Fixtures.path("tokenizers/\(name).json"))
        let lines = try #require(golden["lines"]?.array)
        let encodings = try #require(golden["encodings"]?[name]?.array)
        var count = 0
        for (line, expected) in zip(lines, encodings) {
            let text = try #require(line.string)
            let arrays = try #require(expected.array).map {
                ($0.string ?? "").split(separator: " ").compactMap { Int32($0) }
            }
            let encoding = try tokenizer.encode(text)
            #expect(encoding.ids == arrays[0], "\(text.debugDescription)")
            // Left out where all are 0 and 1.
            #expect(encoding.types == (arrays.count > 1 ? arrays[1] : encoding.types.map { _ in 0 }))
            #expect(
                encoding.attentionMask.map(Int32.init) == (arrays.count > 2 ? arrays[2] : encoding.ids.map { _ in 1 }))
            count += 1
        }
        #expect(count == 28)
    }

    @Test func tellsPiecesAndSpecialTokens() throws {
        let tokenizer = try Tokenizer(ofModelAt: Fixtures.path("tokenizers/wordpiece.json"))
        let encoding = try tokenizer.encode("hello cafés")
        #expect(encoding.ids.map { tokenizer.piece(of: $0) } == ["[CLS]", "hello", "cafe", "##s", "[SEP]"])
        #expect(tokenizer.specialIDs == [0, 1, 2, 3, 4])
        #expect(tokenizer.piece(of: Int32(tokenizer.vocabularyCount)) == nil && tokenizer.piece(of: -1) == nil)
        #expect(
            try tokenizer.encode("hello cafés", addSpecialTokens: false).ids
                == Array(encoding.ids.dropFirst().dropLast()))
    }

    @Test func lengthsAreTheCallersToSet() throws {
        let tokenizer = try Tokenizer(reading: Fixtures.path("tokenizers/wordpiece.json"))
        let whole = try tokenizer.encode("hello world hello")
        let short = try tokenizer.truncated(to: 4).encode("hello world hello")
        #expect(short.ids == Array(whole.ids.prefix(3)) + [3])
        #expect(try tokenizer.truncated(to: 2).encode("hello").ids == [2, 3])
        #expect(try tokenizer.truncated(to: 4).truncated(to: nil).encode("hello world hello") == whole)
        #expect(throws: TokenizerError.self) { try tokenizer.truncated(to: 1) }
        var batch = [whole, short]
        tokenizer.padded(Padding(.longest, multiple: 4, id: 0)).pad(&batch)
        #expect(batch.map(\.count) == [8, 8])
        #expect(batch[1].attentionMask == [1, 1, 1, 1, 0, 0, 0, 0])
    }
}
