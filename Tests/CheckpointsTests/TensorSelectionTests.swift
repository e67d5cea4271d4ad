import Checkpoints
import TensorCore
import Testing

@Suite struct TensorSelectionTests {
    /// Agrees with Python's `fnmatch.fnmatchcase`, except where that has no escapes.
    @Test(arguments: [
        ("*", "", true), ("*", "a.b/c", true), ("a*c", "abbc", true), ("a*c", "abbd", false),
        ("*.weight", "x.weight", true),
        ("a*b*c", "a1b2b3c", true), ("?", "é", true), ("?", "", false), ("??", "e\u{301}", true),
        ("layers.[0-3].*", "layers.2.w", true),
        ("layers.[0-3].*", "layers.4.w", false), ("[!a]b", "cb", true), ("[!a]b", "ab", false), ("[^a]b", "ab", false),
        ("[]x]", "]", true), ("[a-]", "-", true), ("[b-a]", "a", false), ("a[b", "a[b", true), ("\\*", "*", true),
        ("\\*", "a", false), ("a", "A", false),
        ("", "", true), ("", "a", false), ("nul*end", "nul\0the end", true), ("\u{e9}", "e\u{301}", false),
        ("a**b", "ab", true),
    ])
    func matchesWholeNames(_ pattern: String, _ name: String, _ expected: Bool) {
        #expect(TensorSelection.matches(TensorName(name), pattern: pattern) == expected)
    }

    /// Exponential in a backtracking matcher.
    @Test func manyStarsAreNoTrap() {
        let pattern = String(repeating: "a*", count: 40) + "b"
        #expect(!TensorSelection.matches(TensorName(String(repeating: "a", count: 2000)), pattern: pattern))
    }

    @Test func excludeWinsOverOnly() {
        let selection = TensorSelection(only: ["a.*", "b.*"], exclude: ["*.bias"])
        #expect(selection.contains("a.weight"))
        #expect(!selection.contains("a.bias"))
        #expect(!selection.contains("c.weight"))
        #expect(TensorSelection().contains("anything"))
    }
}
