import Checkpoints
import TensorCore
import Testing

@Suite struct JSONDocumentTests {
    private func parse(_ text: String) throws -> JSONValue { try JSONDocument.parse(Array(text.utf8)) }

    private func fault(_ text: String) -> FormatError? { fault(Array(text.utf8)) }

    private func fault(_ bytes: [UInt8]) -> FormatError? {
        do {
            _ = try JSONDocument.parse(bytes)
            return nil
        } catch { return error }
    }

    @Test func readsEveryKindOfValue() throws {
        let root = try parse(#" {"a":[1,-2.5e3,"x",true,false,null,{}], "b":{"c":[]}} "#)
        let list = try #require(root["a"]?.array).map { $0 }
        #expect(list.map(\.kind) == [.number, .number, .string, .true, .false, .null, .object])
        #expect(list[0].uint64 == 1)
        #expect(list[1].double == -2500)
        #expect(list[2].string == "x")
        #expect(list[3].bool == true)
        #expect(list[4].bool == false)
        #expect(list[5].isNull)
        #expect(root["b"]?["c"]?.array?.count == 0)
        #expect(root["d"] == nil)
        #expect(root.object?.map(\.key) == ["a", "b"])
    }

    @Test func integersAreExactUpTo64Bits() throws {
        #expect(try parse("18446744073709551615").uint64 == .max)
        #expect(try parse("18446744073709551616").uint64 == nil)
        #expect(try parse("9007199254740993").uint64 == 9_007_199_254_740_993)
        #expect(try parse("4.0").uint64 == nil)
        #expect(try parse("4e0").uint64 == nil)
        #expect(try parse("-0").uint64 == nil)
        #expect(try parse("-7").int == -7)
        #expect(try parse("1e999").double == .infinity)
    }

    @Test func unescapesStrings() throws {
        #expect(try parse(#""\"\\\/\b\f\n\r\t\u00e9\ud83e\udd84é""#).string == "\"\\/\u{8}\u{c}\n\r\té🦄é")
        #expect(try parse(#""\u0000""#).string == "\0")
    }

    @Test func valuesKnowTheirByteOffset() throws {
        let root = try JSONDocument.parse(Array(#"{"a": [ 10, "x"]}"#.utf8), base: 100)
        let list = try #require(root["a"]?.array).map { $0 }
        #expect(root["a"]?.byteOffset == 106)
        #expect(list.map(\.byteOffset) == [108, 112])
    }

    /// RFC 8259; the positions are where the text stops being JSON.
    @Test(arguments: [
        ("", 0), ("{", 1), ("[1,]", 3), (#"{"a":1,}"#, 7), ("[1 2]", 3), ("01", 1), ("+1", 0), ("-", 1), ("1.", 2),
        (".5", 0),
        ("1e", 2), ("NaN", 0), ("Infinity", 0), ("-Infinity", 1), ("tru", 3), ("nul1", 3), ("'a'", 0), (#"{a:1}"#, 1),
        (#"{"a" 1}"#, 5), (#"{"a":}"#, 5), ("[", 1), ("]", 0), ("[}", 1), ("{]", 1), ("1 1", 2), ("{}{}", 2), ("//", 0),
        (#""a"#, 2), (#""\x""#, 2), (#""\u12g4""#, 3), (#""\ud800""#, 7), (#""\ud800\n""#, 8), (#""\udc00""#, 7),
        (#""\ud800\u0041""#, 13), ("\"\u{1}\"", 1), ("\"\n\"", 1), ("\u{feff}{}", 0), ("{}\0", 2), ("\u{a0}1", 0),
    ])
    func refusesWhatIsNotJSON(_ text: String, _ position: UInt64) {
        let error = fault(text)
        #expect(error?.category == .invalidJSON)
        #expect(error?.byteOffset == position)
    }

    @Test func refusesBytesThatAreNotUTF8() {
        // Bad byte, surrogate, overlong slash, beyond U+10FFFF, cut sequence.
        for bytes in [[0xFF], [0xED, 0xA0, 0x80], [0xC0, 0xAF], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82]] as [[UInt8]] {
            let error = fault([0x22] + bytes + [0x22])
            #expect(error?.category == .invalidUTF8)
            #expect(error?.byteOffset == 1)
        }
    }

    @Test func findsDuplicateKeysAfterUnescaping() throws {
        #expect(fault(#"{"a":1,"\u0061":2}"#)?.category == .duplicateKey)
        #expect(fault(#"{"a":1,"\u0061":2}"#)?.byteOffset == 7)
        #expect(fault(#"[{"x":{"b":1,"b":2}}]"#)?.byteOffset == 13)
        // The same key in two objects, and keys that are only canonically equivalent, are different.
        _ = try parse(#"{"a":{"a":1},"b":{"a":1}}"#)
        _ = try parse(#"{"é":1,"e\u0301":2}"#)
        let many = (0..<1000).map { "\"key\($0)\":0" }
        _ = try parse("{\(many.joined(separator: ","))}")
        #expect(fault("{\((many + [#""key\u0037""#  + ":1"]).joined(separator: ","))}")?.category == .duplicateKey)
    }

    @Test func nestingHasALimit() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try parse(nested(128))
        #expect(fault(nested(129))?.category == .nestingTooDeep)
        #expect(fault(nested(129))?.byteOffset == 128)
        #expect(fault(String(repeating: #"{"a":"#, count: 1_000_000))?.category == .nestingTooDeep)
    }
}
