import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// The format that `docs/contributing/add-a-format.md` works through, and the list of formats.
@Suite struct ExampleFormatTests {
    @Test func thePageShowsTheSource() throws {
        let root = Fixtures.folder.removingLastComponent()
        func text(_ path: FilePath) throws -> String {
            String(decoding: try root.pushing(path).contents(), as: UTF8.self)
        }
        let blocks = try text("docs/contributing/add-a-format.md").split(separator: "```swift\n").dropFirst()
        let shown = blocks.map { $0.split(separator: "```", maxSplits: 1)[0] }
        #expect(shown.count == 3)
        let source =
            try text("Sources/Checkpoints/NumPy/NumPyFormats.swift")
            + (try text("Sources/Checkpoints/NumPy/NpyReader.swift"))
        for block in shown { #expect(source.contains(block), "\(block)") }
    }

    @Test func namesAndEndingsBelongToOneFormat() {
        let formats = CheckpointFormat.all
        #expect(formats.map(\.id.rawValue).sorted() == FormatID.allCases.map(\.rawValue).sorted())
        let endings = formats.flatMap(\.extensions)
        #expect(Set(endings).count == endings.count)
        for format in formats {
            #expect(CheckpointFormat.of(format.id).title == format.title)
            for ending in format.extensions {
                let path = FilePath("model." + ending.uppercased())
                #expect(CheckpointFormat.named(path)?.id == format.id)
                #expect(CheckpointFormat.format(ofOutput: path) == (format.writer == nil ? nil : format.id))
            }
        }
    }

    /// NumPy knows neither BF16 nor narrow floats, safetensors no pairs of F64.
    @Test func writersSayWhatTheyHold() {
        func holds(_ id: FormatID, _ layout: ElementLayout) -> Bool? { CheckpointFormat.of(id).writer?.holds(layout) }
        #expect(holds(.npz, .plain(.f16)) == true && holds(.npz, .plain(.bf16)) == false)
        #expect(holds(.npy, .plain(.c128)) == true && holds(.safetensors, .plain(.c128)) == false)
        #expect(holds(.safetensors, .plain(.f4)) == true && holds(.skein, .blocks(.q8_0)) == false)
    }
}

/// The page that people look for their format on.
@Suite struct FormatTableTests {
    @Test func listsEveryEnding() throws {
        let root = Fixtures.folder.removingLastComponent()
        let page = String(decoding: try root.pushing("docs/where-is-my-format.md").contents(), as: UTF8.self)
        for format in CheckpointFormat.all {
            for ending in format.extensions { #expect(page.contains("`.\(ending)`"), "\(ending)") }
            let row = page.split(separator: "\n").first { $0.contains("`.\(format.extensions[0])`") }
            #expect(row?.contains(format.writer == nil ? "| no |" : "| yes |") == true, "\(format.id)")
        }
    }
}
