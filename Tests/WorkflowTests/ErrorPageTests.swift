import Analysis
import Checkpoints
import Images
import Interference
import Merging
import Networks
import Recipes
import TensorCore
import Tokenization
import Testing
import Work
import Workflow
import TestSupport

/// `docs/errors.md` lists every code with its meaning.
@Suite struct ErrorPageTests {
    private static let codes =
        FormatCategory.allCases.map { "format.\($0.rawValue)" }
        + RecipeError.Code.allCases.map { "recipe.\($0.rawValue)" }
        + WeightsError.Reason.allCases.map { "input.\($0.rawValue)" }
        + InputError.Code.allCases.map { "input.\($0.rawValue)" }
        + PictureError.Kind.allCases.map { "picture.\($0.rawValue)" }
        + NetworkError.Kind.allCases.map { "network.\($0.rawValue)" }
        + InterferenceError.Kind.allCases.map { "interference.\($0.rawValue)" }
        + ResumeError.Kind.allCases.map { "resume.\($0.rawValue)" }
        + MergeError.Reason.allCases.map { "merge.\($0.rawValue)" }
        + AnalysisError.Reason.allCases.map { "analysis.\($0.rawValue)" }
        + EditError.Reason.allCases.map { "edit.\($0.rawValue)" }
        // Those of `ConversionError`, which has no list of its own.
        + [
            "nothing_selected", "duplicate_name", "overflow", "bad_shape", "no_decomposition", "nothing_to_quantize",
            "not_finite", "incompatible",
        ].map { "convert.\($0)" }
        + TokenizerError.Kind.allCases.map { "tokenizer.\($0.rawValue)" }
        + IOError.Kind.allCases.map { "io.\($0.rawValue)" }
        + OutputError.Kind.allCases.map { "usage.\($0.rawValue)" }
        + ClusterError.Kind.allCases.map { "cluster.\($0.rawValue)" }
        + ["usage", "usage.dequantize", "usage.dtype"]
        + RenameError.Kind.allCases.map { "usage.\($0.rawValue)" }

    /// The other way round: whatever the page says is there.
    @Test func hasNoRowForACodeThatIsGone() throws {
        let page = Fixtures.folder.removingLastComponent().appending("docs/errors.md")
        let text = String(decoding: try MappedFile(page).withUnsafeBytes(Array.init), as: UTF8.self)
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `") }.compactMap {
            $0.split(separator: "`").dropFirst().first.map(String.init)
        }
        // `internal` is what has no code of its own.
        #expect(Set(rows).subtracting(Self.codes) == ["internal"])
    }

    @Test(arguments: codes) func hasARowForEveryCode(code: String) throws {
        let page = Fixtures.folder.removingLastComponent().appending("docs/errors.md")
        let text = String(decoding: try MappedFile(page).withUnsafeBytes(Array.init), as: UTF8.self)
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `\(code)` |") }
        #expect(rows.count == 1)
        // Code, meaning and remedy.
        #expect(
            rows.first?.split(separator: "|").filter { $0.count > 2 }.count == 3
                || rows.first?.hasSuffix("| - |") == true)
    }
}
