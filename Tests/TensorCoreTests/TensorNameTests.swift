import TensorCore
import Testing

@Suite struct TensorNameTests {
    @Test func comparesByBytes() {
        let composed: TensorName = "\u{e9}"
        let decomposed: TensorName = "e\u{301}"
        #expect(composed.text == decomposed.text)
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed, composed]).count == 2)
    }

    @Test func sortsByBytes() {
        // U+FFEE is EF BF AE and U+1F984 begins with F0; UTF-16 order would be the other way round.
        let sorted: [TensorName] = ["", "A", "a", "a.", "a.b", "aa", "e\u{301}", "\u{e9}", "\u{ffee}", "\u{1f984}"]
        #expect(sorted.reversed().sorted() == sorted)
    }

    @Test func escapesControlCharactersWhenPrinted() {
        #expect(TensorName("a\u{1b}[31m\n\u{7f}\u{9b}é").description == #"a\u{1B}[31m\u{A}\u{7F}\u{9B}é"#)
    }

    /// A name that turns the direction of writing would be shown as another one.
    @Test(arguments: ["061C", "200E", "200F", "202A", "202E", "2066", "2069"])
    func escapesBidirectionalControlsWhenPrinted(digits: String) throws {
        let control = try #require(UInt32(digits, radix: 16).flatMap(Unicode.Scalar.init))
        let shown = digits.hasPrefix("0") ? String(digits.dropFirst()) : digits
        #expect(TensorName("a\(Character(control))b").description == "a\\u{\(shown)}b")
        // Letters that are written from right to left, and joiners that scripts need, stay.
        #expect(TensorName("\u{5D0}\u{200D}\u{627}").description == "\u{5D0}\u{200D}\u{627}")
    }
}
