import Analysis
import Checkpoints
import Experts
import Interference
import Merging
import ModelFolders
import Recipes
import TensorCore
import TestSupport
import Testing
import Transcoding
import Work
import Workflow

/// `docs/warnings.md` lists every code of a warning with its meaning, and no other.
@Suite struct WarningPageTests {
    private static func codes<Code: WarningCode>(_: Code.Type) -> [String] {
        Code.allCases.map { "\(Code.area).\($0.rawValue)" }
    }

    private static let codes =
        codes(FormatWarning.self) + codes(WeightsWarning.self) + codes(NumberWarning.self) + codes(DataWarning.self)
        + codes(AnalysisWarning.self) + codes(MergeWarning.self) + codes(FolderWarning.self)
        + codes(RecipeWarning.self) + codes(ConversionWarning.self) + codes(OutputWarning.self)
        + codes(RunWarning.self) + codes(InterferenceWarning.self)

    @Test func hasEveryCodeOnceAndNoOther() throws {
        let page = Fixtures.folder.removingLastComponent().appending("docs/warnings.md")
        let text = String(decoding: try MappedFile(page).withUnsafeBytes(Array.init), as: UTF8.self)
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `") }
        let listed = rows.compactMap { $0.split(separator: "`").dropFirst().first.map(String.init) }
        #expect(listed.sorted() == Self.codes.sorted())
        // Code and meaning.
        for row in rows { #expect(row.split(separator: "|").filter { $0.count > 2 }.count == 2, "\(row)") }
    }
}

/// Warnings are told once, as soon as they are known.
@Suite struct WarningLogTests {
    @Test func tellsEachOnce() {
        var told: [Warning] = []
        let (known, new) = (Warning(OutputWarning.exists, "known"), Warning(OutputWarning.exists, "new"))
        let other = Warning(OutputWarning.space, "new")
        let log = WarningLog([known]) { told.append($0) }
        for warning in [new, known, new, other] { log.warn(warning) }
        #expect(told == [new, other])
        #expect(log.warnings == [known, new, other])
    }
}
