import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Tokenization

/// Files and texts that are refused, each with its code and the place.
@Suite struct BadFileTests {
    private static let words = #""model":{"type":"WordLevel","vocab":{"a":0,"b":1},"unk_token":"a"}"#

    private func read(_ json: String) throws -> Tokenizer { try Tokenizer(Array(json.utf8), file: "t.json") }

    @Test(arguments: [
        (#"{}"#, "bad_file", "the file lacks model"),
        (#"{"model":[]}"#, "bad_file", "model is an array"),
        (#"{"version":"2.0",\#(words)}"#, "unsupported", "version is"),
        (#"{"model":{"type":"Neural","vocab":{}}}"#, "unsupported", "model is of the type \"Neural\""),
        (#"{"model":{"type":"WordLevel","vocab":{"a":0,"b":0},"unk_token":"a"}}"#, "bad_file", "model.vocab[\"b\"]"),
        (#"{"model":{"type":"WordLevel","vocab":{"a":-1},"unk_token":"a"}}"#, "bad_file", "model.vocab[\"a\"] is -1"),
        (
            #"{"model":{"type":"WordLevel","vocab":{"a":999999999},"unk_token":"a"}}"#, "bad_file",
            "model.vocab[\"a\"] is 99"
        ),
        (#"{"model":{"type":"WordLevel","vocab":{"a":1.5},"unk_token":"a"}}"#, "bad_file", "model.vocab[\"a\"] is 1.5"),
        (
            #"{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}"#, "bad_file",
            "model.merges[0] needs the piece \"b\""
        ),
        (
            #"{"model":{"type":"BPE","vocab":{"a":0},"merges":["a a"]}}"#, "bad_file",
            "model.merges[0] needs the piece \"aa\""
        ),
        (#"{"model":{"type":"BPE","vocab":{"a":0},"merges":["a"]}}"#, "bad_file", "model.merges[0] is not a pair"),
        (#"{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}}"#, "bad_file", "model.merges[0] is not a pair"),
        (
            #"{"model":{"type":"BPE","vocab":{"a":0,"aa":1},"continuing_subword_prefix":"@@","merges":["a a"]}}"#,
            "bad_file",
            "model.merges[0] has a right piece"
        ),
        (#"{"model":{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}}"#, "unsupported", "model.dropout"),
        (#"{"model":{"type":"Unigram","vocab":[["a",-1.0]],"unk_id":1}}"#, "bad_file", "model has the unk_id 1"),
        (
            #"{"model":{"type":"Unigram","vocab":[["a",-1e999]],"unk_id":0}}"#, "bad_file",
            "model.vocab[0][1] is no finite"
        ),
        (#"{"model":{"type":"Unigram","vocab":[["a"]],"unk_id":0}}"#, "bad_file", "model.vocab[0] is not a pair"),
        (#"{\#(words),"normalizer":{"type":"Odd"}}"#, "unsupported", "normalizer is the normalizer \"Odd\""),
        (#"{\#(words),"normalizer":{"type":"Strip"}}"#, "bad_file", "normalizer lacks strip_left"),
        (
            #"{\#(words),"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Prepend","prepend":3}]}}"#,
            "bad_file",
            "normalizer.normalizers[1].prepend is a number"
        ),
        (
            #"{\#(words),"normalizer":{"type":"Precompiled","precompiled_charsmap":"!"}}"#, "bad_file",
            "normalizer.precompiled_charsmap is not Base64"
        ),
        (
            #"{\#(words),"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAQAAAAA"}}"#, "bad_file",
            "normalizer.precompiled_charsmap has 6 bytes"
        ),
        (
            #"{\#(words),"pre_tokenizer":{"type":"UnicodeScripts"}}"#, "unsupported",
            "pre_tokenizer is the pre-tokenizer"
        ),
        (
            #"{\#(words),"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated","invert":false}}"#,
            "bad_pattern", "pre_tokenizer.pattern.Regex is no regular"
        ),
        (
            #"{\#(words),"pre_tokenizer":{"type":"Split","pattern":{},"behavior":"Isolated","invert":false}}"#,
            "bad_file", "pre_tokenizer.pattern has neither"
        ),
        (
            #"{\#(words),"pre_tokenizer":{"type":"Punctuation","behavior":"Glued"}}"#, "unsupported",
            "pre_tokenizer.behavior is \"Glued\""
        ),
        (
            #"{\#(words),"pre_tokenizer":{"type":"Metaspace","replacement":"__"}}"#, "bad_file",
            "pre_tokenizer.replacement is a string and not one character"
        ),
        (
            #"{\#(words),"post_processor":{"type":"BertProcessing","cls":["a",7],"sep":["b",1]}}"#, "bad_file",
            "post_processor has the piece 7"
        ),
        (
            #"{\#(words),"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B","type_id":0}}],"special_tokens":{}}}"#,
            "unsupported", "post_processor.single[0].Sequence stands for a second"
        ),
        (
            #"{\#(words),"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}}],"special_tokens":{}}}"#,
            "bad_file", "post_processor.special_tokens lacks x"
        ),
        (
            #"{\#(words),"truncation":{"max_length":1,"strategy":"OnlySecond","stride":0}}"#, "unsupported",
            "truncation.strategy is OnlySecond"
        ),
        (
            #"{\#(words),"truncation":{"max_length":1,"strategy":"LongestFirst"},"post_processor":{"type":"BertProcessing","cls":["a",0],"sep":["b",1]}}"#,
            "bad_length", "texts of at most 1 pieces"
        ),
        (
            #"{\#(words),"padding":{"strategy":"All","direction":"Right","pad_id":0,"pad_type_id":0}}"#, "unsupported",
            "padding.strategy is neither"
        ),
        (
            #"{\#(words),"padding":{"strategy":"BatchLongest","direction":"Right","pad_id":2,"pad_type_id":0}}"#,
            "bad_file", "padding has the piece 2"
        ),
        (
            #"{\#(words),"normalizer":{"type":"Lowercase"},"added_tokens":[{"id":2,"content":"Da","special":false,"single_word":false,"lstrip":false,"rstrip":false,"normalized":true},{"id":3,"content":"da","special":false,"single_word":false,"lstrip":false,"rstrip":false,"normalized":true}]}"#,
            "bad_file", "added_tokens[1] is the same text"
        ),
    ]) func isRefused(json: String, code: String, start: String) throws {
        let error = try #require(throws: TokenizerError.self) { try read(json) }
        #expect(error.code == "tokenizer.\(code)")
        #expect(error.message.hasPrefix(start), "\(error.message)")
        #expect(error.file == "t.json")
    }

    @Test func theByteOffsetIsThatOfTheValue() throws {
        let json = #"{"model":{"type":"WordLevel","vocab":{"a":0,"b":0},"unk_token":"a"}}"#
        let error = try #require(throws: TokenizerError.self) { try read(json) }
        #expect(
            error.byteOffset
                == UInt64(try #require(json.utf8.firstRange(of: #"0},"unk"#.utf8)).lowerBound.utf16Offset(in: json)))
        #expect(throws: FormatError.self) { try read("{") }
    }

    @Test func aTextWithoutPiecesIsAnError() throws {
        for json in [
            #"{"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"u"}}"#,
            #"{"model":{"type":"WordPiece","vocab":{"a":0},"unk_token":"u","continuing_subword_prefix":"@@","max_input_chars_per_word":9}}"#,
            #"{"model":{"type":"BPE","vocab":{"a":0},"unk_token":"u","merges":[]}}"#,
            #"{"model":{"type":"Unigram","vocab":[["a",-1.0]],"unk_id":null}}"#,
        ] {
            let tokenizer = try read(json)
            #expect(try tokenizer.encode("a").ids == [0])
            let error = try #require(throws: TokenizerError.self) { try tokenizer.encode("xyz") }
            #expect(error.code == "tokenizer.unknown_piece")
        }
        // Without a piece for what is unknown, BPE leaves it out.
        #expect(try read(#"{"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#).encode("xax").ids == [0])
    }

    @Test func aPatternWithoutEndIsAnError() throws {
        let tokenizer = try read(
            #"{\#(Self.words),"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(x+x+)+y"},"behavior":"Removed","invert":false}}"#
        )
        let error = try #require(throws: TokenizerError.self) {
            try tokenizer.encode(String(repeating: "x", count: 60))
        }
        #expect(error.code == "tokenizer.pattern_limit")
    }

    @Test func invalidUTF8IsToldWithItsPlace() throws {
        let tokenizer = try read("{\(Self.words)}")
        let error = try #require(throws: TokenizerError.self) {
            try ([0x61, 0xC3] as [UInt8]).withUnsafeBufferPointer { try tokenizer.encode(utf8: $0) }
        }
        #expect(error.code == "tokenizer.bad_text" && error.byteOffset == 1)
        let place = try #require(throws: TokenizerError.self) { try TextLines(Array("a\nöb".utf8) + [0xFF], file: "f") }
        #expect(place.byteOffset == 5 && place.position == TextPosition(line: 2, column: 3))
        let lines = try TextLines(Array("a\r\n\nb\r".utf8), file: "f")
        #expect(lines.all == ["a", "", "b\r"])
    }
}
