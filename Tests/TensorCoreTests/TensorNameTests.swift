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
}
